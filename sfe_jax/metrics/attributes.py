"""Attributes of labelled pictures, and what an edit does to them.

An attribute is written in one of these forms, where COLUMN is a column of a
labels file (see `storage.labels`):

  smile        a column of 0 and 1: pictures with 1 have the attribute
  age>50       a column of numbers with a threshold
  Young<0.5    pictures below the threshold, here those that are not Young
  hat=cap      one text of a column of texts
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from absl import logging

from sfe_jax.directions.entries import Entry
from sfe_jax.errors import UserError
from sfe_jax.storage import labels

ADDS, REMOVES = "adds", "removes"
_EXPRESSION = re.compile(r"([^<>]+?)\s*(?:([<>])\s*(\S+))?")


@dataclasses.dataclass(frozen=True)
class Attribute:
  """A property that each picture has or lacks.

  Attributes:
    text: the expression, as the user wrote it.
    output: name of the labels' output that it tests: "age", "hat=cap".
    below: whether pictures below the threshold, instead of above it, have the
      attribute.
    threshold: the number as written; None if there is none.
  """

  text: str
  output: str
  below: bool = False
  threshold: str | None = None


def parse(text: str) -> Attribute:
  """Parses an attribute expression, see the module's docstring."""
  match = _EXPRESSION.fullmatch(text.strip())
  if not match:
    return Attribute(text, text)
  output, comparison, threshold = match.groups()
  return Attribute(text, output, comparison == "<", threshold)


def divide(
    table: labels.Table, files: Sequence[str], attribute: Attribute
) -> np.ndarray:
  """Finds which pictures have an attribute.

  Args:
    table: labels of at least these pictures.
    files: paths of the pictures.
    attribute: the attribute to look for.

  Returns:
    (files,) bool.

  Raises:
    UserError: the table has no such column, a column of numbers is given
      without a threshold, or a picture has no labels.
  """
  places = {
      output: (column, span.start + i)
      for column, span in labels.spans(table.schema)
      for i, output in enumerate(column.outputs)
  }
  if attribute.output not in places:
    raise UserError(
        f"--attribute {attribute.text}: {table.path} has no column"
        f" {attribute.output!r} that divides pictures; it has"
        f" {', '.join(places)}"
    )
  column, place = places[attribute.output]
  # Labels are standardised and rounded to float32.  The threshold must be too,
  # so that numbers equal to it stay equal.
  threshold = np.float32(
      (_threshold(attribute, column) - column.mean) / column.std
  )
  values = table.of(files)[:, place]
  return values < threshold if attribute.below else values > threshold


def _threshold(attribute: Attribute, column: labels.Column) -> float:
  if attribute.threshold is None and column.kind != labels.CONTINUOUS:
    return 0.5
  try:
    threshold = float(attribute.threshold or "nan")
  except ValueError:
    threshold = np.nan
  if np.isnan(threshold):
    raise UserError(
        f"--attribute {attribute.text}: write a threshold, e.g."
        f" '{attribute.output}>{column.mean:.3g}'"
    )
  return threshold


@dataclasses.dataclass(frozen=True)
class Sense:
  """What an edit does to an attribute.

  Attributes:
    adds: True if the edit adds the attribute, False if it removes it.
    reason: how that is known, for the report.
  """

  adds: bool
  reason: str

  @property
  def name(self) -> str:
    """ADDS or REMOVES."""
    return ADDS if self.adds else REMOVES


def sense(
    entry: Entry,
    strength: float,
    attribute: Attribute,
    positive: str | None = None,
) -> Sense:
  """Whether an edit adds or removes an attribute.

  The sign of the strength alone does not say: positive strengths of many
  published directions remove what the direction is named after.

  Args:
    entry: the direction of the edit.
    strength: its strength.
    attribute: the attribute; for "Young<0.5" the effect on Young is reversed.
    positive: ADDS or REMOVES, what a positive strength does to the attribute;
      None takes it from the direction.

  Raises:
    UserError: the strength is 0, or the direction does not say what it does to
      the attribute and `positive` is None.
  """
  if not strength:
    raise UserError(f"--edit {entry.name}=0 changes nothing; give a strength")
  sign = entry.sense(attribute.output)
  if sign and attribute.below:
    sign = -sign
  known = {1: ADDS, -1: REMOVES, None: None}[sign]
  if positive is None and known is None:
    states = [f"adds {name}" for name in entry.adds]
    states += [f"removes {name}" for name in entry.removes]
    says = f" (it {' and '.join(states)})" if states else ""
    raise UserError(
        f"direction {entry.name!r} does not say whether it adds or removes"
        f" {attribute.text!r}{says}; give --positive=adds or"
        " --positive=removes: what a positive strength does"
    )
  if positive is None:
    reason = (
        f"direction {entry.name!r}: a positive strength {known}"
        f" {attribute.text}"
    )
  else:
    reason = f"--positive={positive}"
    if known not in (None, positive):
      logging.warning(
          "--positive=%s is used, although a positive strength of direction %r"
          " %s %s",
          positive, entry.name, known, attribute.text,
      )
  return Sense(((positive or known) == ADDS) == (strength > 0), reason)
