"""How methods are measured on pictures: inversion, and editing by labels.

Nothing holds a whole set: pictures pass in batches, and Frechet distances are
of running moments.  A picture is compared with what was made of itself, so no
order of files matters.
"""

import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from sfe_jax.errors import UserError
from sfe_jax.measures.frechet import frechet_distance
from sfe_jax.metrics.judge import Judge
from sfe_jax.metrics.methods import Method
from sfe_jax.storage import labels
from sfe_jax.storage.images import Pictures

_ATTRIBUTE = re.compile(r"([^<>]+?)\s*(?:([<>])\s*(\S+))?")


def batches(
    items: Iterable[np.ndarray], size: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Stacks of `size` items, and how many of them count.

  The last stack is filled up with its last item, so that one shape compiles.
  """
  items = iter(items)
  while chunk := list(itertools.islice(items, size)):
    count = len(chunk)
    yield np.stack(chunk + chunk[-1:] * (size - count)), count


class Means:
  """Means and standard errors of values that arrive in batches."""

  def __init__(self):
    self._values: dict[str, list[np.ndarray]] = {}

  def add(self, values: dict[str, np.ndarray], count: int) -> None:
    """Adds the first `count` of each."""
    for key, value in values.items():
      self._values.setdefault(key, []).append(value[:count])

  def result(self) -> dict[str, Any]:
    """{name: mean, ..., "standard_errors": {name: error}}."""
    values = {k: np.concatenate(v) for k, v in self._values.items()}
    return {
        **{k: float(v.mean()) for k, v in values.items()},
        "standard_errors": {
            k: float(v.std(ddof=1) / np.sqrt(len(v))) if len(v) > 1 else None
            for k, v in values.items()
        },
    }


class _Clock:
  """Seconds per picture, without the first batch, which compiles."""

  def __init__(self, batch_size: int):
    self._batch_size = batch_size
    self._seconds: list[float] = []

  def __call__(self, function: Callable[[], np.ndarray]) -> np.ndarray:
    start = time.perf_counter()
    out = function()
    self._seconds.append(time.perf_counter() - start)
    return out

  def result(self) -> float | None:
    """Median over batches; None where one batch was all."""
    if len(self._seconds) < 2:
      return None
    return float(np.median(self._seconds[1:])) / self._batch_size


def inversion(
    method: Method, judge: Judge, pictures: Pictures, batch_size: int
) -> dict[str, Any]:
  """How close inversions are, each to its picture and all to all (FID).

  Returns:
    Means of `Judge.compare`, and "fid", which is None for a single picture.

  Raises:
    UserError: no picture can be read.
  """
  clock, means = _Clock(batch_size), Means()
  real, inverted = judge.moments(), judge.moments()
  for batch, count in batches(pictures, batch_size):
    out = clock(lambda x=batch: method.reconstruct(method.encode(x)))
    means.add(judge.compare(out, batch), count)
    real.update(judge.features(batch)[:count])
    inverted.update(judge.features(out)[:count])
  if not real.count:
    raise UserError(f"none of the {len(pictures.paths)} pictures can be read")
  fid = frechet_distance(real, inverted) if real.count > 1 else None
  return {
      "count": real.count,
      **means.result(),
      "fid": fid,
      "seconds_per_picture": clock.result(),
  }


def divide(
    table: labels.Table, files: Sequence[str], attribute: str
) -> np.ndarray:
  """Which of some files have an attribute: (files,) bool.

  Args:
    table: labels of at least these files.
    files: paths.
    attribute: a column of 0 and 1, "COLUMN>NUMBER" or "COLUMN<NUMBER", or
      "COLUMN=TEXT" of a category.

  Raises:
    UserError: no such column, one of numbers without a threshold, or a file
      without labels.
  """
  match = _ATTRIBUTE.fullmatch(attribute.strip())
  name, sign, number = match.groups() if match else (attribute, None, None)
  places = {
      output: (column, span.start + i)
      for column, span in labels.spans(table.schema)
      for i, output in enumerate(column.outputs)
  }
  if name not in places:
    raise UserError(
        f"--attribute {attribute}: {table.path} has no column {name!r} that"
        f" divides pictures; it has {', '.join(places)}"
    )
  column, place = places[name]
  try:
    threshold = float(number) if number else 0.5
  except ValueError:
    threshold = np.nan
  if np.isnan(threshold) or (column.kind == labels.CONTINUOUS and not sign):
    raise UserError(
        f"--attribute {attribute}: write a threshold, e.g."
        f" '{name}>{column.mean:.3g}'"
    )
  # Standardised and rounded as the labels are, so that equal stays equal.
  threshold = np.float32((threshold - column.mean) / column.std)
  values = table.of(files)[:, place]
  return values < threshold if sign == "<" else values > threshold


def editing(
    method: Method,
    judge: Judge,
    with_it: Pictures,
    without_it: Pictures,
    name: str,
    strength: float,
    batch_size: int,
) -> dict[str, Any]:
  """Editing FID (paper, section 4.3).

  A strength above 0 adds the attribute: pictures without it, B, are edited to
  B' and compared with those that have it, A.  Below 0 it is removed: B are
  those that have it, A those that do not.

  Raises:
    UserError: fewer than 2 pictures on a side, or a strength of 0.
  """
  if not strength:
    raise UserError(f"--edit {name}=0 changes nothing; give a strength")
  kept, changed = with_it, without_it
  if strength < 0:
    kept, changed = changed, kept
  clock, (a, b, edited) = _Clock(batch_size), (judge.moments() for _ in "ABC")
  for batch, count in batches(kept, batch_size):
    a.update(judge.features(batch)[:count])
  for batch, count in batches(changed, batch_size):
    out = clock(lambda x=batch: method.edit(method.encode(x), name, strength))
    b.update(judge.features(batch)[:count])
    edited.update(judge.features(out)[:count])
  for moments, what in ((a, "to compare with"), (b, "to edit")):
    if moments.count < 2:
      raise UserError(
          "a Frechet distance needs at least 2 pictures of each kind, got"
          f" {moments.count} {what}"
      )
  return {
      "count_compared": a.count,
      "count_edited": b.count,
      "fid": frechet_distance(a, edited),
      "fid_unedited": frechet_distance(a, b),
      "seconds_per_picture": clock.result(),
  }
