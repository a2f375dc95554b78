"""Evaluation protocols on pictures: inversion quality, and editing FID.

Pictures pass in batches and Frechet distances use running moments, so that no
set of pictures is held in memory.  Every picture is compared with its own
inversion, so the order of the files does not matter.
"""

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sfe_jax.errors import UserError
from sfe_jax.measures.frechet import Moments, frechet_distance
from sfe_jax.metrics.judge import Judge
from sfe_jax.metrics.methods import Method
from sfe_jax.storage.images import Pictures


def batches(
    items: Iterable[np.ndarray], size: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Yields stacks of `size` items and how many of the items are real.

  The last stack is padded with its last item, so that networks compile for one
  shape only.
  """
  items = iter(items)
  while chunk := list(itertools.islice(items, size)):
    count = len(chunk)
    yield np.stack(chunk + chunk[-1:] * (size - count)), count


class Means:
  """Means and standard errors of values that arrive in batches."""

  def __init__(self) -> None:
    self._values: dict[str, list[np.ndarray]] = {}

  def add(self, values: Mapping[str, np.ndarray], count: int) -> None:
    """Adds the first `count` of the (n,) values of every name."""
    for key, value in values.items():
      self._values.setdefault(key, []).append(value[:count])

  def result(self) -> dict[str, Any]:
    """Returns {name: mean, ..., "standard_errors": {name: error}}.

    The standard error of a single value is None.
    """
    values = {k: np.concatenate(v) for k, v in self._values.items()}
    return {
        **{k: float(v.mean()) for k, v in values.items()},
        "standard_errors": {
            k: float(v.std(ddof=1) / np.sqrt(len(v))) if len(v) > 1 else None
            for k, v in values.items()
        },
    }


class _Stopwatch:
  """Measures seconds per picture; the first batch, which compiles, is left out.

  The timed code must return NumPy arrays, so that the device has finished.
  """

  def __init__(self, batch_size: int) -> None:
    self._batch_size = batch_size
    self._seconds: list[float] = []

  @contextlib.contextmanager
  def batch(self) -> Iterator[None]:
    """Times the block, which processes one batch."""
    start = time.perf_counter()
    yield
    self._seconds.append(time.perf_counter() - start)

  def result(self) -> float | None:
    """Median over the batches; None if there was only one."""
    if len(self._seconds) < 2:
      return None
    return float(np.median(self._seconds[1:])) / self._batch_size


def inversion(
    method: Method, judge: Judge, pictures: Pictures, batch_size: int
) -> dict[str, Any]:
  """Inversion quality: distances to the pictures, and FID (paper, table 1).

  Args:
    method: inverts the pictures.
    judge: measures the inversions.
    pictures: the test set.
    batch_size: pictures per batch.

  Returns:
    "count" of pictures, the means and standard errors of `Judge.compare`,
    "fid" between pictures and inversions (None for a single picture), and
    "seconds_per_picture" (None for a single batch).

  Raises:
    UserError: no picture can be read.
  """
  stopwatch, means = _Stopwatch(batch_size), Means()
  real, inverted = judge.moments(), judge.moments()
  for batch, count in batches(pictures, batch_size):
    with stopwatch.batch():
      out = method.reconstruct(method.encode(batch))
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
      "seconds_per_picture": stopwatch.result(),
  }


def editing(
    method: Method,
    judge: Judge,
    compared: Pictures,
    edited: Pictures,
    name: str,
    strength: float,
    batch_size: int,
) -> dict[str, Any]:
  """Editing FID (paper, section 4.3).

  If the edit adds an attribute, `compared` are the pictures that have it and
  `edited` those that lack it; if the edit removes it, the other way round.

  Args:
    method: edits the pictures.
    judge: provides the features.
    compared: pictures that stay as they are.
    edited: pictures that are edited.
    name: direction of the edit.
    strength: strength of the edit.
    batch_size: pictures per batch.

  Returns:
    "count_compared" and "count_edited"; "fid" between `compared` and the edited
    pictures; "fid_unedited" between `compared` and `edited` before the edit;
    "seconds_per_picture" (None for a single batch).

  Raises:
    UserError: one of the sets has fewer than 2 readable pictures.
  """
  stopwatch = _Stopwatch(batch_size)
  kept, before, after = (judge.moments() for _ in range(3))
  for batch, count in batches(compared, batch_size):
    kept.update(judge.features(batch)[:count])
  _check_count(kept, "to compare with")
  for batch, count in batches(edited, batch_size):
    with stopwatch.batch():
      out = method.edit(method.encode(batch), name, strength)
    before.update(judge.features(batch)[:count])
    after.update(judge.features(out)[:count])
  _check_count(before, "to edit")
  return {
      "count_compared": kept.count,
      "count_edited": before.count,
      "fid": frechet_distance(kept, after),
      "fid_unedited": frechet_distance(kept, before),
      "seconds_per_picture": stopwatch.result(),
  }


def _check_count(moments: Moments, what: str) -> None:
  if moments.count < 2:
    raise UserError(
        "a Frechet distance needs at least 2 pictures of each kind, got"
        f" {moments.count} {what}"
    )
