"""Checks a config and lists what its run needs, before anything slow starts."""

import glob
import json
import os
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from sfe_jax.data import shards
from sfe_jax.data.sources import KINDS
from sfe_jax.errors import UserError
from sfe_jax.storage import checkpoints, images
from sfe_jax.training import stages
from sfe_jax.training.requirements import Requirement

PRECISIONS = ("default", "high", "highest")
_SMALLEST = {
    "steps": 1,
    "data.batch_size": 1,
    "data.threads": 0,
    "data.validation_count": 0,
    "log.every": 0,
    "log.grid_every": 0,
    "log.validate_every": 0,
    "checkpoint.every": 0,
    "checkpoint.keep": 1,
}


def check(config: ConfigDict) -> None:
  """Raises UserError if a value of the config is not allowed.

  Looks at no file and at no device.
  """
  for key, smallest in _SMALLEST.items():
    value = _value(config, key, smallest)
    if value < smallest:
      raise UserError(f"{key} must be at least {smallest}, got {value}")
  for key, value in config.get("optimizer", {}).items():
    if key == "anneal":
      if not 0 <= value <= 1:
        raise UserError(f"optimizer.anneal must be from 0 to 1, got {value}")
    elif not value > 0:
      raise UserError(f"optimizer.{key} must be above 0, got {value}")
  for key, known in (
      ("data.source", KINDS), ("compute.precision", PRECISIONS)
  ):
    value = _value(config, key, None)
    if value not in known:
      raise UserError(
          f"{key} must be one of {', '.join(known)}, got {value!r}"
      )
  stages.check(config)


def _value(config: ConfigDict, key: str, default: Any) -> Any:
  """The value of a key such as "data.batch_size"."""
  value = config
  for part in key.split("."):
    value = value.get(part, default)
  return value


def requirements(config: ConfigDict) -> list[Requirement]:
  """Looks for everything that the run reads; reads no arrays or pictures."""
  data = config.data
  found = [_pictures("pictures", "data.path", config)]
  # For tfds, validation_path is the name of a split, not a path.
  if data.validation_path and data.source != "tfds":
    option = "data.validation_path"
    found.append(_pictures("validation pictures", option, config))
  return found + stages.requirements(config)


def _pictures(what: str, option: str, config: ConfigDict) -> Requirement:
  """Looks for the pictures in the folder that an option names."""
  data = config.data
  path = data[option.removeprefix("data.")]
  look = {"folder": _folder, "array_record": _shards, "tfds": _tfds}
  try:
    return look[data.source](what, path, option, config)
  except UserError as error:
    return Requirement(what, repr(path), str(error))


def _folder(
    what: str, path: str, option: str, config: ConfigDict
) -> Requirement:
  del config
  if not os.path.isdir(path):
    problem = f"no such folder of pictures; name yours with --config.{option}"
    return Requirement(what, repr(path), problem)
  files = images.find_below(path)
  return Requirement(what, path, note=f"{len(files)} image files")


def _shards(
    what: str, path: str, option: str, config: ConfigDict
) -> Requirement:
  del config
  if os.path.isdir(path):
    count = shards.read_metadata(path).count
    return Requirement(what, path, note=f"{count} pictures")
  files = glob.glob(path)
  if not files:
    problem = (
        "no such shards; python -m sfe_jax.data.prepare writes them, and"
        f" --config.{option} names their folder"
    )
    return Requirement(what, repr(path), problem)
  return Requirement(what, path, note=f"{len(files)} shards")


def _tfds(
    what: str, path: str, option: str, config: ConfigDict
) -> Requirement:
  if not path:
    return Requirement(what, "the default folder of TFDS", note="not checked")
  folder = os.path.join(os.path.expanduser(path), config.data.name)
  if not os.path.isdir(folder):
    problem = (
        "no such data set of TensorFlow Datasets; prepare it there as"
        f" array_record, or set --config.{option} and --config.data.name"
    )
    return Requirement(what, repr(folder), problem)
  return Requirement(what, folder)


def describe(
    config: ConfigDict,
    workdir: str,
    where: str,
    needs: list[Requirement],
) -> str:
  """What would run, for people.

  Args:
    config: resolved config.
    workdir: folder of the run.
    where: on which processes and devices.
    needs: what the run needs, see `requirements`.

  Returns:
    Lines: the config as "KEY: JSON value", then the plan.
  """
  step = checkpoints.latest_step(workdir)
  if step is None:
    start = "from the start"
  elif step < config.steps:
    start = f"on from checkpoint {step}"
  else:
    start = "nothing: all steps are done"
  flat = traverse_util.flatten_dict(json.loads(config.to_json()), sep=".")
  values = [f"{key}: {json.dumps(value)}" for key, value in flat.items()]
  lines = [
      *values,
      "",
      f"stage    {config.stage}",
      f"workdir  {os.path.abspath(workdir)}",
      f"steps    {config.steps}, {start}",
      f"on       {where}",
      "needs",
  ]
  for need in needs:
    lines.append(f"  {'found  ' if need.found else 'MISSING'}  {need}")
  lines.append("dry run: nothing was started")
  return "\n".join(lines) + "\n"
