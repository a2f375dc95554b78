"""A picture that is painted layer by layer.

An outline's share of every pixel is computed exactly, by summing the signed
area to the right of its edges, as font rasterisers do; so edges are
anti-aliased at any size, at a cost that grows with the outline's length and
its bounding box.  Layers are collected first, so that all their outlines are
rasterised together.  Colours are sRGB in [0, 1] and are mixed as such, which
is what reducing a picture does too: a small picture is the reduced large one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]
_MOST_CELLS = 2**20


class Pixels(NamedTuple):
  """A box of the picture.

  Attributes:
    box: top, bottom, left, right.
    alpha: float32 (bottom - top, right - left) in [0, 1].
  """

  box: tuple[int, int, int, int]
  alpha: np.ndarray


_NOTHING = Pixels((0, 0, 0, 0), np.zeros((0, 0), np.float32))


class Cover:
  """How much of every pixel something covers, computed when it is needed."""

  def __init__(self, compute: Callable[[], Pixels]):
    self._compute = compute
    self._pixels: Pixels | None = None

  @property
  def pixels(self) -> Pixels:
    """The pixels that it touches."""
    if self._pixels is None:
      self._pixels = self._compute()
    return self._pixels

  def within(self, other: "Cover") -> "Cover":
    """The part of it that lies in another."""
    return Cover(lambda: _common(self.pixels, other.pixels))


def _common(a: Pixels, b: Pixels) -> Pixels:
  top, left = max(a.box[0], b.box[0]), max(a.box[2], b.box[2])
  bottom, right = min(a.box[1], b.box[1]), min(a.box[3], b.box[3])
  if top >= bottom or left >= right:
    return _NOTHING
  box = top, bottom, left, right

  def part(p: Pixels) -> np.ndarray:
    y, _, x, _ = p.box
    return p.alpha[top - y:bottom - y, left - x:right - x]

  return Pixels(box, part(a) * part(b))


class Canvas:
  """A square picture that spans [-1 / zoom, 1 / zoom] in x and y.

  Attributes:
    pixels: height and width.
    scale: pixels per unit.
    light: float32 (pixels,), multiplies the colours painted from now on.
  """

  def __init__(self, pixels: int, zoom: float = 1.0):
    self.pixels = pixels
    self.scale = zoom * pixels / 2
    self.light = np.ones(pixels, np.float32)
    self._centres = (
        (np.arange(pixels) + 0.5 - pixels / 2) / self.scale
    ).astype(np.float32)
    self._layers: list[tuple] = []
    self._pending: list[tuple[Cover, tuple[np.ndarray, ...]]] = []

  @property
  def everything(self) -> Cover:
    """All of the picture."""
    n = self.pixels
    return Cover(lambda: Pixels((0, n, 0, n), np.ones((n, n), np.float32)))

  def cover(self, *outlines: np.ndarray) -> Cover:
    """What outlines (..., n, 2) enclose together.

    Overlapping outlines must run the same way round; one that runs the other
    way cuts a hole.
    """
    cover = Cover(lambda: self._rasterised(cover))
    self._pending.append((cover, outlines))
    return cover

  def soft(self, x: float, y: float, rx: float, ry: float) -> Cover:
    """A round spot, 1 in its middle, which fades to 0 at its rim."""
    return Cover(lambda: self._spot(x, y, rx, ry))

  def times(self, cover: Cover, share: Field) -> Cover:
    """A cover faded by a function of x (1, w) and y (h, 1)."""

    def faded() -> Pixels:
      box, alpha = cover.pixels
      return Pixels(box, alpha * share(*self._grid(box)))

    return Cover(faded)

  def fill(
      self, cover: Cover, colour: np.ndarray | Field, opacity: float = 1.0
  ) -> None:
    """Paints a colour (3,), or a function of x (1, w), y (h, 1): (3, h, w)."""
    self._layers.append((cover, colour, opacity, self.light))

  def tint(self, cover: Cover, factor, opacity: float = 1.0) -> None:
    """Multiplies what is there by a colour (3,): shadows and lights."""
    self._layers.append((cover, factor, opacity, None))

  def render(self, size: int) -> np.ndarray:
    """All layers as uint8 (size, size, 3); pixels is a multiple of size."""
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

  def _grid(self, box) -> tuple[np.ndarray, np.ndarray]:
    """x (1, w) and y (h, 1) of the pixels' centres in a box."""
    top, bottom, left, right = box
    return self._centres[None, left:right], self._centres[top:bottom, None]

  def _spot(self, x, y, rx, ry) -> Pixels:
    ends = np.array([y - ry, y + ry, x - rx, x + rx]) * self.scale
    ends = np.ceil(ends + self.pixels / 2)
    box = tuple(np.clip(ends, 0, self.pixels).astype(int).tolist())
    xs, ys = self._grid(box)
    q = 1 - ((xs - x) / rx) ** 2 - ((ys - y) / ry) ** 2
    return Pixels(box, np.maximum(q, 0) ** 2)

  def _rasterised(self, wanted: Cover) -> Pixels:
    """Rasterises all that is pending, in parts that fit into the memory."""
    pending, self._pending = self._pending, []
    counts, sizes, points = [], [], []
    for _, outlines in pending:
      total = 0
      for outline in outlines:
        n = outline.shape[-2]
        flat = outline.reshape(-1, 2)
        points.append(flat)
        counts += [n] * (len(flat) // n)
        total += len(flat)
      sizes.append(total)
    points = np.concatenate(points) * self.scale + self.pixels / 2
    ends = np.arange(1, len(points) + 1)
    counts = np.array(counts)
    last = np.cumsum(counts) - 1
    ends[last] = last - counts + 1
    first = np.cumsum(sizes) - sizes
    low = np.minimum.reduceat(points, first)
    high = np.maximum.reduceat(points, first)
    n = self.pixels
    low = np.minimum(np.maximum(np.floor(low), 0), n).astype(int)
    high = np.maximum(np.minimum(np.ceil(high), n).astype(int), low)
    cells = np.prod(high - low + (2, 0), 1)
    start = 0
    while start < len(pending):
      stop = start + 1
      total = cells[start]
      while stop < len(pending) and total + cells[stop] <= _MOST_CELLS:
        total += cells[stop]
        stop += 1
      some = slice(first[start], first[stop - 1] + sizes[stop - 1])
      alphas = _areas(
          points[some], points[ends[some]], np.array(sizes[start:stop]),
          low[start:stop], high[start:stop],
      )
      for k, alpha in zip(range(start, stop), alphas):
        (left, top), (right, bottom) = low[k].tolist(), high[k].tolist()
        pending[k][0]._pixels = Pixels((top, bottom, left, right), alpha)
      start = stop
    return wanted._pixels


def _areas(a, b, sizes, low, high) -> list[np.ndarray]:
  """Share of each pixel inside each of several covers.

  Every line is cut until it crosses one row border at most; its height in
  each row then counts for all pixels to its right.

  Args:
    a: (n, 2) starts of all lines.
    b: (n, 2) their ends.
    sizes: (k,) lines of each cover.
    low: (k, 2) left and top of each cover's box.
    high: (k, 2) right and bottom.

  Returns:
    k arrays float32 (h, w).
  """
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
  # The share of the height beyond the row border.
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
  # Rows sum to zero, so that one running sum does for all.
  total = np.minimum(np.abs(np.cumsum(total)), 1).astype(np.float32)
  return [
      total[s:s + h * (w + 2)].reshape(h, w + 2)[:, :w]
      for s, h, w in zip(base.tolist(), tall.tolist(), wide.tolist())
  ]
