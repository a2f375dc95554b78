"""What a run reads before it starts, and whether it is there.

Nothing here reads arrays or pictures: the checks are cheap enough for
`python -m sfe_jax.train --dry_run`.
"""

import dataclasses
import os
import pathlib

from ml_collections import ConfigDict

from sfe_jax.errors import UserError
from sfe_jax.storage import checkpoints, layout, origins, runs, weights


@dataclasses.dataclass(frozen=True)
class Requirement:
  """One thing that a run needs.

  Attributes:
    what: name for people, e.g. "network generator".
    where: path or other place where it was looked for.
    problem: what is wrong and the way out; "" if the thing is there.
    note: a fact about a thing that is there, e.g. "70000 pictures".
  """

  what: str
  where: str
  problem: str = ""
  note: str = ""

  @property
  def found(self) -> bool:
    """Whether the thing is there."""
    return not self.problem

  def __str__(self) -> str:
    """One line without line break, such as "network e4e: weights/e4e"."""
    line = f"{self.what}: {self.where}"
    if self.problem:
      return f"{line}: {self.problem}"
    return f"{line} ({self.note})" if self.note else line


def labels_path(config: ConfigDict) -> str:
  """Path of the labels that a config names; "" if it names none."""
  labels = config.data.get("labels")
  return os.path.join(config.data.path, labels) if labels else ""


def network(
    folder: str | os.PathLike, name: str, resolution: int = 0
) -> Requirement:
  """Looks for a network in a weight folder.

  Args:
    folder: weight folder, or the name of weights that ship with the project.
    name: name of the network.
    resolution: resolution of the generator; it decides which published model
      an error suggests.
  """
  path = weights.locate(folder) / name
  where = weights.shown(path)
  problem = ""
  if not path.is_dir():
    problem = f"missing; {origins.way_to(name, resolution)}"
  else:
    try:
      weights.describe(path)
    except UserError as error:
      problem = str(error)
  return Requirement(f"network {name}", where, problem)


def trained_network(folder: str, option: str, name: str) -> Requirement:
  """Looks for a network in a weight folder or in the workdir of a run.

  Args:
    folder: value of the option.
    option: key of the config that names the folder, for messages.
    name: name of the network.
  """
  what = f"{option}, network {name}"
  if not folder:
    problem = (
        "not set; name phase 1's workdir, or a weight folder, with"
        f" --config.{option}"
    )
    return Requirement(what, '""', problem)
  path = weights.locate(folder)
  if holds(folder, name):
    problem = ""
    if not (path / name).is_dir() and checkpoints.latest_step(path) is None:
      problem = "has no checkpoint yet: train it first"
    return Requirement(what, folder, problem)
  if layout.is_run(path):
    problem = f"trains {', '.join(runs.names(path))}, not {name}"
  else:
    problem = (
        f"holds no {name}; give a workdir of the stage that trains it, or a"
        " weight folder made by python -m sfe_jax.convert"
    )
  return Requirement(what, folder, problem)


def holds(folder: str | os.PathLike, name: str) -> bool:
  """Whether a weight folder, or the workdir of a run, holds a network.

  Args:
    folder: path or name; "" holds nothing.
    name: name of the network.
  """
  if not folder:
    return False
  path = pathlib.Path(weights.locate(folder))
  if (path / name).is_dir():
    return True
  return layout.is_run(path) and name in runs.names(path)


def require(requirements: list[Requirement]) -> None:
  """Raises UserError that names everything that is missing."""
  missing = [r for r in requirements if not r.found]
  if len(missing) == 1:
    raise UserError(str(missing[0]))
  if missing:
    raise UserError(
        f"{len(missing)} things are missing: "
        + "; ".join(f"({i}) {r}" for i, r in enumerate(missing, 1))
    )
