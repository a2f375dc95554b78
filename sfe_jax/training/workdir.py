"""What a run's folder says about the run.

  WORKDIR/config.json   the resolved config
  WORKDIR/trained.json  sizes of the trained networks, and what they are trained
                        against: the SHA-256 of every frozen network
  WORKDIR/run.json      for every start: command, versions, devices, commit
  WORKDIR/weights/      networks for the editor, see `weights`
"""

import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, checkpoints, runs, weights
from sfe_jax.training.stage import Stage
from sfe_jax.training.state import Frozen

WEIGHTS = "weights"
_CONFIG = "config.json"
_RUN = "run.json"
_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy"
)
# What may differ when a run goes on: where and how long, not what is trained.
FREE = (
    "steps",
    "log",
    "checkpoint",
    "init.weights",
    "init.inverter",
    "data.path",
    "data.validation_path",
    "data.threads",
    "optimizer",
    "compute.precision",
    "compute.accumulate",
    "compute.remat",
)


def check_config(workdir: str | os.PathLike, config: ConfigDict) -> None:
  """Makes sure that a run goes on as what it was; changes nothing.

  Raises:
    UserError: no folder, or its run trains something else.
  """
  if os.path.exists(workdir) and not os.path.isdir(workdir):
    raise UserError(f"--workdir {workdir} is a file, no folder")
  stored = _read(pathlib.Path(workdir) / _CONFIG)
  if stored is None or checkpoints.latest_step(workdir) is None:
    return
  before, now = _flat(stored), _flat(_plain(config))
  other = [
      f"{key} was {_shown(before, key)}, is {_shown(now, key)}"
      for key in sorted(before.keys() | now.keys())
      if _shown(before, key) != _shown(now, key)
  ]
  fixed = [
      change
      for change in other
      # Keys that a later version added say nothing of the run.
      if (key := change.partition(" ")[0]) in before and not _is_free(key)
  ]
  if fixed:
    raise UserError(
        f"{workdir} holds another run: {'; '.join(fixed)}; set it back to go"
        " on, or give another --workdir"
    )
  for change in other:
    logging.info("%s: %s", workdir, change)


def start(
    workdir: str | os.PathLike,
    config: ConfigDict,
    stage: Stage,
    pictures: Mapping[str, int],
) -> None:
  """Writes what a run starts from; call it in every process.

  Args:
    workdir: made if absent.
    config: resolved.
    stage: what is trained.
    pictures: how many there are of each kind.

  Raises:
    UserError: the run goes on, and was started with other frozen networks or
      another number of pictures.
  """
  workdir = pathlib.Path(workdir)
  frozen = _fingerprints(stage.frozen)
  goes_on = checkpoints.latest_step(workdir) is not None
  if goes_on and runs.is_run(workdir):
    _check_start(workdir, frozen, dict(pictures))
  if jax.process_index() != 0:
    return
  workdir.mkdir(parents=True, exist_ok=True)
  atomic.write_json(workdir / _CONFIG, _plain(config))
  networks = {
      name: {
          "network": type(m).__name__,
          "sizes": weights.sizes(m),
          "info": dict(stage.info.get(name, {})),
      }
      for name, m in stage.trained.items()
  }
  atomic.write_json(
      workdir / runs.DOCUMENT,
      {"networks": networks, "frozen": frozen, "pictures": dict(pictures)},
  )
  starts = _read(workdir / _RUN) or []
  atomic.write_json(workdir / _RUN, [*starts, _this_start()])
  folder = workdir / WEIGHTS
  for name, (network, variables) in stage.given.items():
    if not (goes_on and (folder / name).is_dir()):
      weights.write(folder / name, network, variables)
  if "init" in config and not config.init.random:
    for name in ("directions", "mappers"):
      source = weights.locate(config.init.weights) / name
      if source.is_dir():
        shutil.copytree(
            source,
            folder / name,
            ignore=shutil.ignore_patterns("*.png"),
            dirs_exist_ok=True,
        )


def _check_start(
    workdir: pathlib.Path, frozen: dict[str, str], pictures: dict[str, int]
) -> None:
  """Raises UserError where a run would go on with other data or networks."""
  before = runs.document(workdir)
  other = [k for k, v in frozen.items() if before["frozen"].get(k) != v]
  if other:
    raise UserError(
        f"{workdir} was trained with other weights of {', '.join(other)} than"
        " init.weights and init.inverter now hold; name the old ones to go on,"
        " or give another --workdir"
    )
  if before["pictures"] != pictures:
    raise UserError(
        f"{workdir} was trained on {before['pictures']} pictures, data.path and"
        f" data.validation_path now hold {pictures}: what was held out would"
        " mix with what is trained on; restore them to go on, or give another"
        " --workdir"
    )


def write_weights(workdir: str | os.PathLike, stage: Stage) -> None:
  """Writes the last checkpoint's networks; call it in every process.

  Args:
    workdir: of the run.
    stage: what was trained.
  """
  found = runs.variables(workdir, stage.trained)  # all processes together
  if jax.process_index() != 0:
    return
  folder = pathlib.Path(workdir) / WEIGHTS
  for name, variables in found.items():
    network, info = stage.trained[name], stage.info.get(name)
    weights.write(folder / name, network, variables, info)
  logging.info("wrote %s", folder)


def _fingerprints(frozen: Frozen) -> dict[str, str]:
  """SHA-256 of every frozen network's arrays."""
  found = {}
  for name, tree in frozen.items():
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    digest = hashlib.sha256()
    for path, leaf in leaves:
      leaf = np.asarray(leaf)
      text = f"{jax.tree_util.keystr(path)} {leaf.dtype}{leaf.shape}"
      digest.update(text.encode())
      digest.update(np.ascontiguousarray(leaf).data)
    if leaves:
      found[name] = digest.hexdigest()
  return found


def _this_start() -> dict[str, Any]:
  return {
      "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
      "command": sys.argv,
      "commit": _commit(),
      "python": sys.version.split()[0],
      "versions": {p: importlib.metadata.version(p) for p in _PACKAGES},
      "platform": jax.default_backend(),
      "device": jax.devices()[0].device_kind,
      "devices": jax.device_count(),
      "processes": jax.process_count(),
  }


def _commit() -> str | None:
  """Of this code; "-dirty" where it was edited since."""
  git = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
  try:
    done = subprocess.run(
        git,
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()


def _plain(config: ConfigDict) -> dict[str, Any]:
  """As it comes back from JSON."""
  return json.loads(config.to_json())


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
  """{"data": {"path": x}} -> {"data.path": x}."""
  if not isinstance(tree, dict):
    return {prefix: tree}
  out = {}
  for key, value in tree.items():
    out |= _flat(value, f"{prefix}.{key}" if prefix else key)
  return out


def _shown(flat: dict[str, Any], key: str) -> str:
  return json.dumps(flat[key]) if key in flat else "absent"


def _is_free(key: str) -> bool:
  return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _read(path: pathlib.Path) -> Any:
  if not path.exists():
    return None
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise UserError(f"{path} cannot be read: {error}") from None
