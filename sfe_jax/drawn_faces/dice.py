"""Random details: each part of the picture has numbers of its own.

A part draws all its numbers whatever the attributes are, always in the same
order, so that an edit of one attribute leaves every other detail alone.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")
PARTS = (
    "features", "skin", "hair", "beard", "body", "clothes", "background",
    "glasses", "earrings", "hat", "extra",
)
_NUMBERS = 320


class Dice:
  """The random numbers of one part."""

  def __init__(self, numbers: np.ndarray):
    self._numbers = numbers
    self._used = 0

  def many(self, count: int, low: float = 0.0, high: float = 1.0):
    """(count,) numbers from low to high."""
    start, self._used = self._used, self._used + count
    if self._used > len(self._numbers):
      raise ValueError(f"a part has {len(self._numbers)} numbers, no more")
    return low + (high - low) * self._numbers[start:self._used]

  def one(self, low: float = 0.0, high: float = 1.0) -> float:
    """A number from low to high."""
    return float(self.many(1, low, high)[0])

  def chance(self, share: float) -> bool:
    """True in a share of all cases."""
    return self.one() < share

  def pick(self, options: Sequence[_T]) -> _T:
    """One of some options."""
    return options[int(self.one() * len(options))]


def details(seed: int) -> dict[str, Dice]:
  """Fresh dice for every part."""
  table = np.random.default_rng(seed).random((len(PARTS), _NUMBERS))
  return {name: Dice(row) for name, row in zip(PARTS, table)}
