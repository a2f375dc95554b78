"""Repeating patterns for walls, clothes and hats, without aliasing."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from sfe_jax.drawn_faces import colours
from sfe_jax.drawn_faces.canvas import Canvas, Cover
from sfe_jax.drawn_faces.dice import Dice

KINDS = (
    "plain", "stripes", "pinstripes", "dots", "gingham", "plaid", "zigzag",
    "diamonds", "speckles", "rings",
)


@dataclasses.dataclass(frozen=True)
class Pattern:
  """A repeating pattern of two or three colours.

  Attributes:
    kind: one of KINDS.
    palette: (3, 3), three colours; the first is the ground.
    period: length of a period in the picture's units.
    turn: angle in radians.
    shift: offset on both axes, in periods.
  """

  kind: str
  palette: np.ndarray
  period: float
  turn: float
  shift: tuple[float, float]

  @classmethod
  def roll(
      cls,
      dice: Dice,
      palette: np.ndarray,
      kinds: Sequence[str] = KINDS,
      scale: float = 1.0,
  ) -> "Pattern":
    """A random pattern of given kinds and colours, its period times `scale`."""
    kind = dice.pick(kinds)
    period = scale * dice.one(0.09, 0.22)
    turn = dice.pick((0.0, 0.0, np.pi / 2, np.pi / 4, -np.pi / 4, 0.4))
    shift = dice.many(2)
    return cls(kind, palette, period, turn, (shift[0], shift[1]))

  def paint(self, canvas: Canvas, cover: Cover) -> None:
    """Fills the covered pixels with the pattern."""
    ground, second, third = (c[:, None, None] for c in self.palette)
    cos, sin = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
    shift = np.asarray(self.shift, np.float32)
    scale = np.float32(canvas.scale * self.period)

    def field(x, y):
      u = (x * cos + y * sin) / np.float32(self.period) + shift[0]
      v = (y * cos - x * sin) / np.float32(self.period) + shift[1]
      share, line = _SHARES[self.kind](u, v, scale)
      out = ground + share * (second - ground)
      return out if line is None else out + line * (third - out)

    canvas.fill(cover, field)


def _edge(distance, scale):
  """Coverage of a pixel whose centre lies `distance` periods inside an edge.

  `scale` is the number of pixels in a period.
  """
  return np.clip(distance * scale + np.float32(0.5), 0, 1)


def _near(u):
  """Distance to the nearest whole number."""
  return np.abs(u - np.rint(u))


def _plain(u, v, scale):
  del v, scale
  return np.zeros_like(u), None


def _stripes(u, v, scale):
  del v
  return _edge(0.24 - _near(u), scale), None


def _pinstripes(u, v, scale):
  del v
  return _edge(0.08 - _near(u), scale), _edge(0.04 - _near(u + 0.5), scale)


def _dots(u, v, scale):
  row = np.rint(v)
  du = _near(u + 0.5 * (row % 2))
  return _edge(0.26 - np.hypot(du, v - row), scale), None


def _rings(u, v, scale):
  r = np.hypot(_near(u), _near(v))
  return _edge(0.09 - np.abs(r - 0.32), scale), _edge(0.13 - r, scale)


def _gingham(u, v, scale):
  a, b = _edge(0.25 - _near(u), scale), _edge(0.25 - _near(v), scale)
  return (a + b) / 2, None


def _plaid(u, v, scale):
  share, _ = _gingham(u * 0.6, v * 0.6, scale / 0.6)
  a = _edge(0.035 - _near(u * 0.6 + 0.5), scale)
  return share, np.maximum(a, _edge(0.035 - _near(v * 0.6 + 0.5), scale))


def _zigzag(u, v, scale):
  return _edge(0.24 - _near(v + 0.8 * _near(u)), scale * 0.8), None


def _diamonds(u, v, scale):
  share = _edge(0.36 - _near(u) - _near(v), scale * 0.7)
  return share, _edge(0.03 - np.abs(_near(u + v) - 0.5), scale * 0.7)


def _speckles(u, v, scale):
  """One dot of random size and position in each cell."""
  u, v = u * 1.6, v * 1.6
  i, j = np.floor(u), np.floor(v)
  a, b, r = (chance(i, j, k) for k in range(3))
  reach = np.hypot(u - i - 0.25 - 0.5 * a, v - j - 0.25 - 0.5 * b)
  share = _edge(0.06 + 0.18 * r - reach, scale / 1.6)
  return share * (r < 0.6), share * (r >= 0.6)


# Each function takes u and v in periods and the pixels per period, and returns
# the shares of the second and third colour; None for no third colour.
_SHARES = {
    "plain": _plain, "stripes": _stripes, "pinstripes": _pinstripes,
    "dots": _dots, "gingham": _gingham, "plaid": _plaid, "zigzag": _zigzag,
    "diamonds": _diamonds, "speckles": _speckles, "rings": _rings,
}


def chance(i, j, salt: int):
  """Pseudo-random numbers in [0, 1) for integers i and j."""
  value = np.sin(i * np.float32(12.99) + j * np.float32(78.23) + salt * 3.7)
  value = value * np.float32(437.58)
  return value - np.floor(value)


def bricks(canvas: Canvas, cover: Cover, dice: Dice) -> None:
  """Paints a wall of bricks of varying tone."""
  tone = colours.hsv(
      dice.pick((0.02, 0.04, 0.08, 0.6, 0.1)), dice.one(0.1, 0.5),
      dice.one(0.45, 0.85),
  )
  height = dice.one(0.1, 0.18)
  scale = np.float32(canvas.scale * height)
  mortar = colours.mix(tone, colours.rgb("d8d2c8"), 0.7)[:, None, None]
  start = np.float32(dice.one())

  def field(x, y):
    v = y / np.float32(height) + start
    row = np.floor(v)
    u = x / np.float32(2.2 * height) + np.float32(0.5) * (row % 2)
    joint = np.maximum(
        _edge(0.06 - _near(v), scale), _edge(0.028 - _near(u), 2.2 * scale)
    )
    out = tone[:, None, None] * (0.86 + 0.28 * chance(row, np.floor(u), 1))
    return out + joint * (mortar - out)

  canvas.fill(cover, field)


def noise(numbers: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Interpolates random values at lattice points smoothly.

  Args:
    numbers: (k * k,), values at the points of a k x k lattice.
    x: (1, w) coordinates.
    y: (h, 1) coordinates.

  Returns:
    (h, w) float32.
  """
  k = int(np.sqrt(len(numbers)))
  lattice = numbers[: k * k].reshape(k, k).astype(np.float32)
  return _hats(y.ravel(), k) @ lattice @ _hats(x.ravel(), k).T


def _hats(places: np.ndarray, k: int) -> np.ndarray:
  """Smooth interpolation weights (n, k) of k lattice points."""
  t = np.abs((places[:, None] + 1) / 2 * (k - 1) - np.arange(k))
  t = np.maximum(1 - t, 0).astype(np.float32)
  return t * t * (3 - 2 * t)
