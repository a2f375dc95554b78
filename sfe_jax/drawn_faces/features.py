"""Eyes, brows, nose and mouth."""

from typing import NamedTuple

import numpy as np

from sfe_jax.drawn_faces import colours, shapes
from sfe_jax.drawn_faces.canvas import Canvas, Cover
from sfe_jax.drawn_faces.head import Head

_INK = colours.rgb("2a1c1e")
_WHITE = colours.rgb("ffffff")


def eyes(canvas: Canvas, head: Head) -> None:
  """Paints eyeballs, eyelids, lashes and eye shadow."""
  f, dice = head.face, head.dice["features"]
  half = dice.one(0.092, 0.104) * (1 + 0.05 * f.gender)
  high = dice.one(0.046, 0.056) * (1 + 0.16 * f.gender) * (1 - 0.2 * head.old)
  slant = dice.one(-0.012, 0.014)
  apart = dice.one(0.192, 0.208)
  gaze = np.array([dice.one(-0.02, 0.02), dice.one(-0.004, 0.01)])
  y = -0.03
  upper = np.array([
      (-half, 0.018), (-0.6 * half, -0.72 * high), (0.05 * half, -high),
      (0.65 * half, -0.72 * high - slant), (half, 0.004 - slant),
  ])
  lower = np.array([
      (0.6 * half, 0.62 * high), (0.0, 0.78 * high), (-0.55 * half, 0.62 * high)
  ])
  shift = (apart, y)
  lid = shapes.curve(upper)
  rim = np.concatenate([lid, shapes.curve(
      np.concatenate([upper[-1:], lower, upper[:1]]))[1:-1]])
  pair = shapes.mirror(rim + shift)
  crease = upper * (1.06, 1.0) + (0, -0.028 - 0.006 * f.gender)
  crease[0] += (0.01, 0.0)
  crease = shapes.curve(crease)
  paint = colours.hsv(dice.one(), 0.5, 0.55)
  if f.makeup > 0:
    between = np.concatenate([lid, crease[::-1]])
    between[-len(crease):] += (0, -0.012)
    between = shapes.mirror(between + shift)
    canvas.fill(canvas.cover(head.front(between)), paint, 0.55 * f.makeup)
  crease = head.front(shapes.mirror(crease + shift))
  canvas.tint(
      canvas.cover(shapes.stroke(crease, 0.012 * shapes.taper(25))),
      (0.66, 0.54, 0.52), 0.75,
  )
  white = canvas.cover(head.front(pair))
  canvas.fill(white, colours.rgb("f6f2ee"))
  # Shadow of the eyelid on the eyeball.
  shadow = canvas.cover(
      shapes.stroke(head.front(shapes.mirror(lid + shift)), 0.045)
  )
  canvas.tint(shadow.within(white), (0.72, 0.70, 0.74))
  middle = np.array([(-apart, y), (apart, y)]) + gaze + (0, -0.003)
  _irises(canvas, head, white, middle)
  _lids(canvas, head, lid, lower, upper, shift)


def _irises(canvas, head, white, middle):
  """Paints irises and pupils at middle (2, 2)."""
  f = head.face
  colour = colours.iris(f.eye_colour)
  glint = 0.02 * (1 if f.light >= 0 else -1) * min(1, 0.4 + abs(f.light))
  radius, x, y, colour, opacity = zip(
      (0.053, 0.0, 0.0, colour * np.float32(0.5), 1.0),
      (0.0455, 0.0, 0.0, colour, 1.0),
      (0.033, 0.0, 0.016, colours.mix(colour, 1.0, 0.28), 1.0),
      (0.025, 0.0, 0.0, _INK * np.float32(0.4), 1.0),
      (0.0145, glint, -0.019, _WHITE, 1.0),
      (0.0085, -glint, 0.018, _WHITE, 0.6),
  )
  discs = shapes.ellipse(
      middle[:, 0] + np.array(x)[:, None], middle[:, 1] + np.array(y)[:, None],
      np.array(radius)[:, None],
  )
  for k, disc in enumerate(head.front(discs)):
    canvas.fill(canvas.cover(disc).within(white), colour[k], opacity[k])


def _lids(canvas, head, lid, lower, upper, shift):
  """Paints the edges of the eyelids and the lashes."""
  f = head.face
  female = f.gender
  strength = 0.011 + 0.012 * female + 0.006 * f.makeup
  width = strength * shapes.taper(len(lid), 0.5, 0.7)
  line = head.front(shapes.mirror(lid + shift))
  ink = colours.mix(colours.mix(_INK, head.hair * 0.5, 0.3), head.skin * 0.4,
                    0.35 * (1 - female))
  outlines = [shapes.stroke(line, width)]
  wing = max(female - 0.35, 0) / 0.65
  if wing > 0:
    size = 0.6 + 0.4 * f.makeup
    roots = lid[[len(lid) - 1, len(lid) - 5, len(lid) - 9]]
    tips = roots + np.array(
        [(0.05, -0.03), (0.04, -0.036), (0.026, -0.034)]
    ) * (wing * size)
    lashes = np.stack([roots, (roots + tips) / 2 + (0.004, 0.004), tips], 1)
    lashes = head.front(shapes.mirror(lashes + shift)).reshape(6, 3, 2)
    outlines.append(
        shapes.stroke(lashes, 0.016 * wing * np.array([1, 0.7, 0.1]))
    )
  canvas.fill(canvas.cover(*outlines), ink)
  under = shapes.curve(np.concatenate([upper[-1:], lower, upper[:1]]))
  under = head.front(shapes.mirror(under + shift))
  canvas.tint(
      canvas.cover(shapes.stroke(under, 0.009 * shapes.taper(25))),
      (0.62, 0.48, 0.46), 0.5 + 0.3 * f.makeup,
  )


def brows(canvas: Canvas, head: Head) -> None:
  """Paints brows in the colour of the hair, thicker for masculine faces."""
  f, dice = head.face, head.dice["features"]
  lift = dice.one(-0.012, 0.012)
  arch = dice.one(0.0, 0.02) + 0.030 * f.gender
  thick = dice.one(0.85, 1.2) * (0.058 - 0.032 * f.gender)
  y = -0.148 - 0.018 * f.gender + lift
  line = shapes.curve([
      (0.088, y + 0.02), (0.15, y - 0.3 * arch), (0.225, y - 0.7 * arch),
      (0.315, y + 0.028),
  ])
  width = thick * np.interp(
      np.linspace(0, 1, len(line)), (0, 0.12, 0.55, 1), (0.5, 1, 0.8, 0.1)
  )
  both = head.front(shapes.mirror(line))
  colour = colours.mix(head.hair, head.skin * np.float32(0.35), 0.42)
  if colours.brightness(colour) > 0.72 * colours.brightness(head.skin):
    colour = colours.mix(colour, head.skin * np.float32(0.6), 0.5)
  canvas.fill(canvas.cover(shapes.stroke(both, width)), colour, 0.95)


def nose(canvas: Canvas, head: Head) -> None:
  """Paints bridge and wings of the nose as shadows, nostrils, a highlight."""
  f, dice = head.face, head.dice["features"]
  wide = dice.one(0.062, 0.085) * (1.08 - 0.16 * f.gender)
  tip = dice.one(0.2, 0.225) + 0.012 * head.old
  shade = np.array([0.70, 0.58, 0.55])
  side = -1.0 if f.light > 0 else 1.0
  lift = 0.085
  bridge = np.array([
      (side * 0.028, -0.08), (side * 0.022, 0.02), (side * 0.036, 0.12),
      (side * 0.066, tip - 0.01), (side * 0.030, tip + 0.02), (0.0, tip - 0.02),
      (side * 0.006, 0.05), (side * 0.012, -0.05),
  ])
  depth = lift * np.array([0.3, 0.6, 0.9, 1, 1.2, 1.2, 0.8, 0.4])
  canvas.tint(
      canvas.cover(shapes.spline(head.front(bridge, depth))), shade,
      0.14 + 0.26 * abs(f.light),
  )
  base = [
      (-wide, tip - 0.035), (-wide - 0.004, tip + 0.008),
      (-0.55 * wide, tip + 0.024), (0.0, tip + 0.042),
      (0.55 * wide, tip + 0.024), (wide + 0.004, tip + 0.008),
      (wide, tip - 0.035),
  ]
  line = head.front(
      shapes.curve(base),
      lift * np.interp(np.arange(37), (0, 18, 36), (0.6, 1.15, 0.6)),
  )
  width = 0.017 * np.clip(shapes.taper(37), 0.15, 1)
  canvas.tint(canvas.cover(shapes.stroke(line, width)), shade * 0.92, 0.9)
  holes = head.front(np.array([(-0.5 * wide, tip + 0.018),
                               (0.5 * wide, tip + 0.018)]), lift)
  holes = shapes.ellipse(holes[:, 0], holes[:, 1], 0.017, 0.009, points=12)
  canvas.tint(canvas.cover(holes), (0.42, 0.30, 0.28), 0.9)
  x, y = head.front((0.016 * f.light, tip - 0.02), lift * 1.1)
  canvas.tint(canvas.soft(x, y, 0.034, 0.03), (1.22, 1.22, 1.22))


class _Lips(NamedTuple):
  """Shape of the mouth in face coordinates, at points from left to right.

  Attributes:
    x: (n,) points.
    top: (n,) lower edge of the upper lip.
    middle: (n,) line between the lips when the mouth is closed.
    bottom: (n,) upper edge of the lower lip.
    gap: (n,) height of the opening.
    wide: half of the width.
    y: height of the middle of the mouth.
    grin: share of a smile that opens the mouth, in [0, 1].
  """

  x: np.ndarray
  top: np.ndarray
  middle: np.ndarray
  bottom: np.ndarray
  gap: np.ndarray
  wide: float
  y: float
  grin: float


def mouth(canvas: Canvas, head: Head) -> None:
  """Paints lips and, if the mouth is open, teeth and tongue."""
  f, dice = head.face, head.dice["features"]
  wide = dice.one(0.122, 0.138) + 0.105 * f.smile - 0.02 * f.mouth_open
  full = dice.one(0.85, 1.15) * (0.8 + 0.5 * f.gender) * (1 - 0.25 * head.old)
  shade = dice.one()
  y, count = 0.375, 13
  t = np.linspace(-1, 1, count)
  round_ = 1 - t**2
  # A smile raises the corners; the middle stays.
  middle = y + 0.03 * f.smile - (0.120 * f.smile - 0.032) * t**2
  grin = max(f.smile - 0.35, 0) / 0.65
  gap = (0.075 * grin**0.8 + 0.125 * f.mouth_open) * round_**0.6
  top = middle - 0.30 * gap
  bottom = middle + 0.70 * gap
  bow = 0.034 * full * (round_**0.8) * (1 - 0.25 * np.exp(-((t / 0.16) ** 2)))
  low = 0.046 * full * round_**0.75 * (1 - 0.15 * f.smile)
  lips = _Lips(wide * t, top, middle, bottom, gap, wide, y, grin)
  colour = colours.lip(head.skin, f.gender, f.makeup, shade)
  upper = _between(canvas, head, lips.x, top - bow - 0.002, middle)
  lower = _between(canvas, head, lips.x, middle, bottom + low + 0.002)
  both = _between(
      canvas, head, lips.x, top - bow - 0.003, bottom + low + 0.003
  )
  canvas.fill(both, colour)
  canvas.tint(upper, (0.86, 0.82, 0.82))
  gloss = head.front((0.03 * f.light, y + gap.max() * 0.7 + 0.03 * f.smile
                      + 0.024 * full), 0.04)
  canvas.tint(
      canvas.soft(gloss[0], gloss[1], 0.06, 0.015).within(lower),
      (1.16, 1.14, 1.14), 0.6 + 0.9 * f.makeup,
  )
  if gap.max() > 0.008:
    _opening(canvas, head, lips)
  else:
    line = head.front(np.stack([lips.x * 1.02, middle], -1), 0.04)
    width = 0.015 * np.clip(shapes.taper(count), 0.3, 1)
    canvas.tint(canvas.cover(shapes.stroke(line, width)), (0.45, 0.34, 0.36))
  ends = head.front(
      [(-wide - 0.006, middle[0] - 0.002), (wide + 0.006, middle[-1] - 0.002)],
      0.04)
  spots = shapes.ellipse(ends[:, 0], ends[:, 1], 0.014, 0.011, points=12)
  canvas.tint(canvas.cover(spots), (0.66, 0.54, 0.52), 0.8)


def _between(
    canvas: Canvas,
    head: Head,
    x: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
) -> Cover:
  """Covers the area between two lines (n,) over x (n,)."""
  line = np.stack([x, above], -1), np.stack([x, below], -1)[::-1][1:-1]
  return canvas.cover(head.front(np.concatenate(line), 0.04))


def _opening(canvas: Canvas, head: Head, lips: _Lips) -> None:
  """Paints the inside of an open mouth."""
  hole = _between(canvas, head, lips.x, lips.top, lips.bottom)
  canvas.fill(hole, colours.rgb("5a1c22"))
  tongue = head.front((0.0, lips.bottom.max() + 0.01), 0.04)
  canvas.fill(
      canvas.cover(
          shapes.ellipse(
              tongue[0], tongue[1], 0.6 * lips.wide, 0.4 * lips.gap.max()
          )
      ).within(hole),
      colours.rgb("c05a5e"),
  )
  shown = 0.012 + 0.055 * lips.grin + 0.02 * head.face.mouth_open
  teeth = _between(
      canvas,
      head,
      lips.x,
      lips.top - 0.01,
      np.minimum(lips.top + shown, lips.bottom) + 0.0,
  )
  canvas.fill(teeth.within(hole), colours.rgb("fbf7f0"))
  gaps = np.linspace(-0.62, 0.62, 6) * lips.wide
  lines = np.stack(
      [np.stack([gaps, np.full(6, lips.y - 0.06)], -1),
       np.stack([gaps, np.full(6, lips.y + 0.12)], -1)], 1)
  cover = canvas.cover(shapes.stroke(head.front(lines, 0.04), 0.004))
  canvas.tint(cover.within(teeth).within(hole), (0.82, 0.80, 0.78))
