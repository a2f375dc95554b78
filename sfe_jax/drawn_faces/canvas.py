"""A picture that is painted layer by layer, without aliasing.

The share of each pixel that an outline covers is computed exactly, as font
rasterisers do: by summing signed areas to the right of its edges.  The cost
grows with the length of the outline and the area of its bounding box.  Layers
are collected first, so that their outlines are rasterised together.

Colours are sRGB values in [0, 1] and are mixed as such.  Image libraries reduce
pictures in the same way, so a small picture equals a reduced large one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

# Function of x (1, w) and y (h, 1), broadcast to (h, w) or (3, h, w).
Field = Callable[[np.ndarray, np.ndarray], np.ndarray]
_MOST_CELLS = 2**20  # pixels of bounding boxes that are rasterised at once


class Pixels(NamedTuple):
  """Coverage of the pixels in a box.

  Attributes:
    box: top, bottom, left and right in pixels.
    alpha: (bottom - top, right - left) float32 in [0, 1].
  """

  box: tuple[int, int, int, int]
  alpha: np.ndarray


_NOTHING = Pixels((0, 0, 0, 0), np.zeros((0, 0), np.float32))


class Cover:
  """The share of each pixel that something covers, computed when needed."""

  def __init__(self, compute: Callable[[], Pixels]):
    self._compute = compute
    self._pixels: Pixels | None = None

  @property
  def pixels(self) -> Pixels:
    """Coverage in the bounding box."""
    if self._pixels is None:
      self._pixels = self._compute()
    return self._pixels

  def settle(self, pixels: Pixels) -> None:
    """Sets the coverage instead of computing it."""
    self._pixels = pixels

  def within(self, other: "Cover") -> "Cover":
    """The product of two covers: the part of this one inside another."""
    return Cover(lambda: _common(self.pixels, other.pixels))


def _common(a: Pixels, b: Pixels) -> Pixels:
  """The product of two coverages."""
  top, left = max(a.box[0], b.box[0]), max(a.box[2], b.box[2])
  bottom, right = min(a.box[1], b.box[1]), min(a.box[3], b.box[3])
  if top >= bottom or left >= right:
    return _NOTHING
  box = top, bottom, left, right

  def part(p: Pixels) -> np.ndarray:
    y, _, x, _ = p.box
    return p.alpha[top - y:bottom - y, left - x:right - x]

  return Pixels(box, part(a) * part(b))


class _Edges(NamedTuple):
  """Edges of several covers, in pixels.

  Attributes:
    starts: (n, 2) starts of all edges, one cover after the other.
    ends: (n, 2) their ends.
    sizes: (k,) number of edges of each cover.
    low: (k, 2) left and top of the bounding box of each cover.
    high: (k, 2) right and bottom.
  """

  starts: np.ndarray
  ends: np.ndarray
  sizes: np.ndarray
  low: np.ndarray
  high: np.ndarray

  def part(self, start: int, stop: int) -> "_Edges":
    """The edges of covers start to stop - 1."""
    first = int(self.sizes[:start].sum())
    last = first + int(self.sizes[start:stop].sum())
    some = slice(start, stop)
    return _Edges(
        self.starts[first:last],
        self.ends[first:last],
        self.sizes[some],
        self.low[some],
        self.high[some],
    )


class Canvas:
  """A square picture that spans [-1 / zoom, 1 / zoom] in x and y.

  Attributes:
    pixels: height and width in pixels.
    scale: pixels per unit.
    light: (pixels,) float32, factors of the columns for the colours that are
      painted from now on.
  """

  def __init__(self, pixels: int, zoom: float = 1.0):
    self.pixels = pixels
    self.scale = zoom * pixels / 2
    self.light = np.ones(pixels, np.float32)
    self._centres = (
        (np.arange(pixels) + 0.5 - pixels / 2) / self.scale
    ).astype(np.float32)
    # Cover, colour or factor, opacity, light (None: `tint`).
    self._layers: list[tuple[Cover, Any, float, np.ndarray | None]] = []
    self._pending: list[tuple[Cover, tuple[np.ndarray, ...]]] = []

  @property
  def everything(self) -> Cover:
    """Covers the whole picture."""
    n = self.pixels
    return Cover(lambda: Pixels((0, n, 0, n), np.ones((n, n), np.float32)))

  def cover(self, *outlines: np.ndarray) -> Cover:
    """Covers the union of the insides of outlines (..., n, 2).

    Overlapping outlines must have the same orientation; an outline of the
    other orientation cuts a hole.
    """
    cover = Cover(lambda: self._rasterised(cover))
    self._pending.append((cover, outlines))
    return cover

  def soft(self, x: float, y: float, rx: float, ry: float) -> Cover:
    """Covers an elliptic spot that fades from 1 in its centre to 0."""
    return Cover(lambda: self._spot(x, y, rx, ry))

  def times(self, cover: Cover, share: Field) -> Cover:
    """The product of a cover and a function of the position."""

    def faded() -> Pixels:
      box, alpha = cover.pixels
      return Pixels(box, alpha * share(*self._grid(box)))

    return Cover(faded)

  def fill(
      self, cover: Cover, colour: np.ndarray | Field, opacity: float = 1.0
  ) -> None:
    """Paints a colour (3,), or a function that gives (3, h, w)."""
    self._layers.append((cover, colour, opacity, self.light))

  def tint(
      self, cover: Cover, factor: ArrayLike, opacity: float = 1.0
  ) -> None:
    """Multiplies the colours below by factors (3,), for shadows and lights."""
    self._layers.append((cover, factor, opacity, None))

  def render(self, size: int) -> np.ndarray:
    """Renders all layers.

    Args:
      size: height and width of the result; divides `pixels`.

    Returns:
      (size, size, 3) uint8.
    """
    n, k = self.pixels, self.pixels // size
    image = np.zeros((3, n, n), np.float32)
    for cover, colour, opacity, light in self._layers:
      (top, bottom, left, right), alpha = cover.pixels
      region = image[:, top:bottom, left:right]
      if not alpha.size:
        continue
      if callable(colour):
        colour = colour(*self._grid(cover.pixels.box))
      else:
        colour = np.asarray(colour, np.float32)[:, None, None]
      if opacity != 1.0:
        alpha = alpha * np.float32(opacity)
      if light is None:
        region *= 1 + alpha * (colour - 1)
      else:
        region += alpha * (colour * light[left:right] - region)
    image = image.reshape(3, size, k, size, k).mean((2, 4)) * 255 + 0.5
    image = np.clip(image, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 2, 0))

  def _grid(
      self, box: tuple[int, int, int, int]
  ) -> tuple[np.ndarray, np.ndarray]:
    """x (1, w) and y (h, 1) of the centres of the pixels in a box."""
    top, bottom, left, right = box
    return self._centres[None, left:right], self._centres[top:bottom, None]

  def _spot(self, x: float, y: float, rx: float, ry: float) -> Pixels:
    """Coverage of a `soft` spot."""
    ends = np.array([y - ry, y + ry, x - rx, x + rx]) * self.scale
    ends = np.ceil(ends + self.pixels / 2)
    box = cast(
        tuple[int, int, int, int],
        tuple(np.clip(ends, 0, self.pixels).astype(int).tolist()),
    )
    xs, ys = self._grid(box)
    q = 1 - ((xs - x) / rx) ** 2 - ((ys - y) / ry) ** 2
    return Pixels(box, np.maximum(q, 0) ** 2)

  def _rasterised(self, wanted: Cover) -> Pixels:
    """Rasterises all pending covers, of which `wanted` is one."""
    pending, self._pending = self._pending, []
    edges = self._edges([outlines for _, outlines in pending])
    for start, stop in _parts(np.prod(edges.high - edges.low + (2, 0), 1)):
      part = edges.part(start, stop)
      boxes = zip(part.low.tolist(), part.high.tolist())
      for (cover, _), box, alpha in zip(
          pending[start:stop], boxes, _areas(part)
      ):
        (left, top), (right, bottom) = box
        cover.settle(Pixels((top, bottom, left, right), alpha))
    return wanted.pixels

  def _edges(self, covers: Sequence[tuple[np.ndarray, ...]]) -> _Edges:
    """Edges of covers that are given by their outlines."""
    flat = [outline.reshape(-1, 2) for some in covers for outline in some]
    starts = np.concatenate(flat) * self.scale + self.pixels / 2
    # Number of points of each single polygon.
    counts = np.concatenate([
        np.full(outline.size // 2 // outline.shape[-2], outline.shape[-2])
        for some in covers
        for outline in some
    ])
    following = np.arange(1, len(starts) + 1)
    last = np.cumsum(counts) - 1
    following[last] = last - counts + 1
    sizes = np.array(
        [sum(outline.size // 2 for outline in some) for some in covers]
    )
    first = np.cumsum(sizes) - sizes
    low = np.minimum.reduceat(starts, first)
    high = np.maximum.reduceat(starts, first)
    n = self.pixels
    low = np.minimum(np.maximum(np.floor(low), 0), n).astype(int)
    high = np.maximum(np.minimum(np.ceil(high), n).astype(int), low)
    return _Edges(starts, starts[following], sizes, low, high)


def _parts(cells: np.ndarray) -> Iterator[tuple[int, int]]:
  """Divides covers of given sizes into ranges that fit into memory."""
  start = 0
  while start < len(cells):
    stop = start + 1
    total = cells[start]
    while stop < len(cells) and total + cells[stop] <= _MOST_CELLS:
      total += cells[stop]
      stop += 1
    yield start, stop
    start = stop


def _areas(edges: _Edges) -> list[np.ndarray]:
  """Share of each pixel that lies inside each of several covers.

  Each edge is divided until it crosses at most one border between rows.  In
  each row, its signed height counts for all pixels to its right.

  Returns:
    For each cover (h, w) float32, for its bounding box.
  """
  a, b, sizes, low, high = edges
  owner = np.repeat(np.arange(len(sizes)), sizes)
  step = b - a
  pieces = np.maximum(np.ceil(np.abs(step).max(1)).astype(int), 1)
  line = np.repeat(np.arange(len(a)), pieces)
  piece = np.arange(len(line)) - (np.cumsum(pieces) - pieces)[line]
  step = (step / pieces[:, None])[line]
  owner = owner[line]
  wide, tall = (high - low).T
  cells = tall * (wide + 2)
  base = np.cumsum(cells) - cells
  x, y = (a[line] + step * piece[:, None] - low[owner]).T
  dx, dy = step.T
  down = dy >= 0
  upper = np.floor(np.where(down, y, y + dy))
  # The share of the height that lies beyond the border between the rows.
  share = np.maximum(np.where(down, y + dy, y) - upper - 1, 0)
  share /= np.maximum(np.abs(dy), 1e-12)
  x = np.where(down, x, x + dx)
  slope = np.where(down, dx, -dx)
  rows = np.concatenate([upper, upper + 1]).astype(int)
  heights = np.concatenate([dy * (1 - share), dy * share])
  middles = (1 - share) / 2, 1 - share / 2
  xs = np.concatenate([x + slope * middle for middle in middles])
  owner = np.concatenate([owner, owner])
  inside = (rows >= 0) & (rows < tall[owner])
  inside &= heights != 0
  rows, heights, xs, owner = (
      v[inside] for v in (rows, heights, xs, owner)
  )
  xs = np.minimum(np.maximum(xs, 0), wide[owner])
  column = xs.astype(int)
  part = heights * (xs - column)
  cell = base[owner] + rows * (wide[owner] + 2) + column
  total = np.bincount(cell, heights - part, cells.sum())
  total += np.bincount(cell + 1, part, cells.sum())
  # Each row sums to zero, so one cumulative sum serves all rows.
  total = np.minimum(np.abs(np.cumsum(total)), 1).astype(np.float32)
  return [
      total[s:s + h * (w + 2)].reshape(h, w + 2)[:, :w]
      for s, h, w in zip(base.tolist(), tall.tolist(), wide.tolist())
  ]
