"""Descriptions of what edits do."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from sfe_jax.storage import labels


class Words(NamedTuple):
  """What both signs of a strength do, e.g. ("darker skin", "lighter skin")."""

  plus: str
  minus: str

  def text(self, sign: float = 1) -> str:
    """The effect of a direction that goes with (1) or against the words."""
    plus, minus = self if sign > 0 else reversed(self)
    return f"+ {plus}, - {minus}"


def words_of(label: str) -> str:
  """A label's name as words: "hair_style=long" -> "hair style long"."""
  return re.sub(r"[_=]+", " ", label)


def of_schema(
    schema: labels.Schema, given: Mapping[str, tuple[str, str]]
) -> dict[str, Words]:
  """The effect of an edit of each label.

  Args:
    schema: the labels.
    given: effects that the user describes, by label, see
      `labels.read_effects`.

  Returns:
    Effects by label ("smile", "hair=long"); labels without a given effect have
    one made from their name and kind.
  """
  return {
      label: Words(*given[label]) if label in given else _default(column, label)
      for column in schema
      for label in column.outputs
  }


def _default(column: labels.Column, label: str) -> Words:
  name = words_of(label)
  if column.kind == labels.BINARY:
    return Words(f"adds {name}", f"removes {name}")
  if column.kind == labels.CONTINUOUS:
    return Words(f"raises {name}", f"lowers {name}")
  other = f"{words_of(column.name)} something else"
  return Words(f"makes {name}", f"makes {other}")
