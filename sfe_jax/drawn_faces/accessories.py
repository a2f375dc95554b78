"""Glasses, earrings and ordinary hats."""

import numpy as np
from numpy.typing import ArrayLike

from sfe_jax.drawn_faces import colours, lettering, shapes
from sfe_jax.drawn_faces.canvas import Canvas, Cover
from sfe_jax.drawn_faces.head import Head, whole
from sfe_jax.drawn_faces.patterns import Pattern

_LENSES = {
    "round": [(-0.125, 0), (-0.09, -0.085), (0, -0.118), (0.09, -0.085),
              (0.125, 0), (0.09, 0.088), (0, 0.122), (-0.09, 0.088)],
    "square": [(-0.135, -0.075), (-0.06, -0.09), (0.07, -0.09), (0.142, -0.08),
               (0.135, 0.055), (0.10, 0.088), (-0.09, 0.088), (-0.125, 0.055)],
    "cat": [(-0.12, -0.05), (-0.03, -0.078), (0.10, -0.105), (0.175, -0.125),
            (0.145, 0.0), (0.08, 0.08), (-0.03, 0.088), (-0.11, 0.05)],
    "pilot": [(-0.13, -0.07), (-0.05, -0.082), (0.08, -0.088), (0.145, -0.07),
              (0.135, 0.04), (0.07, 0.125), (-0.02, 0.12), (-0.105, 0.05)],
    "narrow": [(-0.125, -0.045), (0, -0.058), (0.11, -0.055), (0.14, -0.03),
               (0.125, 0.04), (0.06, 0.062), (-0.07, 0.062), (-0.12, 0.035)],
}


def lenses(head: Head, kind: str) -> np.ndarray:
  """Outlines of the lenses (2, n, 2), the picture's right one first."""
  lens = shapes.spline(np.array(_LENSES[kind]) + (0.205, -0.025))
  return head.front(shapes.mirror(lens), 0.05)


def glasses(canvas: Canvas, head: Head) -> None:
  """Paints glasses; some frames have a decoration."""
  dice = head.dice["glasses"]
  kind = dice.pick(tuple(_LENSES))
  frame = dice.pick((
      colours.rgb("1d1a1e"), colours.rgb("3a2420"), colours.rgb("8a6a2c"),
      colours.rgb("5e1f2a"), colours.rgb("20384e"),
      colours.cloth(dice.one(), 0.6),
  ))
  thick = dice.one(0.024, 0.038)
  decor = dice.pick(("none", "none", "dots", "stripes", "tips"))
  second = colours.hsv(dice.one(), 0.5, 0.95)
  if not head.face.glasses:
    return
  edge = lenses(head, kind)
  glass = canvas.cover(edge)
  canvas.fill(glass, colours.rgb("eef6ff"), 0.13)
  shine(canvas, head, glass, 0.17)
  wire(canvas, head, edge, frame, thick)
  ring = canvas.cover(shapes.stroke(edge, thick, closed=True))
  if decor == "stripes":
    stripes = canvas.times(ring, lambda x, y: np.sin((x + y) * 90) > 0)
    canvas.fill(stripes, second)
  elif decor == "dots":
    dots = edge[:, ::6].reshape(-1, 2)
    dots = shapes.ellipse(dots[:, 0], dots[:, 1], 0.011, points=8)
    canvas.fill(canvas.cover(dots), second)
  elif decor == "tips":
    canvas.fill(canvas.cover(shapes.stroke(edge[:, 12:26], thick)), second)


def wire(
    canvas: Canvas,
    head: Head,
    edge: np.ndarray,
    colour: colours.Colour,
    thick: float,
) -> None:
  """Paints rims, bridge and temples of glasses with lenses `edge`."""
  ends = head.side([(-0.445, -0.06), (0.445, -0.06)])
  right, left = edge
  outer = np.stack([left[left[:, 0].argmin()], right[right[:, 0].argmax()]])
  temples = np.stack([outer + (0, -0.03), ends], 1)
  a, b = left[:, 0].max() - 0.005, right[:, 0].min() + 0.005
  y = edge[:, :, 1].mean() - 0.03
  bridge = shapes.curve([(a, y), ((a + b) / 2, y - 0.025), (b, y)])
  parts = canvas.cover(
      shapes.stroke(temples, 0.8 * thick), shapes.stroke(bridge, 0.9 * thick)
  )
  rims = canvas.cover(shapes.stroke(edge, thick, closed=True))
  below = shapes.stroke(edge + (0, 0.016), thick, closed=True)
  canvas.tint(canvas.cover(below), (0.80, 0.72, 0.70), 0.6)
  canvas.fill(parts, colour * np.float32(0.9))
  canvas.fill(rims, colour)
  light = shapes.stroke(edge + (0, -0.25 * thick), 0.22 * thick, closed=True)
  pale = colours.mix(colour, 1.0, 0.5)
  canvas.fill(canvas.cover(light).within(rims), pale, 0.6)


def shine(canvas: Canvas, head: Head, glass: Cover, strength: float) -> None:
  """Paints slanted reflections on both lenses."""
  middle = head.front([(-0.205, -0.025), (0.205, -0.025)], 0.05)
  bars = [
      middle[:, None] + np.array([
          (x + 0.06, -0.14), (x + 0.06 + wide, -0.14), (x - 0.06 + wide, 0.14),
          (x - 0.06, 0.14),
      ])
      for x, wide in ((-0.05, 0.05), (0.02, 0.02))
  ]
  canvas.fill(canvas.cover(*bars).within(glass), np.ones(3), strength)


def earrings(canvas: Canvas, head: Head, lobes: np.ndarray) -> None:
  """Paints a pair of earrings of a random shape below the lobes (2, 2)."""
  dice = head.dice["earrings"]
  shape = dice.pick(("hoop", "drop", "star", "stud", "beads", "square", "bars"))
  size = dice.one(0.7, 1.25)
  metal = dice.pick((
      colours.rgb("e8bf4a"), colours.rgb("d9dde2"), colours.rgb("e0a08a"),
      colours.cloth(dice.one(), 0.8),
  ))
  gem = colours.hsv(dice.one(), 0.7, 0.85)
  if not head.face.earrings:
    return
  x, y = lobes[:, 0], lobes[:, 1] - 0.01
  if shape == "hoop":
    rings = shapes.ellipse(x, y + 0.075 * size, 0.058 * size, 0.07 * size)
    canvas.fill(canvas.cover(shapes.stroke(rings, 0.022, closed=True)), metal)
  elif shape == "drop":
    drops = shapes.spline(np.stack([lobes + p for p in np.array([
        (0, 0.03), (0.03, 0.11), (0, 0.15), (-0.03, 0.11)]) * size], 1))
    canvas.fill(canvas.cover(drops), gem)
  elif shape == "star":
    stars = shapes.star(x, y + 0.07 * size, 0.07 * size)
    canvas.fill(canvas.cover(stars), metal)
  elif shape == "beads":
    for k in range(3):
      beads = shapes.ellipse(x, y + (0.03 + 0.055 * k) * size, 0.028 * size)
      canvas.fill(canvas.cover(beads), gem if k % 2 else metal)
  elif shape == "square":
    tiles = shapes.ellipse(x, y + 0.075 * size, 0.06 * size, points=4)
    canvas.fill(canvas.cover(tiles), gem)
    canvas.fill(canvas.cover(shapes.stroke(tiles, 0.014, closed=True)), metal)
  elif shape == "bars":
    for k in (-1, 0, 1):
      bars = shapes.box(x + 0.024 * k - 0.007, y + 0.03, x + 0.024 * k + 0.007,
                        y + (0.13 - 0.03 * abs(k)) * size)
      canvas.fill(canvas.cover(bars), metal if k else gem)
  radius = 0.034 if shape == "stud" else 0.019
  studs = shapes.ellipse(x, y + 0.012, radius * size, points=12)
  canvas.fill(canvas.cover(studs), metal)
  canvas.fill(
      canvas.cover(shapes.ellipse(x - 0.005, y + 0.006, 0.006, points=8)),
      np.ones(3), 0.8,
  )


def hat(canvas: Canvas, head: Head) -> None:
  """Paints the face's hat with a random pattern or text."""
  f, dice = head.face, head.dice["hat"]
  hue, depth = dice.one(), dice.one(0.1, 0.9)
  main = colours.cloth(hue, depth)
  other = colours.cloth(hue + dice.pick((0.5, 0.1, 0.35)), 1 - depth)
  third = colours.mix(other, 1.0, 0.6)
  pattern = Pattern.roll(dice, np.stack([main, other, third]), scale=0.8)
  text = lettering.word(dice.many(4))[:dice.pick((1, 2, 3, 4))]
  side = dice.pick((-1, 1))
  if f.hat == "none" or f.extra == "odd_hat":
    return
  _HATS[f.hat](canvas, head, pattern, text, side)


def dome(head: Head, half: ArrayLike) -> np.ndarray:
  """Outline of a hat from its right half.

  The lower edge follows the front of the face, the rest the skull.
  """
  points = shapes.spline(whole(half), 8)
  share = np.clip((points[:, 1:] + 0.50) / 0.16, 0, 1)
  a, b = head.side(points), head.front(points)
  x = a[:, :1] + (b - a)[:, :1] * share * 0.5
  return np.concatenate([x, a[:, 1:]], 1)


def rounded(canvas: Canvas, head: Head, cover: Cover) -> None:
  """Shades a hat like a sphere."""
  x, y = head.side((0.2 * head.face.light, -0.62))
  canvas.tint(canvas.soft(x, y, 0.34, 0.24).within(cover), np.full(3, 1.18))

  def edge(x, y):
    del y
    x = np.abs(x + np.float32(0.1 * head.turn))
    return np.clip((x - 0.22) / 0.3, 0, 1) ** 2

  canvas.tint(canvas.times(cover, edge), (0.66, 0.64, 0.68))


def _shade_below(canvas: Canvas, head: Head, y: float) -> None:
  """Paints the shadow of a hat on the forehead."""
  line = head.front(shapes.curve([(-0.41, y + 0.05), (0, y), (0.41, y + 0.05)]))
  canvas.tint(
      canvas.cover(shapes.stroke(line, 0.075 * shapes.taper(13))),
      (0.72, 0.62, 0.62), 0.7,
  )


def _cap(canvas, head, pattern, text, side):
  del side
  body = canvas.cover(dome(head, [
      (0.0, -0.82), (0.22, -0.79), (0.40, -0.64), (0.485, -0.42), (0.47, -0.27),
      (0.30, -0.335), (0.0, -0.36),
  ]))
  _shade_below(canvas, head, -0.25)
  pattern.paint(canvas, body)
  rounded(canvas, head, body)
  seams = shapes.curve(head.side([
      [(0.0, -0.81), (0.0, -0.6), (0.0, -0.36)],
      [(0.0, -0.81), (-0.24, -0.62), (-0.27, -0.33)],
      [(0.0, -0.81), (0.24, -0.62), (0.27, -0.33)],
  ]))
  canvas.tint(canvas.cover(shapes.stroke(seams, 0.010)), np.full(3, 0.7))
  x, y = head.side((0.0, -0.565)) + (0.18 * head.turn, 0)
  panel = shapes.spline(
      np.array([(-0.2, 0.15), (-0.19, -0.09), (0, -0.16), (0.19, -0.09),
                (0.2, 0.15), (0.0, 0.12)]) + (x, y)
  )
  panel = canvas.cover(panel).within(body)
  canvas.fill(panel, pattern.palette[2])
  ink = colours.mix(pattern.palette[0], 0.0, 0.35)
  letters = lettering.outlines(text, x, y, 0.17 - 0.02 * len(text), 0.2)
  canvas.fill(canvas.cover(letters).within(panel), ink)
  brim = whole([
      (0.0, -0.385), (0.20, -0.37), (0.37, -0.30), (0.40, -0.235),
      (0.22, -0.265), (0.0, -0.275),
  ])
  brim = canvas.cover(shapes.spline(head.front(brim, 0.14)))
  colour = colours.mix(pattern.palette[0], 0.0, 0.18)
  canvas.fill(brim, colour)
  edge = head.front(shapes.curve([
      (-0.38, -0.26), (-0.21, -0.283), (0, -0.293), (0.21, -0.283),
      (0.38, -0.26)]), 0.14)
  canvas.tint(canvas.cover(shapes.stroke(edge, 0.016)), np.full(3, 1.35))
  button = head.side((0.0, -0.815))
  canvas.fill(
      canvas.cover(shapes.ellipse(button[0], button[1], 0.03, 0.02)), colour
  )


def _beanie(canvas, head, pattern, text, side):
  body = canvas.cover(dome(head, [
      (0.0, -0.86), (0.18, -0.83), (0.36, -0.70), (0.475, -0.48),
      (0.49, -0.28), (0.25, -0.33), (0.0, -0.345),
  ]))
  ball = head.side((0.0, -0.87))
  knob = shapes.wavy(
      shapes.ellipse(ball[0], ball[1], 0.105, points=48), 0.010, 22
  )
  canvas.fill(canvas.cover(knob), pattern.palette[2])
  canvas.tint(
      canvas.soft(ball[0] + 0.03, ball[1] + 0.05, 0.13, 0.1), np.full(3, 0.85)
  )
  _shade_below(canvas, head, -0.24)
  pattern.paint(canvas, body)
  rounded(canvas, head, body)
  fold = whole([
      (0.0, -0.46), (0.25, -0.445), (0.47, -0.385), (0.51, -0.30),
      (0.485, -0.215), (0.26, -0.27), (0.0, -0.285),
  ])
  fold = canvas.cover(shapes.spline(dome(head, fold[: len(fold) // 2 + 1])))
  colour = colours.mix(pattern.palette[0], 0.0, 0.12)
  canvas.fill(fold, colour)
  x = np.linspace(-0.48, 0.48, 21)
  ribs = [np.stack([x, np.full(21, y)], -1) for y in (-0.5, -0.2)]
  ribs = head.side(np.stack(ribs, 1))
  canvas.tint(
      canvas.cover(shapes.stroke(ribs, 0.014)).within(fold), np.full(3, 0.80)
  )
  if side > 0:
    x, y = head.front((0.0, -0.37), 0.05)
    label = canvas.cover(shapes.box(x - 0.11, y - 0.055, x + 0.11, y + 0.055))
    canvas.fill(label, colours.rgb("efe6d2"))
    letters = canvas.cover(lettering.outlines(text[:3], x, y, 0.07, 0.2))
    canvas.fill(letters, colours.rgb("3a2c2a"))


def _headband(canvas, head, pattern, text, side):
  del text
  band = np.concatenate([
      shapes.curve(head.side([
          (-0.475, -0.20), (-0.455, -0.36), (-0.30, -0.485), (0, -0.53),
          (0.30, -0.485), (0.455, -0.36), (0.475, -0.20),
      ])),
      shapes.curve(head.side([
          (0.47, -0.12), (0.425, -0.25), (0.28, -0.36), (0, -0.40),
          (-0.28, -0.36), (-0.425, -0.25), (-0.47, -0.12),
      ])),
  ])
  cover = canvas.cover(band)
  pattern.paint(canvas, cover)
  rounded(canvas, head, cover)
  x, y = head.side((0.30 * side, -0.46))
  bow = np.array([
      (0, 0), (0.10, -0.09), (0.15, -0.02), (0.10, 0.06), (0, 0.01),
      (-0.10, 0.06), (-0.15, -0.02), (-0.10, -0.09),
  ])
  canvas.fill(canvas.cover(shapes.spline(bow + (x, y))), pattern.palette[1])
  canvas.fill(
      canvas.cover(shapes.ellipse(x, y - 0.01, 0.03, 0.035)),
      pattern.palette[1] * np.float32(0.75),
  )


def _straw(canvas, head, pattern, text, side):
  del text
  straw = colours.mix(colours.rgb("e2c27c"), pattern.palette[0], 0.15)
  x, y = head.side((0.0, -0.40))
  brim = canvas.cover(
      shapes.ellipse(x, y, 0.82, 0.155, 0.03 * side, points=64)
  )
  _shade_below(canvas, head, -0.23)
  canvas.fill(brim, straw * np.float32(0.9))
  for k in (0.80, 0.62):
    ring = shapes.ellipse(x, y, 0.82 * k, 0.155 * k, 0.03 * side, points=64)
    canvas.tint(
        canvas.cover(shapes.stroke(ring, 0.008, closed=True)), np.full(3, 0.86)
    )
  crown = canvas.cover(dome(head, [
      (0.0, -0.86), (0.20, -0.90), (0.34, -0.85), (0.41, -0.60), (0.44, -0.41),
      (0.25, -0.35), (0.0, -0.335),
  ]))
  canvas.fill(crown, straw)
  weave = shapes.curve(head.side(np.stack([
      [(-0.5, k - 0.06), (0.0, k), (0.5, k - 0.06)]
      for k in np.arange(-0.82, -0.4, 0.06)])))
  canvas.tint(
      canvas.cover(shapes.stroke(weave, 0.008)).within(crown), np.full(3, 0.86)
  )
  ribbon = canvas.cover(dome(head, [
      (0.0, -0.47), (0.22, -0.48), (0.425, -0.53), (0.44, -0.42), (0.25, -0.36),
      (0.0, -0.345),
  ])).within(crown)
  pattern.paint(canvas, ribbon)
  rounded(canvas, head, crown)


def _bandana(canvas, head, pattern, text, side):
  del text
  knot = np.array([
      (0.43, -0.28), (0.56, -0.36), (0.66, -0.30), (0.60, -0.22), (0.66, -0.12),
      (0.54, -0.12), (0.45, -0.20),
  ]) * (side, 1)
  canvas.fill(
      canvas.cover(shapes.spline(head.side(knot))),
      pattern.palette[0] * np.float32(0.75),
  )
  _shade_below(canvas, head, -0.27)
  body = canvas.cover(dome(head, [
      (0.0, -0.68), (0.20, -0.66), (0.37, -0.56), (0.475, -0.36), (0.48, -0.18),
      (0.32, -0.30), (0.0, -0.40),
  ]))
  pattern.paint(canvas, body)
  rounded(canvas, head, body)
  folds = shapes.curve(head.side([
      [(0.44 * side, -0.26), (0.1 * side, -0.44), (-0.35 * side, -0.42)],
      [(0.44 * side, -0.28), (0.2 * side, -0.52), (-0.2 * side, -0.58)],
  ]))
  canvas.tint(
      canvas.cover(shapes.stroke(folds, 0.016 * shapes.taper(13))).within(body),
      np.full(3, 0.74),
  )


_HATS = {
    "cap": _cap, "beanie": _beanie, "headband": _headband, "straw": _straw,
    "bandana": _bandana,
}
