"""Extras in front of the face: costume hats, a hand, objects and stickers.

They are values of attribute `extra`; the others are in `extras`.
"""

from typing import NamedTuple

import numpy as np

from sfe_jax.drawn_faces import accessories, colours, lettering, shapes
from sfe_jax.drawn_faces.canvas import Canvas, Cover
from sfe_jax.drawn_faces.head import Head
from sfe_jax.drawn_faces.patterns import Pattern

_WHITE = np.ones(3, np.float32)
_DARK = colours.rgb("26232a")
_GOLD = colours.rgb("e9bd45")


class _Prop(NamedTuple):
  """A costume hat or an object with its random details.

  Attributes:
    x: horizontal position.
    y: vertical position.
    hue: hue of the main colour.
    palette: (3, 3), the main colour first.
    pattern: a pattern of these colours.
    numbers: (20,) further random numbers in [0, 1]; empty for objects.
    text: a word; empty for hats.
  """

  x: float
  y: float
  hue: float
  palette: np.ndarray
  pattern: Pattern
  numbers: np.ndarray
  text: str


def odd_hat(canvas: Canvas, head: Head) -> None:
  """Paints a wizard's hat, a crown, a top hat, a party hat or a cake."""
  dice = head.dice["extra"]
  kind = dice.pick(tuple(_ODD_HATS))
  hue, depth = dice.one(), dice.one()
  main = colours.cloth(hue, depth)
  palette = np.stack([main, colours.cloth(hue + 0.5, 1 - depth), _WHITE])
  pattern = Pattern.roll(dice, palette)
  numbers = dice.many(20)
  x, y = head.side((0.0, -0.45))
  _ODD_HATS[kind](
      canvas, head, _Prop(x, y, hue, palette, pattern, numbers, "")
  )


def _cone(canvas: Canvas, hat: _Prop, wide: float) -> tuple[Cover, float]:
  """Covers a cone of half width `wide`; also returns the shift of its tip."""
  tip = (0.25 * (hat.numbers[0] - 0.5), -0.62)
  cone = np.array([tip, (wide, 0.04), (0.0, 0.10), (-wide, 0.04)])
  cone = cone + np.array((hat.x, hat.y))
  cone = np.concatenate([cone[:2], shapes.curve(cone[1:])[1:]])
  return canvas.cover(cone), tip[0]


def _wizard(canvas: Canvas, head: Head, hat: _Prop) -> None:
  del head
  x, y = hat.x, hat.y
  main, numbers = hat.palette[0], hat.numbers
  cover, _ = _cone(canvas, hat, 0.44)
  canvas.fill(cover, main * np.float32(0.75))
  stars = shapes.star(
      x + 0.6 * (numbers[1:8] - 0.5), y - 0.5 * numbers[8:15], 0.06
  )
  canvas.fill(canvas.cover(stars).within(cover), _GOLD)
  canvas.fill(
      canvas.cover(shapes.ellipse(x, y + 0.06, 0.74, 0.105, points=48)),
      main * np.float32(0.6),
  )
  band = np.array([(-0.44, 0.0), (0, 0.06), (0.44, 0.0)]) + np.array((x, y))
  canvas.fill(canvas.cover(shapes.stroke(shapes.curve(band), 0.06)), _GOLD)


def _party(canvas: Canvas, head: Head, hat: _Prop) -> None:
  cover, tip = _cone(canvas, hat, 0.27)
  hat.pattern.paint(canvas, cover)
  star = shapes.star(hat.x + tip, hat.y - 0.5, 0.11)
  canvas.fill(canvas.cover(star), _GOLD)
  accessories.rounded(canvas, head, cover)


def _crown(canvas: Canvas, head: Head, hat: _Prop) -> None:
  x, y = hat.x, hat.y
  tips = np.linspace(-0.46, 0.46, 9)
  top = np.where(np.arange(9) % 2, -0.12, -0.36)
  zigzag = np.stack([tips, top], -1)
  base = shapes.curve([(0.43, 0.05), (0.0, 0.12), (-0.43, 0.05)])
  cover = canvas.cover(np.concatenate([zigzag, base]) + np.array((x, y)))
  canvas.fill(cover, _GOLD)
  accessories.rounded(canvas, head, cover)
  gems = shapes.ellipse(x + tips[1::2], y + 0.0, 0.035)
  canvas.fill(canvas.cover(gems), colours.hsv(hat.hue, 0.8, 0.8))
  balls = shapes.ellipse(x + tips[::2], y + top[::2], 0.032)
  canvas.fill(canvas.cover(balls), hat.palette[1])


def _top_hat(canvas: Canvas, head: Head, hat: _Prop) -> None:
  x, y = hat.x, hat.y
  main = hat.palette[0]
  cover = canvas.cover(np.array([
      (-0.44, -0.6), (0.44, -0.6), (0.39, 0.05), (-0.39, 0.05)
  ]) + np.array((x, y)))
  canvas.fill(cover, main * np.float32(0.45))
  band = canvas.cover(shapes.box(x - 0.5, y - 0.17, x + 0.5, y))
  hat.pattern.paint(canvas, band.within(cover))
  accessories.rounded(canvas, head, cover)
  brim = canvas.cover(shapes.ellipse(x, y + 0.05, 0.66, 0.085, points=48))
  canvas.fill(brim, main * np.float32(0.35))


def _cake(canvas: Canvas, head: Head, hat: _Prop) -> None:
  del head
  x, y, palette = hat.x, hat.y, hat.palette
  layers = ((0.52, 0.05, 0.17), (0.40, -0.12, 0.17), (0.26, -0.29, 0.15))
  for k, (wide, low, high) in enumerate(layers):
    tier = canvas.cover(
        shapes.box(x - wide, y + low - high, x + wide, y + low)
    )
    canvas.fill(tier, palette[k % 2] if k else colours.rgb("f3dcc6"))
    drips = np.linspace(-wide, wide, 9)[1:-1]
    drops = shapes.ellipse(
        x + drips, y + low - high, 0.05, 0.03 + 0.05 * hat.numbers[:7]
    )
    canvas.fill(canvas.cover(drops), colours.rgb("f7ece6"))
  sticks = x + np.array([-0.13, 0.0, 0.13])
  sticks = shapes.box(sticks - 0.012, y - 0.56, sticks + 0.012, y - 0.42)
  canvas.fill(canvas.cover(sticks), palette[1])


_ODD_HATS = {
    "wizard": _wizard, "crown": _crown, "top": _top_hat, "party": _party,
    "cake": _cake,
}


def hand(canvas: Canvas, head: Head) -> None:
  """Paints a hand before the chin, a cheek or an eye."""
  dice = head.dice["extra"]
  side = dice.pick((-1, 1))
  x, y = dice.one(0.16, 0.36), dice.one(0.38, 0.62)
  turn = dice.one(-0.5, 0.2)
  spread = dice.one(0.10, 0.22)
  nails = colours.hsv(dice.one(), 0.6, 0.8)
  sleeve = colours.cloth(dice.one(), dice.one())
  c, s = np.cos(turn), np.sin(turn)

  def placed(points):
    points = np.asarray(points, float)
    a, b = points[..., 0], points[..., 1]
    return np.stack([side * (x + a * c - b * s), y + a * s + b * c], -1)

  base = np.array(
      [(-0.105, -0.07), (-0.04, -0.10), (0.035, -0.10), (0.10, -0.07)]
  )
  angle = spread * np.array([-1.2, -0.4, 0.4, 1.2])
  length = np.array([0.23, 0.28, 0.27, 0.20])
  reach = np.stack([np.sin(angle), -np.cos(angle)], -1) * length[:, None]
  thumb = np.array([[(-0.10, 0.06), (-0.19, -0.01), (-0.235, -0.09)]])
  fingers = shapes.curve(
      np.stack([base - 0.2 * reach, base + 0.5 * reach, base + reach], 1)
  )
  width = 0.078 * np.clip(1.25 - np.linspace(0, 1, 13) ** 6, 0.25, 1)
  palm = shapes.spline(placed([
      (-0.14, -0.08), (0.0, -0.11), (0.14, -0.07), (0.145, 0.10), (0.10, 0.25),
      (0.12, 0.7), (-0.12, 0.7), (-0.10, 0.25), (-0.15, 0.08),
  ]))
  lines = np.concatenate([fingers, shapes.curve(thumb)])
  parts = shapes.stroke(placed(lines), width)
  palm_cover = canvas.cover(palm)
  shade = np.array([0.74, 0.64, 0.62])
  canvas.tint(canvas.cover(parts + (-0.025 * side, 0.03)), shade, 0.7)
  canvas.tint(canvas.cover(palm + (-0.025 * side, 0.03)), shade, 0.7)
  canvas.fill(palm_cover, head.skin)
  for finger in parts:
    part = canvas.cover(finger)
    canvas.tint(canvas.cover(finger + (0.010, 0.0)), shade, 0.8)
    canvas.fill(part, head.skin * np.float32(1.02))
  tips = placed(base + 0.90 * reach)
  tips = shapes.ellipse(tips[:, 0], tips[:, 1], 0.022, 0.03, points=12)
  canvas.fill(canvas.cover(tips), nails, 0.85)
  cuff = placed([(-0.17, 0.36), (0.17, 0.36), (0.22, 0.9), (-0.22, 0.9)])
  canvas.fill(canvas.cover(cuff), sleeve)


def thing(canvas: Canvas, head: Head) -> None:
  """Paints a phone, a cup, a flower, a balloon or a sign before the face."""
  dice = head.dice["extra"]
  kind = dice.pick(tuple(_THINGS))
  x, y = dice.pick((-1, 1)) * dice.one(0.25, 0.6), dice.one(0.15, 0.6)
  hue, depth = dice.one(), dice.one()
  main = colours.cloth(hue, depth)
  palette = np.stack([main, colours.cloth(hue + 0.5, 1 - depth), _WHITE])
  pattern = Pattern.roll(dice, palette, scale=0.7)
  text = lettering.word(dice.many(4))
  _THINGS[kind](canvas, _Prop(x, y, hue, palette, pattern, np.empty(0), text))


def _phone(canvas: Canvas, prop: _Prop) -> None:
  x, y = prop.x, prop.y
  body = shapes.box(x - 0.17, y - 0.3, x + 0.17, y + 0.3)
  canvas.fill(canvas.cover(body), _DARK)
  case = shapes.box(x - 0.15, y - 0.28, x + 0.15, y + 0.28)
  prop.pattern.paint(canvas, canvas.cover(case))
  canvas.fill(canvas.cover(shapes.ellipse(x - 0.09, y - 0.21, 0.04)), _DARK)


def _cup(canvas: Canvas, prop: _Prop) -> None:
  x, y = prop.x, prop.y
  ring = shapes.ellipse(x + 0.25, y + 0.05, 0.10, 0.13)
  canvas.fill(
      canvas.cover(shapes.stroke(ring, 0.05, closed=True)),
      prop.palette[0] * np.float32(0.8),
  )
  cup = canvas.cover(np.array([
      (x - 0.24, y - 0.22), (x + 0.24, y - 0.22), (x + 0.19, y + 0.30),
      (x - 0.19, y + 0.30)]))
  prop.pattern.paint(canvas, cup)
  canvas.fill(
      canvas.cover(shapes.ellipse(x, y - 0.22, 0.24, 0.05)),
      colours.rgb("4a2e20"),
  )
  canvas.tint(canvas.soft(x - 0.1, y, 0.12, 0.3).within(cup), np.full(3, 1.2))


def _flower(canvas: Canvas, prop: _Prop) -> None:
  x, y = prop.x, prop.y
  stem = shapes.curve([(x, y), (x + 0.06, y + 0.4), (x, 1.1)])
  canvas.fill(canvas.cover(shapes.stroke(stem, 0.035)), colours.rgb("4f8046"))
  turn = np.arange(8) * np.pi / 4
  petals = shapes.ellipse(
      x + 0.15 * np.cos(turn), y + 0.15 * np.sin(turn), 0.115, 0.062, turn
  )
  canvas.fill(canvas.cover(petals), colours.hsv(prop.hue, 0.5, 0.95))
  canvas.fill(canvas.cover(shapes.ellipse(x, y, 0.085)), colours.rgb("f0c040"))


def _balloon(canvas: Canvas, prop: _Prop) -> None:
  x, y = prop.x, prop.y
  string = shapes.curve([(x, y), (x + 0.05, y + 0.5), (x - 0.03, 1.2)])
  canvas.fill(canvas.cover(shapes.stroke(string, 0.012)), _DARK)
  ball = canvas.cover(shapes.ellipse(x, y - 0.1, 0.27, 0.33, points=48))
  canvas.fill(ball, colours.hsv(prop.hue, 0.7, 0.9), 0.93)
  shade = canvas.soft(x + 0.1, y + 0.1, 0.3, 0.3)
  canvas.tint(shade.within(ball), np.full(3, 0.8))
  canvas.fill(canvas.soft(x - 0.1, y - 0.25, 0.08, 0.1), _WHITE, 0.8)


def _sign(canvas: Canvas, prop: _Prop) -> None:
  x, y = prop.x, prop.y
  board = shapes.box(x - 0.36, y + 0.02, x + 0.36, y + 0.34)
  canvas.fill(canvas.cover(board), colours.rgb("f4ecd8"))
  border = shapes.stroke(board, 0.03, closed=True)
  canvas.fill(canvas.cover(border), prop.palette[0])
  letters = lettering.outlines(prop.text, x, y + 0.18, 0.15, 0.2)
  canvas.fill(canvas.cover(letters), _DARK)


_THINGS = {
    "phone": _phone, "cup": _cup, "flower": _flower, "balloon": _balloon,
    "sign": _sign,
}


def stickers(canvas: Canvas, head: Head) -> None:
  """Paints stars, dots and letters at random positions."""
  dice = head.dice["extra"]
  for _ in range(7):
    x, y = dice.one(-0.85, 0.85), dice.one(-0.85, 0.85)
    size, turn = dice.one(0.09, 0.19), dice.one(-0.5, 0.5)
    colour = colours.hsv(dice.one(), 0.7, 0.95)
    kind, letter = dice.pick(("star", "dot", "letter")), dice.many(1)
    if kind == "star":
      for grow, tone in ((1.25, _WHITE), (1.0, colour)):
        star = shapes.star(x, y, grow * size, turn=turn)
        canvas.fill(canvas.cover(star), tone)
      continue
    canvas.fill(canvas.cover(shapes.ellipse(x, y, size)), _WHITE)
    canvas.fill(canvas.cover(shapes.ellipse(x, y, 0.84 * size)), colour)
    if kind == "letter":
      sign = lettering.outlines(lettering.word(letter), x, y, size, 0.2)
      canvas.fill(canvas.cover(sign), _WHITE)


# Extras that are painted last, over everything else.
IN_FRONT = {
    "odd_hat": odd_hat, "hand": hand, "object": thing, "stickers": stickers,
}
