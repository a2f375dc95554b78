"""Edits as the command line names them, and their list as JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

from absl import logging

from sfe_jax.directions import Registry, parse_strengths, range_text
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

  Logs a warning for strengths outside the useful range of a direction.

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
  parsed: dict[str, tuple[float, ...]] = {}
  for name, strengths in parse_strengths(texts, "--edit").items():
    entry = registry.entry(name)
    registry.get(entry.name)
    if entry.name in parsed:
      raise UserError(f"--edit {entry.name} is given twice; use one list")
    for strength in strengths:
      if not entry.in_range(strength):
        logging.warning(
            "%s %g is outside the useful range %s",
            entry.name, strength, range_text(entry.low, entry.high),
        )
    parsed[entry.name] = strengths
  lengths = {len(s) for s in parsed.values()} - {1}
  if len(lengths) > 1:
    raise UserError(
        f"lists of strengths must have one length, got {sorted(lengths)}"
    )
  count = max(lengths, default=1) if parsed else 0
  return [
      EditSpec({name: s[i % len(s)] for name, s in parsed.items()})
      for i in range(count)
  ]


def as_json(registry: Registry) -> str:
  """Lists all edits as JSON, one object per edit."""
  rows = [dataclasses.asdict(row) for row in registry.describe()]
  return json.dumps(rows, indent=1)
