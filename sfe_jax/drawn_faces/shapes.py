"""Outlines: closed polygons, float arrays (..., n, 2).

The picture spans about [-1, 1] in x (to the right) and in y (downwards); this
is "the picture's units".  Leading axes hold several outlines of one kind, which
are painted together.
"""

import functools

import numpy as np

Outline = np.ndarray


@functools.cache
def _circle(points: int) -> np.ndarray:
  angle = np.arange(points) * (2 * np.pi / points)
  return np.stack([np.cos(angle), np.sin(angle)], -1)


def ellipse(x, y, rx, ry=None, turn=0.0, points: int = 24) -> Outline:
  """Ellipses; arguments may be arrays with one entry per ellipse.

  Args:
    x: centre.
    y: centre.
    rx: half of the width.
    ry: half of the height; None is rx.
    turn: clockwise rotation in radians.
    points: number of corners; 24 suffice up to a tenth of the picture.

  Returns:
    (..., points, 2).
  """
  ry = rx if ry is None else ry
  x, y, rx, ry, turn = (
      np.asarray(v, float)[..., None] for v in (x, y, rx, ry, turn)
  )
  unit = _circle(points)
  a, b = rx * unit[:, 0], ry * unit[:, 1]
  c, s = np.cos(turn), np.sin(turn)
  a, b = x + a * c - b * s, y + a * s + b * c
  out = np.empty((*np.broadcast_shapes(a.shape, b.shape), 2))
  out[..., 0], out[..., 1] = a, b
  return out


def box(x0, y0, x1, y1) -> Outline:
  """Upright rectangles (..., 4, 2); arguments may be arrays."""
  x0, y0, x1, y1 = np.broadcast_arrays(x0, y0, x1, y1)
  corners = [x0, y0, x1, y0, x1, y1, x0, y1]
  return np.stack(corners, -1).reshape(*x0.shape, 4, 2).astype(float)


def star(x, y, r, tips: int = 5, inner: float = 0.42, turn=0.0) -> Outline:
  """Stars with one tip upwards; x, y, r and turn may be arrays."""
  unit = _circle(2 * tips) * np.tile([1.0, inner], tips)[:, None]
  x, y, r, turn = (np.asarray(v, float)[..., None] for v in (x, y, r, turn))
  c, s = np.sin(turn), -np.cos(turn)
  a, b = unit[:, 0], unit[:, 1]
  a, b = np.broadcast_arrays(x + r * (a * c - b * s), y + r * (a * s + b * c))
  return np.stack([a, b], -1)


@functools.cache
def _catmull_rom(steps: int) -> np.ndarray:
  t = np.arange(steps)[:, None] / steps
  return 0.5 * np.concatenate(
      [
          -t + 2 * t**2 - t**3,
          2 - 5 * t**2 + 3 * t**3,
          t + 4 * t**2 - 3 * t**3,
          -(t**2) + t**3,
      ],
      1,
  )


def spline(points, steps: int = 6) -> Outline:
  """Closed Catmull-Rom curves (..., steps * k, 2) through (..., k, 2)."""
  p = np.asarray(points, float)
  k = p.shape[-2]
  index = (np.arange(k)[:, None] + np.arange(-1, 3)) % k
  out = _catmull_rom(steps) @ p[..., index, :]
  return out.reshape(*p.shape[:-2], k * steps, 2)


def curve(points, steps: int = 6) -> np.ndarray:
  """Open Catmull-Rom curves through points (..., k, 2), ends included.

  Returns:
    (..., steps * (k - 1) + 1, 2).
  """
  p = np.asarray(points, float)
  k = p.shape[-2]
  index = np.clip(np.arange(k - 1)[:, None] + np.arange(-1, 3), 0, k - 1)
  out = _catmull_rom(steps) @ p[..., index, :]
  out = out.reshape(*p.shape[:-2], (k - 1) * steps, 2)
  return np.concatenate([out, p[..., -1:, :]], -2)


def stroke(line, width, closed: bool = False) -> Outline:
  """Outlines of lines with a width.

  Args:
    line: (..., m, 2).
    width: full width, a number or (..., m).
    closed: whether the line returns to its start, which makes it a ring.

  Returns:
    (..., 2 m, 2), or (..., 2 m + 2, 2) for rings.
  """
  line = np.asarray(line, float)
  if closed:
    line = np.concatenate([line, line[..., :1, :]], -2)
  step = np.empty_like(line)
  step[..., 1:-1, :] = line[..., 2:, :] - line[..., :-2, :]
  if closed:
    step[..., 0, :] = step[..., -1, :] = line[..., 1, :] - line[..., -2, :]
  else:
    step[..., 0, :] = line[..., 1, :] - line[..., 0, :]
    step[..., -1, :] = line[..., -1, :] - line[..., -2, :]
  dx, dy = step[..., 0], step[..., 1]
  factor = 0.5 * np.asarray(width) / (np.sqrt(dx * dx + dy * dy) + 1e-9)
  side = np.empty_like(line)
  side[..., 0] = -dy * factor
  side[..., 1] = dx * factor
  return np.concatenate([line + side, (line - side)[..., ::-1, :]], -2)


@functools.cache
def taper(points: int, start: float = 0.0, end: float = 0.0) -> np.ndarray:
  """Relative widths (points,) of a line: 1 in the middle, less at the ends."""
  t = np.linspace(0, 1, points)
  floor = start + (end - start) * t
  return floor + (1 - floor) * np.sin(np.pi * t) ** 0.7


def mirror(points) -> np.ndarray:
  """Stacks points (..., k, 2) and their mirror image: (2, ..., k, 2)."""
  p = np.asarray(points, float)
  return np.stack([p, p * (-1.0, 1.0)])


def wavy(
    outline: Outline,
    amount: float,
    waves: float,
    phase: float = 0.0,
    curls: bool = True,
) -> Outline:
  """Displaces an outline (n, 2) along its normals.

  Args:
    outline: closely spaced points.
    amount: largest displacement.
    waves: number of waves along the outline.
    phase: phase of the waves in radians.
    curls: round bumps instead of sine waves.
  """
  n = len(outline)
  step = np.roll(outline, -1, 0) - np.roll(outline, 1, 0)
  step /= np.sqrt((step**2).sum(1, keepdims=True)) + 1e-9
  angle = np.pi * waves * np.arange(n) / n + phase
  move = np.abs(np.sin(angle)) - 0.5 if curls else np.sin(2 * angle) / 2
  normal = np.stack([step[:, 1], -step[:, 0]], -1)
  return outline + normal * (2 * amount * move)[:, None]
