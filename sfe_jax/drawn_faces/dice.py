"""Random numbers for the details that no attribute describes.

Each part of the picture has its own numbers.  A part takes all of its numbers,
in the same order, whatever the attributes are, so that changing one attribute
changes no other detail.
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
  """The sequence of random numbers of one part."""

  def __init__(self, numbers: np.ndarray):
    self._numbers = numbers
    self._used = 0

  def many(
      self, count: int, low: float = 0.0, high: float = 1.0
  ) -> np.ndarray:
    """Takes numbers (count,), uniform between low and high."""
    start, self._used = self._used, self._used + count
    if self._used > len(self._numbers):
      raise ValueError(f"a part has only {len(self._numbers)} random numbers")
    return low + (high - low) * self._numbers[start:self._used]

  def one(self, low: float = 0.0, high: float = 1.0) -> float:
    """Takes one number, uniform between low and high."""
    return float(self.many(1, low, high)[0])

  def chance(self, share: float) -> bool:
    """Takes one number; True with probability `share`."""
    return self.one() < share

  def pick(self, options: Sequence[_T]) -> _T:
    """Takes one number; returns an option, all equally likely."""
    return options[int(self.one() * len(options))]


def details(seed: int) -> dict[str, Dice]:
  """Random numbers of each of PARTS, from a face's `detail`."""
  table = np.random.default_rng(seed).random((len(PARTS), _NUMBERS))
  return {name: Dice(row) for name, row in zip(PARTS, table)}
