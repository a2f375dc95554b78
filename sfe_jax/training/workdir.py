"""Writes what a run's folder says about the run; see `storage.runs`."""

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
from flax import traverse_util
from ml_collections import ConfigDict

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, checkpoints, layout, runs, weights
from sfe_jax.training.stage import Stage
from sfe_jax.training.state import Frozen

_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy"
)
# Config values that may change when a run is resumed: they say where things
# are and how long the run takes, not what is trained.
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
  """Checks that a run in `workdir` can be resumed with `config`.

  Nothing is written.

  Raises:
    UserError: `workdir` cannot be written to, its run trains something else,
      or checkpoint.deploy is unknown.
  """
  _deploy(config)
  atomic.require_writable(workdir)
  stored = runs.config(workdir)
  if stored is None or checkpoints.latest_step(workdir) is None:
    return
  before, now = _flat(stored), _flat(_plain(config))
  # Keys that only a later version of a config has do not count.
  changed = {
      key: f"{key} was {_shown(before, key)}, is {_shown(now, key)}"
      for key in sorted(before.keys() | now.keys())
      if _shown(before, key) != _shown(now, key)
  }
  fixed = [
      change
      for key, change in changed.items()
      if key in before and not _is_free(key)
  ]
  if fixed:
    raise UserError(
        f"{workdir} holds another run: {'; '.join(fixed)}; restore it to"
        " continue, or give another --workdir"
    )
  for change in changed.values():
    logging.info("%s: %s", workdir, change)


def start(
    workdir: str | os.PathLike,
    config: ConfigDict,
    stage: Stage,
    pictures: Mapping[str, int],
) -> None:
  """Writes what a run starts from; call it in every process.

  Args:
    workdir: folder of the run; created if absent.
    config: resolved config.
    stage: what is trained.
    pictures: number of pictures of each kind.

  Raises:
    UserError: a run is resumed that was started with other frozen networks or
      another number of pictures.
  """
  workdir = pathlib.Path(workdir)
  frozen = _fingerprints(stage.frozen)
  resumed = checkpoints.latest_step(workdir) is not None
  if resumed and layout.is_run(workdir):
    _check_start(workdir, frozen, dict(pictures))
  if jax.process_index() != 0:
    return
  workdir.mkdir(parents=True, exist_ok=True)
  atomic.write_json(workdir / layout.CONFIG, _plain(config))
  networks = {
      name: {
          "network": type(m).__name__,
          "sizes": weights.sizes(m),
          "info": dict(stage.info.get(name, {})),
      }
      for name, m in stage.trained.items()
  }
  atomic.write_json(
      workdir / layout.TRAINED,
      {
          "networks": networks,
          "frozen": frozen,
          "pictures": dict(pictures),
          "deploy": _deploy(config),
      },
  )
  starts = [*runs.starts(workdir), _this_start()]
  atomic.write_json(workdir / layout.STARTS, starts)
  _write_given(workdir / layout.WEIGHTS, config, stage, keep=resumed)


def _write_given(
    folder: pathlib.Path, config: ConfigDict, stage: Stage, keep: bool
) -> None:
  """Writes what an editor needs besides the trained networks.

  These are frozen networks, directions and mappers.

  Args:
    folder: weight folder.
    config: resolved config; its init.weights holds the directions and mappers.
    stage: holds the networks.
    keep: leave networks that are in the folder.
  """
  for name, (network, variables) in stage.given.items():
    if not (keep and (folder / name).is_dir()):
      weights.write(folder / name, network, variables)
  if "init" not in config or config.init.random:
    return
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
  """Raises UserError if a run was started with other data or networks."""
  before = runs.document(workdir)
  other = [k for k, v in frozen.items() if before["frozen"].get(k) != v]
  if other:
    raise UserError(
        f"{workdir} was trained with other weights of {', '.join(other)} than"
        " init.weights and init.inverter now hold; restore the old ones to"
        " continue, or give another --workdir"
    )
  if before["pictures"] != pictures:
    raise UserError(
        f"{workdir} was trained on {before['pictures']} pictures, data.path and"
        f" data.validation_path now hold {pictures}, so that held-out pictures"
        " could become training pictures; restore them to continue, or"
        " give another --workdir"
    )


def write_weights(workdir: str | os.PathLike, stage: Stage) -> None:
  """Writes the trained networks to WORKDIR/weights; call it in every process.

  They come from the checkpoint that `checkpoint.deploy` chooses, see
  `runs.deployed_step`; its number is added to WORKDIR/trained.json.

  Args:
    workdir: folder of the run.
    stage: what was trained.

  Raises:
    UserError: there is no checkpoint, or it is damaged.
  """
  workdir = pathlib.Path(workdir)
  step = runs.deployed_step(workdir)
  # All processes read the checkpoint together.
  found = runs.variables(workdir, stage.trained, step)
  if jax.process_index() != 0:
    return
  folder = workdir / layout.WEIGHTS
  for name, variables in found.items():
    network, info = stage.trained[name], stage.info.get(name)
    weights.write(folder / name, network, variables, info)
  document = runs.document(workdir)
  deploy = document.get("deploy", {}) | {"step": step}
  atomic.write_json(workdir / layout.TRAINED, document | {"deploy": deploy})
  logging.info("wrote %s from checkpoint %d", folder, step)


def _deploy(config: ConfigDict) -> dict[str, str]:
  """Which checkpoint is deployed, for WORKDIR/trained.json.

  Raises:
    UserError: checkpoint.deploy is unknown.
  """
  saving = config.checkpoint
  choice = saving.get("deploy", runs.BEST)
  if choice not in (runs.BEST, runs.LAST):
    raise UserError(
        f"checkpoint.deploy must be {runs.BEST} or {runs.LAST}, got {choice!r}"
    )
  return {"choice": choice, "metric": saving.best}


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
  """Command, versions, devices and commit of this start, for run.json."""
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
  """Commit of this code, with "-dirty" after changes; None if unknown."""
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
  """A config after conversion to JSON and back."""
  return json.loads(config.to_json())


def _flat(config: dict[str, Any]) -> dict[str, Any]:
  """{"data": {"path": x}} -> {"data.path": x}."""
  return traverse_util.flatten_dict(config, sep=".")


def _shown(flat: dict[str, Any], key: str) -> str:
  return json.dumps(flat[key]) if key in flat else "absent"


def _is_free(key: str) -> bool:
  return any(key == free or key.startswith(f"{free}.") for free in FREE)
