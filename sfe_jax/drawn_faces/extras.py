"""Extras that the face wears: face paint, a mask and sunglasses.

The other values of attribute `extra` are in `props`.
"""

import numpy as np

from sfe_jax.drawn_faces import accessories, colours, lettering, shapes
from sfe_jax.drawn_faces.canvas import Canvas, Cover
from sfe_jax.drawn_faces.head import Head, whole
from sfe_jax.drawn_faces.patterns import Pattern

_WHITE = np.ones(3, np.float32)


def face_paint(canvas: Canvas, head: Head, cover: Cover) -> None:
  """Paints stripes, whiskers, a star, two colours or hearts on the skin."""
  dice = head.dice["extra"]
  kind = dice.pick(("stripes", "cat", "star", "halves", "hearts"))
  first = colours.hsv(dice.one(), 0.75, 0.85)
  second = colours.hsv(dice.one(), 0.75, 0.95)
  if kind == "stripes":
    for k, colour in enumerate((first, _WHITE, second)):
      y = 0.11 + 0.065 * k
      bars = head.front(shapes.curve(shapes.mirror(
          [(0.14, y), (0.24, y - 0.01), (0.36, y - 0.03)])))
      canvas.fill(
          canvas.cover(shapes.stroke(bars, 0.045)).within(cover), colour, 0.85
      )
  elif kind == "cat":
    lines = head.front(shapes.mirror([
        [(0.13, y), (0.24, y + d), (0.37, y + 2 * d)]
        for y, d in ((0.22, -0.025), (0.26, 0.0), (0.30, 0.025))
    ]).reshape(6, 3, 2))
    canvas.fill(
        canvas.cover(shapes.stroke(lines, 0.014)), colours.rgb("201c20")
    )
    tip = head.front([(-0.06, 0.17), (0.06, 0.17), (0.0, 0.245)], 0.085)
    canvas.fill(canvas.cover(shapes.spline(tip)), first)
  elif kind == "star":
    x, y = head.front((dice.pick((-0.205, 0.205)), -0.03))
    patch = canvas.cover(shapes.star(x, y, 0.23)).within(cover)
    canvas.fill(patch, first, 0.9)
    x, y = head.front((0.0, -0.33))
    canvas.fill(canvas.cover(shapes.star(x, y, 0.07)), second, 0.9)
  elif kind == "halves":
    x, _ = head.front((0.0, 0.2), 0.06)
    for sign, colour in ((-1, first), (1, second)):
      half = canvas.cover(shapes.box(x, -1, x + sign, 1))
      canvas.fill(half.within(cover), colour, 0.62)
  else:
    for x, y, s in ((-0.27, 0.17, 1), (0.27, 0.17, 1), (0.0, -0.33, 0.8)):
      heart = np.array([
          (0, 0.07), (-0.075, 0.0), (-0.07, -0.055), (-0.03, -0.065),
          (0, -0.03), (0.03, -0.065), (0.07, -0.055), (0.075, 0.0),
      ]) * s
      heart = shapes.spline(head.front(heart + (x, y)))
      canvas.fill(canvas.cover(heart), first)


def mask(canvas: Canvas, head: Head) -> None:
  """Paints a cloth mask over nose and mouth."""
  dice = head.dice["extra"]
  hue, depth = dice.one(), dice.one()
  main = colours.cloth(hue, 0.55 + 0.45 * depth)
  palette = np.stack([main, colours.cloth(hue + 0.5, depth), _WHITE])
  pattern = Pattern.roll(dice, palette, scale=0.7)
  text = lettering.word(dice.many(3))
  lettered = dice.chance(0.35)
  half = np.array([
      (0.0, 0.105), (0.12, 0.13), (0.34, 0.19), (0.36, 0.36), (0.27, 0.53),
      (0.12, 0.64), (0.0, 0.665),
  ]) + np.linspace(0, 1, 7)[:, None] * (0, head.drop)
  edge = head.both(whole(half), 0.05)
  hooks = np.stack([edge[[9, 3]], edge[[8, 4]]])
  ears = head.side([(-0.43, 0.03), (0.43, 0.03)])
  order = np.argsort(hooks[0][:, 0])
  strings = np.stack(
      [np.stack([h[order][k], ears[k]]) for h in hooks for k in (0, 1)]
  )
  canvas.fill(
      canvas.cover(shapes.stroke(strings, 0.014)), colours.rgb("f2f0ec")
  )
  cover = canvas.cover(shapes.spline(edge))
  pattern.paint(canvas, cover)
  for y in (0.27, 0.36, 0.45):
    fold = shapes.curve([(-0.32, y - 0.02), (0, y), (0.32, y - 0.02)])
    fold = head.both(fold, 0.07)
    canvas.tint(
        canvas.cover(shapes.stroke(fold, 0.014)).within(cover), np.full(3, 0.82)
    )
  x, y = head.front((0.0, 0.2), 0.1)
  canvas.tint(canvas.soft(x, y, 0.10, 0.12).within(cover), np.full(3, 1.12))
  x, y = head.both(np.array((0.0, 0.66)))
  canvas.tint(canvas.soft(x, y, 0.4, 0.16).within(cover), np.full(3, 0.78))
  if lettered:
    x, y = head.front((0.0, 0.40), 0.08)
    ink = colours.rgb("241f24" if colours.brightness(main) > 0.5 else "f5f0e6")
    canvas.fill(canvas.cover(lettering.outlines(text, x, y, 0.12, 0.2)), ink)


def sunglasses(canvas: Canvas, head: Head) -> None:
  """Paints dark or mirrored sunglasses that reflect a landscape."""
  dice = head.dice["extra"]
  kind = dice.pick(("round", "square", "cat", "pilot"))
  hue = dice.one()
  mirrored = dice.chance(0.6)
  heights = dice.many(5, -0.03, 0.05)
  frame = dice.pick((colours.rgb("18161a"), colours.rgb("b8903c"),
                     colours.hsv(hue + 0.5, 0.7, 0.8)))
  edge = accessories.lenses(head, kind)
  edge = edge + 0.10 * (edge - edge.mean(1, keepdims=True))
  glass = canvas.cover(edge)
  low = colours.hsv(hue + 0.12, 0.5, 0.95 if mirrored else 0.32)
  high = colours.hsv(hue, 0.75, 0.6 if mirrored else 0.10)
  high, step = high[:, None, None], (low - high)[:, None, None]
  canvas.fill(
      glass, lambda x, y: high + np.clip((y + 0.15) / 0.28, 0, 1) * step
  )
  middle = head.front([(-0.205, 0.0), (0.205, 0.0)], 0.05)
  ridge = np.stack([np.linspace(-0.17, 0.17, 5), heights], -1)
  ridge = np.concatenate([ridge, [(0.17, 0.2), (-0.17, 0.2)]])
  canvas.fill(
      canvas.cover(middle[:, None] + ridge).within(glass),
      colours.hsv(hue + 0.4, 0.5, 0.35), 0.6,
  )
  accessories.shine(canvas, head, glass, 0.42)
  accessories.wire(canvas, head, edge, frame, 0.026)
