"""What a run's folder says about the run.

  WORKDIR/config.json    the resolved config
  WORKDIR/network.json   the trained network, as in a weight folder
  WORKDIR/run.json       for every start: command, versions, devices, commit
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import flax.linen as nn
import jax
from absl import logging
from ml_collections import ConfigDict

from sfe_jax import checkpoint, weights
from sfe_jax.errors import UserError

_CONFIG = "config.json"
_NETWORK = "network.json"
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
    "compute.accumulate",
    "compute.remat",
)


def check_config(workdir: str | os.PathLike, config: ConfigDict) -> None:
  """Makes sure that a run goes on as what it was; changes nothing.

  Raises:
    UserError: the folder's run trains something else.
  """
  stored = _read(pathlib.Path(workdir) / _CONFIG)
  if stored is None or checkpoint.latest_step(workdir) is None:
    return
  before, now = _flat(stored), _flat(_plain(config))
  other = [
      f"{key} was {_shown(before, key)}, is {_shown(now, key)}"
      for key in sorted(before.keys() | now.keys())
      if _shown(before, key) != _shown(now, key)
  ]
  fixed = [x for x in other if not _is_free(x.partition(" ")[0])]
  if fixed:
    raise UserError(
        f"{workdir} holds another run: {'; '.join(fixed)}; set it back to go"
        " on, or give another --workdir"
    )
  for change in other:
    logging.info("%s: %s", workdir, change)


def write(
    workdir: str | os.PathLike,
    config: ConfigDict,
    name: str,
    network: nn.Module,
) -> None:
  """Writes all of them; call it in process 0.

  Args:
    workdir: made if absent.
    config: resolved.
    name: of the trained network.
    network: its module.
  """
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  _write(workdir / _CONFIG, _plain(config))
  _write(
      workdir / _NETWORK,
      {
          "format": weights.FORMAT,
          "network": type(network).__name__,
          "sizes": weights.sizes(network),
          "info": {"name": name},
      },
  )
  starts = _read(workdir / _RUN) or []
  _write(workdir / _RUN, [*starts, _this_start()])


def read_config(workdir: str | os.PathLike) -> ConfigDict:
  """The config that a run was made with, locked.

  Raises:
    UserError: the folder is not a run's.
  """
  stored = _read(pathlib.Path(workdir) / _CONFIG)
  if stored is None:
    raise UserError(f"{workdir} is no workdir of a run: {_CONFIG} is missing")
  return ConfigDict(_with_tuples(stored)).lock()


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


def _with_tuples(tree: Any) -> Any:
  if isinstance(tree, dict):
    return {key: _with_tuples(value) for key, value in tree.items()}
  if isinstance(tree, list):
    return tuple(map(_with_tuples, tree))
  return tree


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


def _write(path: pathlib.Path, content: Any) -> None:
  part = path.with_name(f".{path.name}.{os.getpid()}")
  part.write_text(json.dumps(content, indent=1) + "\n")
  part.replace(path)
