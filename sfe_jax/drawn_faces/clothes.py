"""Shoulders and clothes."""

from typing import NamedTuple

import numpy as np

from sfe_jax.drawn_faces import colours, lettering, shapes
from sfe_jax.drawn_faces.canvas import Canvas
from sfe_jax.drawn_faces.head import Head
from sfe_jax.drawn_faces.patterns import Pattern


class _Garment(NamedTuple):
  """A garment's measures and colours.

  Attributes:
    x: horizontal position of the collar.
    neck: half of the width of the neck opening.
    rim: (k, 2) edge of the neck opening from left to right, before `x`.
    main: colour of the cloth.
    third: colour of cords and letters.
  """

  x: float
  neck: float
  rim: np.ndarray
  main: colours.Colour
  third: colours.Colour


def paint(canvas: Canvas, head: Head) -> None:
  """Paints shoulders in a random garment with a pattern or text."""
  f, dice = head.face, head.dice["clothes"]
  cut = dice.pick(("crew", "crew", "vee", "shirt", "turtle", "hood"))
  hue, depth = dice.one(), dice.one()
  main = colours.cloth(hue, depth)
  other = colours.cloth(hue + dice.pick((0.08, 0.5, 0.33, -0.1)), 1 - depth)
  third = colours.mix(main, 1.0 if depth < 0.6 else 0.0, 0.7)
  pattern = Pattern.roll(dice, np.stack([main, other, third]))
  slope = dice.one(-0.02, 0.02)
  text = lettering.word(dice.many(dice.pick((2, 3, 4, 5))))
  lettered = dice.chance(0.3)
  x = 0.06 * head.turn
  neck = 0.225 - 0.045 * f.gender
  wide = 0.90 - 0.14 * f.gender
  half = np.array([
      (neck + 0.01, 0.705), (neck + 0.12, 0.745), (wide - 0.20, 0.80),
      (wide - 0.04, 0.885), (wide + 0.06, 1.07), (wide + 0.06, 1.5),
  ])
  left = half[::-1] * (-1, 1)
  deep = {"vee": 0.97, "shirt": 0.92}.get(cut, 0.83)
  if cut in ("vee", "shirt"):
    opening = np.array([(0.0, deep)])
    rim = np.concatenate([left[-1:], opening, half[:1]])
  else:
    middle = [
        (0.5 * neck, deep - 0.02), (0.0, deep), (-0.5 * neck, deep - 0.02)
    ]
    rim = shapes.curve(np.concatenate([left[-1:], middle, half[:1]]))
    opening = rim
  body = np.concatenate([shapes.curve(half), shapes.curve(left), opening])
  body = body + np.stack([np.full(len(body), x), slope * body[:, 0]], -1)
  cover = canvas.cover(body)
  pattern.paint(canvas, cover)
  for side in (-1, 1):
    fold = shapes.curve([
        (side * 0.62 + x, 0.94), (side * 0.55 + x, 0.88),
        (side * 0.42 + x, 0.86),
    ])
    fold_cover = canvas.cover(shapes.stroke(fold, 0.03 * shapes.taper(13)))
    canvas.tint(fold_cover.within(cover), np.full(3, 0.82), 0.7)
  _COLLARS[cut](canvas, _Garment(x, neck, rim, main, third))
  if lettered and cut in ("crew", "turtle"):
    dark = colours.brightness(main) < 0.55
    ink = colours.mix(third, 1.0 if dark else 0.0, 0.6)
    letters = canvas.cover(lettering.outlines(text, 0.40 + x, 0.845, 0.065))
    canvas.fill(letters.within(cover), ink)


def _trim(canvas: Canvas, garment: _Garment) -> None:
  """Paints a border around the neck opening."""
  line = garment.rim + (garment.x, 0.012)
  canvas.fill(
      canvas.cover(shapes.stroke(line, 0.045)), garment.main * np.float32(0.78)
  )


def _flaps(canvas: Canvas, garment: _Garment) -> None:
  """Paints the collar of a shirt."""
  neck = garment.neck
  flaps = shapes.mirror(
      [(neck - 0.02, 0.63), (neck + 0.10, 0.73), (0.15, 0.915), (0.0, 0.86)]
  ) + (garment.x, 0)
  canvas.tint(canvas.cover(flaps + (0, 0.02)), np.full(3, 0.75))
  canvas.fill(canvas.cover(flaps), colours.mix(garment.main, 1.0, 0.35))


def _roll(canvas: Canvas, garment: _Garment) -> None:
  """Paints the collar of a turtleneck."""
  x, neck = garment.x, garment.neck
  roll = np.array([
      (neck + 0.005, 0.60), (neck + 0.03, 0.69), (neck + 0.05, 0.80),
      (0.0, 0.85),
  ])
  roll = np.concatenate([roll, roll[-2::-1] * (-1, 1), [(0.0, 0.64)]])
  collar = canvas.cover(roll + (x, 0))
  canvas.fill(collar, colours.mix(garment.main, 0.0, 0.12))
  ribs = np.linspace(-0.2, 0.2, 9)
  ribs = shapes.box(ribs + x - 0.006, 0.5, ribs + x + 0.006, 1.0)
  canvas.tint(canvas.cover(ribs).within(collar), np.full(3, 0.85))


def _hood(canvas: Canvas, garment: _Garment) -> None:
  """Paints a hood and its cords."""
  x, neck = garment.x, garment.neck
  hood = shapes.mirror([
      (neck - 0.03, 0.65), (neck + 0.13, 0.65), (neck + 0.22, 0.77),
      (0.14, 0.93), (0.02, 0.95), (0.13, 0.83),
  ]) + (x, 0)
  canvas.fill(
      canvas.cover(shapes.spline(hood)), garment.main * np.float32(0.82)
  )
  cords = shapes.mirror([(0.10, 0.86), (0.11, 0.93), (0.10, 1.03)])
  canvas.fill(
      canvas.cover(shapes.stroke(shapes.curve(cords) + (x, 0), 0.02)),
      colours.mix(garment.third, 1.0, 0.5),
  )


_COLLARS = {
    "crew": _trim, "vee": _trim, "shirt": _flaps, "turtle": _roll,
    "hood": _hood,
}
