"""The interface of every source of pictures."""

import dataclasses
from typing import Protocol

import numpy as np


class Source(Protocol):
  """Pictures by index; reading a damaged picture raises UserError."""

  @property
  def resolution(self) -> int:
    """Height and width of every picture."""
    ...

  def __len__(self) -> int:
    ...

  def __getitem__(self, index: int, /) -> np.ndarray:
    ...


def files_of(source: Source) -> list[str] | None:
  """Paths of a source's pictures; None if they are not files."""
  return getattr(source, "paths", None)


@dataclasses.dataclass(frozen=True)
class Labelled:
  """A source with a label for every picture.

  Attributes:
    source: pictures.
    labels: (n, outputs) float32, columns as in `labels.Table.values`.
  """

  source: Source
  labels: np.ndarray

  @property
  def resolution(self) -> int:
    """Height and width of every picture."""
    return self.source.resolution

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> np.ndarray:
    return self.source[index]
