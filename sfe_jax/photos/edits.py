"""Edits as the command line names them, and their list as JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

from sfe_jax.directions import Registry, parse_strengths, strengths
from sfe_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class EditSpec:
  """One edited version of every picture.

  Attributes:
    strengths: by name of the direction; they add up.
  """

  strengths: dict[str, float]

  @property
  def folder(self) -> pathlib.Path:
    """EDIT/edit_power_5.0000, with several edits joined by "+" and "_"."""
    powers = "_".join(f"{s:.4f}" for s in self.strengths.values())
    return pathlib.Path("+".join(self.strengths)) / f"edit_power_{powers}"

  @property
  def title(self) -> str:
    """Heading in sheets, such as "age 5, smile -3"."""
    return ", ".join(f"{name} {s:g}" for name, s in self.strengths.items())


def parse(
    texts: Sequence[str], registry: Registry, separately: bool = False
) -> list[EditSpec]:
  """Parses edits: ["age=-5,5", "smile=3"] gives two, each with both names.

  Args:
    texts: NAME=STRENGTH or NAME=STRENGTH,STRENGTH,...
    registry: the known edits.
    separately: apply every text alone instead of all together.

  Raises:
    UserError: another form, an unknown or unavailable name, or lists of
      different lengths.
  """
  groups = [[text] for text in texts] if separately else [texts]
  return [spec for group in groups for spec in _together(group, registry)]


def _together(texts: Sequence[str], registry: Registry) -> list[EditSpec]:
  """Edits that add up in one picture, one per entry of the lists."""
  parsed: dict[str, float | tuple[float, ...]] = {}
  for name, values in parse_strengths(texts, "--edit").items():
    entry = registry.entry(name)
    registry.get(entry.name)
    if entry.name in parsed:
      raise UserError(f"--edit {entry.name} is given twice; use one list")
    parsed[entry.name] = values[0] if len(values) == 1 else values
  if not parsed:
    return []
  return [EditSpec(x) for x in strengths.strip(parsed) or [dict(parsed)]]


def as_json(registry: Registry) -> str:
  """Lists all edits as JSON, one object per edit."""
  rows = [dataclasses.asdict(row) for row in registry.describe()]
  return json.dumps(rows, indent=1)
