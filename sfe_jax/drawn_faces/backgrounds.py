"""Backgrounds behind the face."""

import numpy as np

from sfe_jax.drawn_faces import colours, lettering, patterns, shapes
from sfe_jax.drawn_faces.canvas import Canvas
from sfe_jax.drawn_faces.dice import Dice


def paint(canvas: Canvas, dice: Dice) -> None:
  """Paints a random background."""
  hue = dice.one()
  _gradient(canvas, dice, hue)
  dice.pick(_SCENES)(canvas, dice, hue)
  # The background is slightly lighter behind the head.
  canvas.tint(canvas.soft(0, 0, 1.5, 1.5), np.full(3, 1.08))


def _gradient(canvas: Canvas, dice: Dice, hue: float) -> None:
  turn = dice.one(-0.8, 0.8)
  first = colours.hsv(hue, dice.one(0.1, 0.45), dice.one(0.55, 0.95))
  last = colours.hsv(hue + dice.one(-0.15, 0.15), dice.one(0.1, 0.5),
                     dice.one(0.35, 0.9))
  cos, sin = np.float32(0.4 * np.cos(turn)), np.float32(0.4 * np.sin(turn))
  first, step = first[:, None, None], (last - first)[:, None, None]
  canvas.fill(
      canvas.everything,
      lambda x, y: first + np.clip(y * cos + x * sin + 0.5, 0, 1) * step,
  )


def _plain(canvas, dice, hue):
  """Adds nothing to the gradient."""
  del canvas, dice, hue


def _wallpaper(canvas, dice, hue):
  value = dice.one(0.6, 0.92)
  ground = colours.hsv(hue, dice.one(0.08, 0.4), value)
  second = colours.hsv(hue + dice.pick((0, 0, 0.08, 0.5)), dice.one(0.1, 0.5),
                       value * dice.one(0.78, 0.95))
  palette = np.stack([ground, second, colours.mix(ground, 1.0, 0.5)])
  kinds = patterns.KINDS[1:]
  patterns.Pattern.roll(dice, palette, kinds, 1.6).paint(
      canvas, canvas.everything
  )


def _bricks(canvas, dice, hue):
  del hue
  patterns.bricks(canvas, canvas.everything, dice)


def _clouds(canvas, dice, hue):
  large, small = dice.many(64), dice.many(144)
  colour = colours.hsv(hue + 0.08, 0.2, dice.one(0.75, 1))

  def share(x, y):
    value = patterns.noise(large, x, y) + 0.4 * patterns.noise(small, x, y)
    return np.clip(value - 0.25, 0, 1)

  canvas.fill(canvas.times(canvas.everything, share), colour)


def _leaves(canvas, dice, hue):
  del hue
  green = dice.one(0.2, 0.42)
  canvas.fill(canvas.everything, colours.hsv(green, 0.5, 0.3))
  for layer in range(3):
    count = 14
    x, y, turn, size = (dice.many(count) for _ in range(4))
    turn, size = turn * 6.3, 0.12 + 0.1 * size
    along = np.stack([np.cos(turn), np.sin(turn)], -1) * size[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], -1) * 0.4
    middle = np.stack([x, y], -1) * 2.2 - 1.1
    leaf = np.stack(
        [middle - along, middle + across, middle + along, middle - across], 1
    )
    canvas.fill(
        canvas.cover(shapes.spline(leaf)),
        colours.hsv(green + 0.03 * layer, 0.5, 0.42 + 0.13 * layer),
    )
    vein = np.stack([middle - along, middle + along], 1)
    canvas.fill(
        canvas.cover(shapes.stroke(vein, 0.008)),
        colours.hsv(green, 0.4, 0.62 + 0.1 * layer),
    )


def _window(canvas, dice, hue):
  x = dice.pick((-0.55, 0.55)) + dice.one(-0.15, 0.15)
  top, wide, high = dice.one(-0.95, -0.75), dice.one(0.3, 0.42), 1.1
  frame = colours.hsv(hue, 0.12, dice.one(0.85, 1))
  sky = colours.hsv(dice.one(0.52, 0.62), dice.one(0.2, 0.55), dice.one(0.6, 1))
  canvas.fill(
      canvas.cover(shapes.box(x - wide, top, x + wide, top + high)), frame
  )
  half, third = (wide - 0.09) / 2, (high - 0.16) / 2
  cx = x + np.array([-1, 1, -1, 1]) * (half + 0.02)
  cy = top + 0.05 + third / 2 + np.array([0, 0, 1, 1]) * (third + 0.05)
  panes = canvas.cover(
      shapes.box(cx - half, cy - third / 2, cx + half, cy + third / 2)
  )
  canvas.fill(panes, sky)
  cloud = shapes.ellipse(
      x + wide * dice.many(5, -1, 1), top + high * dice.many(5), 0.12, 0.05
  )
  canvas.fill(canvas.cover(cloud).within(panes), colours.mix(sky, 1.0, 0.6))
  hill = shapes.ellipse(x + dice.one(-0.3, 0.3), top + high, 0.5, 0.3)
  green = colours.hsv(dice.one(0.2, 0.4), 0.4, 0.6)
  canvas.fill(canvas.cover(hill).within(panes), green)


def _lights(canvas, dice, hue):
  canvas.tint(canvas.everything, np.full(3, 0.5))
  for k in range(4):
    x, y = dice.many(6, -1.1, 1.1), dice.many(6, -1.1, 1)
    spots = canvas.cover(shapes.ellipse(x, y, dice.many(6, 0.05, 0.17)))
    canvas.fill(spots, colours.hsv(hue + 0.06 * k, 0.45, 1), 0.4)


def _hills(canvas, dice, hue):
  sun = shapes.ellipse(dice.one(-0.9, 0.9), dice.one(-0.9, -0.4), 0.16)
  canvas.fill(canvas.cover(sun), colours.hsv(dice.one(0.06, 0.15), 0.35, 1))
  ground = hue + dice.one(0.1, 0.4)
  for k in range(3):
    x = np.linspace(-1.2, 1.2, 7)
    y = -0.2 + 0.28 * k + dice.many(7, -0.2, 0.2)
    ridge = np.concatenate(
        [shapes.curve(np.stack([x, y], -1)), [[1.2, 1.2], [-1.2, 1.2]]]
    )
    tone = colours.hsv(ground, 0.25 + 0.1 * k, 0.75 - 0.14 * k)
    canvas.fill(canvas.cover(ridge), tone)


def _shelves(canvas, dice, hue):
  wood = colours.hsv(0.07, dice.one(0.3, 0.6), dice.one(0.3, 0.6))
  canvas.fill(canvas.everything, wood * np.float32(0.6))
  start = dice.one(-0.9, -0.7)
  books = 13
  for row in range(4):
    floor = start + 0.55 * row
    widths = dice.many(books, 0.07, 0.2)
    right = np.cumsum(widths) - 1.1
    top = floor - dice.many(books, 0.28, 0.46)
    hues = hue + dice.one(0, 1)
    for k in range(3):
      books_k = canvas.cover(
          shapes.box(right[k::3] - widths[k::3], top[k::3],
                     right[k::3] - 0.012, floor)
      )
      canvas.fill(books_k, colours.cloth(hues + 0.13 * k, 0.35 + 0.2 * k))
    canvas.fill(
        canvas.cover(
            shapes.box(right - widths * 0.85, top + 0.07, right - widths * 0.3,
                       top + 0.11)
        ),
        colours.rgb("e8dcb8"), 0.7,
    )
    canvas.fill(canvas.cover(shapes.box(-1.1, floor, 1.1, floor + 0.05)), wood)


def _poster(canvas, dice, hue):
  x = dice.pick((-0.62, 0.62))
  y = dice.one(-0.75, -0.35)
  wide, high = dice.one(0.3, 0.4), dice.one(0.25, 0.5)
  paper = colours.hsv(hue + 0.5, dice.one(0.1, 0.6), dice.one(0.6, 1))
  dark = colours.brightness(paper) > 0.55
  ink = colours.hsv(hue, 0.5, 0.25 if dark else 0.95)
  sheet = shapes.box(x - wide, y - high, x + wide, y + high)
  canvas.tint(canvas.cover(sheet + 0.025), np.full(3, 0.75))
  canvas.fill(canvas.cover(sheet), paper)
  lines = 1 + int(high * 5)
  for k in range(lines):
    text = lettering.word(dice.many(3))
    height = 2 * high / lines * 0.6
    canvas.fill(
        canvas.cover(
            lettering.outlines(text, x, y - high + (k + 0.5) * 2 * high / lines,
                               min(height, wide * 0.7))
        ),
        ink,
    )


def _city(canvas, dice, hue):
  for k in range(2):
    count = 7
    right = np.cumsum(dice.many(count, 0.22, 0.42)) - 1.2
    wide = dice.many(count, 0.2, 0.32)
    top = dice.many(count, -0.85, 0.1) + 0.25 * k
    canvas.fill(
        canvas.cover(shapes.box(right - wide, top, right, 1.1)),
        colours.hsv(hue + 0.55, 0.25, 0.55 - 0.2 * k),
    )
    x = right[:, None, None] - wide[:, None, None] * np.array([0.3, 0.7])
    y = top[:, None, None] + 0.1 + 0.14 * np.arange(6)[:, None]
    x, y = (v.ravel() for v in np.broadcast_arrays(x, y))
    lit = dice.many(84) < 0.55
    x, y = x[lit], y[lit]
    canvas.fill(
        canvas.cover(shapes.box(x - 0.025, y - 0.03, x + 0.025, y + 0.03)),
        colours.hsv(0.13, 0.4, 0.95), 0.8,
    )


_SCENES = (
    _plain, _plain, _wallpaper, _wallpaper, _wallpaper, _bricks, _clouds,
    _leaves, _window, _lights, _hills, _shelves, _poster, _city,
)
