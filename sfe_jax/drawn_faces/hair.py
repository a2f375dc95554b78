"""Hair: a mass behind the head, and a band from hairline to outer edge.

The band is described by two lines with the same number of points, which run
from the left end over the top to the right end.  Strands are drawn along the
band or across it.
"""

import dataclasses

import numpy as np

from sfe_jax.drawn_faces import colours, shapes
from sfe_jax.drawn_faces.canvas import Canvas
from sfe_jax.drawn_faces.faces import smoothstep
from sfe_jax.drawn_faces.head import Head, arch, whole

_GROOVE = (0.70, 0.69, 0.71)
_SKULL = np.array([
    (0.0, -0.630), (0.15, -0.613), (0.285, -0.555), (0.385, -0.455),
    (0.445, -0.30), (0.460, -0.14), (0.445, 0.02),
])
_LINE = np.array([
    (0.0, -0.400), (0.11, -0.398), (0.22, -0.370), (0.315, -0.295),
    (0.365, -0.19), (0.388, -0.09), (0.398, 0.03),
])


@dataclasses.dataclass(frozen=True)
class Cut:
  """A hair style: the right half, for a face seen from the front.

  Attributes:
    inner: (k, 2) hairline, from the middle outwards.
    outer: (k, 2) outer edge.
    back: (m, 2) outline of the mass behind the head; empty for none.
    waves: number of waves of the edges; 0 is smooth.
    rough: amplitude of the waves in the picture's units.
    along: whether strands run along the band, not across it.
    sweep: how far the top is combed to one side.
    opacity: opacity of the band; below 1 the skin shows through.
    depth: brightness of the mass behind the head relative to the band.
  """

  inner: np.ndarray
  outer: np.ndarray
  back: tuple = ()
  waves: int = 0
  rough: float = 0.0
  along: bool = True
  sweep: float = 0.0
  opacity: float = 1.0
  depth: float = 0.62


def _raised(volume: float, top: float = 0.0) -> np.ndarray:
  """Outline of the skull, enlarged by `volume` and in the middle by `top`."""
  centre = np.array([0.0, -0.1])
  edge = centre + (_SKULL - centre) * (1 + volume)
  share = np.linspace(1, 0, len(edge))[:, None] ** 0.8
  return edge - (0, top) * share


def _lengthened(
    edge: np.ndarray, *points: tuple[float, float]
) -> np.ndarray:
  """Replaces the last point of an edge by several."""
  return np.concatenate([edge[:-1], np.array(points, float)])


_SIDES = ((0.43, 0.16), (0.45, 0.40), (0.42, 0.66), (0.40, 0.98))
_FALLS = ((0.545, 0.16), (0.58, 0.42), (0.585, 0.70), (0.56, 1.05))
_CURTAIN = np.array([
    (0.0, -0.47), (0.10, -0.42), (0.21, -0.34), (0.30, -0.24), (0.365, -0.13),
    (0.40, -0.02),
])
_FRINGE = np.array([
    (0.0, -0.235), (0.12, -0.235), (0.24, -0.225), (0.33, -0.205),
    (0.375, -0.13), (0.40, -0.02),
])
_LONG = _lengthened(_raised(0.09), *_FALLS)
_LONG_BACK = ((0.0, -0.6), (0.42, -0.4), (0.52, 0.1), (0.55, 0.6),
              (0.53, 1.1), (0.0, 1.1))

CUTS = {
    "buzz": Cut(_LINE, _raised(0.012), opacity=0.78, along=False),
    "short": Cut(_LINE, _raised(0.055, 0.03), along=False, rough=0.006,
                 waves=22),
    "side_part": Cut(_LINE + (0, 0.02), _raised(0.075, 0.035), sweep=0.55),
    "quiff": Cut(_LINE - (0, 0.02), _raised(0.03, 0.17), along=False,
                 sweep=0.25, rough=0.006, waves=14),
    "curly": Cut(_LINE + (0, 0.03), _raised(0.15, 0.05), waves=13, rough=0.030,
                 along=False),
    "afro": Cut(np.concatenate([_LINE, [(0.43, 0.20)]]),
                np.concatenate([_raised(0.46, 0.02), [(0.56, 0.33)]]),
                ((0.0, -0.78), (0.5, -0.62), (0.68, -0.2), (0.62, 0.2),
                 (0.4, 0.42), (0.0, 0.45)), 19, 0.026, False, depth=0.84),
    "bob": Cut(
        np.concatenate([_CURTAIN, [(0.435, 0.16), (0.42, 0.34), (0.36, 0.47)]]),
        _lengthened(_raised(0.10), (0.545, 0.14), (0.55, 0.34), (0.47, 0.52)),
        ((0.0, -0.6), (0.45, -0.3), (0.50, 0.2), (0.44, 0.46), (0.0, 0.5)),
        sweep=0.3,
    ),
    "fringe": Cut(
        np.concatenate([_FRINGE, [(0.425, 0.14), (0.41, 0.34), (0.37, 0.44)]]),
        _lengthened(_raised(0.10), (0.545, 0.14), (0.54, 0.32), (0.48, 0.48)),
        ((0.0, -0.6), (0.45, -0.3), (0.50, 0.2), (0.44, 0.46), (0.0, 0.5)),
        along=False,
    ),
    "long": Cut(np.concatenate([_CURTAIN, _SIDES]), _LONG, _LONG_BACK,
                sweep=0.2),
    "wavy": Cut(np.concatenate([_CURTAIN, _SIDES]), _LONG + (0.02, 0),
                _LONG_BACK, 11, 0.026, sweep=0.35),
    "bun": Cut(_LINE - (0, 0.015), _raised(0.035), along=False),
    "ponytail": Cut(_LINE - (0, 0.01), _raised(0.04, 0.02), along=False,
                    sweep=0.2),
    "braids": Cut(_LINE + (0, 0.0), _raised(0.055), sweep=0.0),
    "mohawk": Cut(_LINE, _raised(0.012), opacity=0.55, along=False),
}


def _fitted(head: Head) -> Cut | None:
  """The hair style with a hairline for the age, flattened under a hat.

  None is a bald head.
  """
  f = head.face
  if f.hair_style == "bald":
    return None
  cut = CUTS[f.hair_style]
  inner, outer = cut.inner.copy(), cut.outer
  # The hairline recedes with age, mostly at the temples of men.
  bare = smoothstep(f.age, 25, 85) * (1.0 - 0.75 * f.gender)
  if f.hair_style != "fringe":
    inner[:4] -= np.outer((0.05, 0.09, 0.13, 0.07), (0.0, bare))
    inner[:, 1] = np.maximum(inner[:, 1], outer[:, 1] + 0.03)
  if head.hatted:
    flat = _raised(0.015)
    k = min(6, len(flat)) - 1
    outer = np.concatenate([flat[:k], np.minimum(outer[k:], (0.56, np.inf))])
  return dataclasses.replace(cut, inner=inner, outer=outer)


def behind(canvas: Canvas, head: Head) -> None:
  """Paints the hair behind head, neck and shoulders."""
  style = head.face.hair_style
  side = 1 if head.dice["hair"].chance(0.5) else -1
  cut = _fitted(head)
  if cut is None:
    return
  if style == "bun" and not head.hatted:
    _bun(canvas, head)
  if style == "ponytail":
    _tail(canvas, head, side)
  if cut.back:
    half = np.array(cut.back)
    if head.hatted:
      half[:, 1] = np.maximum(half[:, 1], -0.5)
      half[:, 0] = np.minimum(half[:, 0], 0.56)
    outline = shapes.spline(head.side(whole(half)), 14)
    if cut.waves:
      outline = shapes.wavy(outline, cut.rough, cut.waves, 0, not cut.along)
    canvas.fill(canvas.cover(outline), head.hair * np.float32(cut.depth))


def _bun(canvas, head):
  """Paints a bun on top of the head."""
  x = -0.10 * head.turn
  ball = shapes.ellipse(x, -0.77, 0.19, 0.165, points=48)
  bun = canvas.cover(shapes.wavy(ball, 0.006, 18))
  canvas.fill(bun, head.hair * np.float32(0.86))
  rolls = [
      [(x - 0.13, -0.72 - y), (x, -0.80 - 1.2 * y), (x + 0.13, -0.73 - y)]
      for y in (-0.03, 0.04, 0.1)
  ]
  rolls = shapes.stroke(shapes.curve(rolls), 0.014 * shapes.taper(13))
  canvas.tint(canvas.cover(rolls).within(bun), _GROOVE)


def _tail(canvas, head, side):
  """Paints a ponytail on one side, -1 or 1."""
  shift = (-0.2 * head.turn, 0.0)
  edge = np.array([
      (0.20, -0.50), (0.46, -0.52), (0.66, -0.30), (0.70, 0.10),
      (0.62, 0.48), (0.52, 0.70), (0.55, 0.30), (0.53, 0.0), (0.44, -0.26),
  ])
  tail = canvas.cover(shapes.spline(edge * (side, 1.0) + shift))
  canvas.fill(tail, head.hair * np.float32(0.8))
  core = np.array([(0.40, -0.42), (0.56, -0.26), (0.62, 0.1), (0.58, 0.5)])
  core = np.stack([core, core + (0.05, -0.02), core - (0.04, 0.0)])
  core = shapes.curve(core * (side, 1.0) + shift)
  core = canvas.cover(shapes.stroke(core, 0.014 * shapes.taper(19)))
  canvas.tint(core.within(tail), _GROOVE)


def front(canvas: Canvas, head: Head) -> None:
  """Paints the hair on forehead, temples and shoulders."""
  f = head.face
  dice = head.dice["hair"]
  side = 1 if dice.chance(0.5) else -1
  lean = dice.one(0.5, 1)
  sway = dice.many(64, -1, 1)
  streak, hue = dice.chance(0.08), dice.one()
  phase = dice.one(0, 3)
  cut = _fitted(head)
  if cut is None:
    if head.old > 0.25:
      _fringe_of_the_bald(canvas, head)
    return
  inner, outer = arch(cut.inner), arch(cut.outer)
  top = np.clip(-inner[:, 1] / 0.4, 0, 1)
  inner[:, 0] += 0.30 * cut.sweep * side * top**2 * lean
  inner[:, 1] += 0.16 * cut.sweep * side * inner[:, 0] / 0.4 * top * lean
  if f.hair_style == "quiff":
    outer[:, 0] += 0.06 * side * lean * np.clip(-outer[:, 1] - 0.4, 0, 1)
  steps = 14 if cut.waves else 6
  inner = shapes.curve(head.both(inner), steps)
  outer = shapes.curve(head.side(outer), steps)
  edge = np.concatenate([outer, inner[::-1]])
  if cut.waves:
    edge = shapes.wavy(edge, cut.rough, cut.waves * 2, phase, not cut.along)
  band = canvas.cover(edge)
  # Shadow of the hair on the forehead.
  canvas.tint(
      canvas.cover(shapes.stroke(inner + (0, 0.018), 0.05 * cut.opacity)),
      (0.80, 0.70, 0.68), 0.6,
  )
  canvas.fill(band, head.hair, cut.opacity)
  _strands(canvas, head, cut, inner, outer, band, sway)
  x, y = head.side((0.16 * f.light, -0.47))
  canvas.tint(
      canvas.soft(x, y, 0.42, 0.13).within(band),
      colours.mix(np.float32(1.32), head.hair + 1, 0.3), 0.8,
  )
  if streak:
    _streak(canvas, inner, outer, band, hue, sway)
  if f.hair_style == "braids":
    _braids(canvas, head)
  if f.hair_style == "mohawk" and not head.hatted:
    _crest(canvas, head, sway)


def _between(inner, outer, along, across):
  """Points (..., 2) of the band at positions in [0, 1] along and across it."""
  at = along * (len(inner) - 1)
  i = np.clip(at.astype(int), 0, len(inner) - 2)
  t = (at - i)[..., None]
  low = inner[i] + (inner[i + 1] - inner[i]) * t
  high = outer[i] + (outer[i + 1] - outer[i]) * t
  return low + (high - low) * across[..., None]


def _strands(canvas, head, cut, inner, outer, band, sway):
  """Paints darker and lighter strands."""
  if cut.along:
    lines = _combed(inner, outer, sway, 4.0 if cut.waves else 1.0)
  elif cut.rough > 0.02:
    lines = _curls(inner, outer, sway)
  else:
    lines = _upright(inner, outer, sway, len(cut.inner) > len(_LINE))
  width = np.where(np.arange(len(lines)) % 3, 0.012, 0.02)[:, None]
  dark = shapes.stroke(lines, width * shapes.taper(9))
  light = shapes.stroke(lines[::2] + (0.012, 0.006), 0.009 * shapes.taper(9))
  strength = 0.75 * cut.opacity
  canvas.tint(canvas.cover(dark).within(band), _GROOVE, strength)
  canvas.fill(
      canvas.cover(light).within(band),
      colours.mix(head.hair, 1.0, 0.28), 0.55 * strength,
  )
  # Shade near the face.
  canvas.tint(
      canvas.cover(shapes.stroke(inner, 0.07)).within(band),
      (0.80, 0.79, 0.80), 0.6 * cut.opacity,
  )


_T = np.linspace(0, 1, 9)


def _combed(inner, outer, sway, wave):
  """Lines (18, 9, 2) along the band, half of them on each side of a parting."""
  across = np.linspace(0.12, 0.9, 9)[:, None]
  across = across + 0.05 * wave * np.sin(9 * _T + 3 * sway[:9, None])
  middle = 0.5 + 0.06 * sway[9:18, None]
  return np.concatenate([
      _between(inner, outer, middle - _T * (middle - 0.02), across),
      _between(inner, outer, middle + _T * (0.98 - middle), across),
  ])


def _upright(inner, outer, sway, long):
  """Lines (n, 9, 2) from the hairline upwards; long: also down the sides."""
  side = 0.28 if long else 0.04
  along = np.linspace(side, 1 - side, 26)[:, None] + 0.01 * sway[:26, None]
  along = along + 0.05 * np.sin(2.2 * _T) * (0.4 + sway[26:52, None])
  across = 0.06 + 0.9 * _T * (0.75 + 0.25 * sway[:26, None])
  lines = _between(
      inner, outer, np.clip(along, 0, 1), np.minimum(across, 1)
  )
  if not long:
    return lines
  across = np.linspace(0.15, 0.85, 5)[:, None] + 0 * _T
  return np.concatenate([
      lines,
      _between(inner, outer, 0.26 - 0.24 * _T + 0 * across, across),
      _between(inner, outer, 0.74 + 0.24 * _T + 0 * across, across),
  ])


def _curls(inner, outer, sway):
  """Small arcs (60, 9, 2) distributed over the band."""
  k = np.arange(60)
  along = (k * 0.618 + 0.02 * sway[:60]) % 1
  across = (k + 0.5) / 60
  middle = _between(inner, outer, along[:, None], across[:, None])
  angle = 4.2 * _T + (3 * sway[:60, None] + 6 * along[:, None])
  radius = 0.034 + 0.008 * sway[::-1][:60, None]
  arc = np.stack([np.cos(angle), np.sin(angle)], -1) * radius[..., None]
  return middle + arc


def _streak(canvas, inner, outer, band, hue, sway):
  """Paints two dyed strands."""
  at = 0.5 + 0.35 * sway[60]
  across = np.linspace(0.02, 0.98, 9)
  ends = np.linspace(0, 0.12, 9) * np.sign(sway[61])
  lines = np.stack([
      _between(inner, outer, np.clip(at + ends + k, 0, 1), across)
      for k in (0.0, 0.06)
  ])
  lines = canvas.cover(shapes.stroke(lines, 0.04 * shapes.taper(9, 0.6)))
  canvas.fill(lines.within(band), colours.hsv(hue, 0.65, 0.85), 0.85)


def _fringe_of_the_bald(canvas, head):
  """Paints hair above the ears of an old bald head."""
  half = np.array([
      (0.405, 0.06), (0.385, -0.08), (0.395, -0.20), (0.45, -0.26),
      (0.485, -0.12), (0.47, 0.05),
  ])
  patches = shapes.spline(head.side(shapes.mirror(half)))
  canvas.fill(canvas.cover(patches), head.hair, min(head.old * 1.5, 1) * 0.9)


def _braids(canvas, head):
  """Paints two braids over the shoulders."""
  y = 0.09 + 0.105 * np.arange(9)
  x = 0.445 + 0.05 * np.sin(np.arange(9) * 0.4)
  turn = np.where(np.arange(9) % 2, 0.5, -0.5)
  dark = head.hair * np.float32(0.72)
  for side in (-1, 1):
    place = head.side(np.stack([side * x, y], -1))
    for grow, colour in ((1.0, dark), (0.80, head.hair)):
      knots = shapes.ellipse(
          place[:, 0], place[:, 1], 0.075 * grow, 0.056 * grow, side * turn
      )
      canvas.fill(canvas.cover(knots), colour)


def _crest(canvas, head, sway):
  """Paints the spikes of a mohawk."""
  count = 7
  x = np.linspace(-0.17, 0.17, count)
  tips = np.stack([x * 2.1, -0.86 + 0.9 * x**2 + 0.03 * sway[:count]], -1)
  roots = np.stack([x, -0.50 + 1.2 * x**2], -1)
  low = np.array([(-0.2, -0.44), (0.0, -0.36), (0.2, -0.44)])
  line = np.empty((2 * count - 1, 2))
  line[::2] = tips
  line[1::2] = (tips[:-1] + tips[1:]) / 2 * (1, 0) + (0, -0.70)
  crest = canvas.cover(head.side(np.concatenate([line, low[::-1]])))
  canvas.fill(crest, head.hair)
  lines = head.side(np.stack([roots, tips], 1))
  lines = canvas.cover(shapes.stroke(lines, np.array([0.022, 0.004])))
  canvas.tint(lines.within(crest), _GROOVE, 0.8)
