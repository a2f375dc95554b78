"""Neck, ears, skin of the face, signs of age, freckles and beard."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sfe_jax.drawn_faces import colours, shapes
from sfe_jax.drawn_faces.canvas import Canvas, Cover, Field
from sfe_jax.drawn_faces.faces import smoothstep
from sfe_jax.drawn_faces.head import Head, arch, whole

_SHADOW = np.array([0.80, 1.0, 1.06], np.float32)
_BLUSH = np.array([0.05, 1.0, 0.85], np.float32)
_GLOSS = np.array([-1.0, -1.0, -1.0], np.float32)


def neck(canvas: Canvas, head: Head) -> None:
  """Paints the neck with the shadow of the head."""
  face = head.face
  half = 0.215 - 0.055 * face.gender + 0.01 * face.face_width
  x = 0.10 * head.turn
  points = np.array([
      (half, 0.35), (half - 0.01, 0.58), (half + 0.015, 0.70),
      (half + 0.16, 0.80), (half + 0.3, 1.3),
  ])
  points = np.concatenate([points, points[::-1] * (-1, 1)]) + (x, 0)
  cover = canvas.cover(shapes.spline(points))
  canvas.fill(cover, head.skin * np.float32(0.94))
  chin = canvas.cover(head.outline() + (0.03 * -face.light, 0.085))
  shade = np.array([0.74, 0.62, 0.60])
  canvas.tint(chin.within(cover), shade)
  bones = np.array([[0.05, 0.83], [0.16, 0.795], [0.3, 0.805]])
  lines = shapes.curve(shapes.mirror(bones) + (x, 0))
  canvas.tint(
      canvas.cover(shapes.stroke(lines, 0.016 * shapes.taper(13))), shade, 0.5
  )
  if head.old > 0.1:
    fold = arch([(0, 0.755), (0.12, 0.735), (0.17, 0.705)])
    folds = shapes.curve(np.stack([fold, fold + (0, 0.05)]) + (x, 0))
    folds = shapes.stroke(folds, 0.012 * shapes.taper(25))
    canvas.tint(canvas.cover(folds), shade, 0.8 * head.old)


def ears(canvas: Canvas, head: Head) -> np.ndarray:
  """Paints the ears; returns the positions of the lobes (2, 2)."""
  size = head.dice["features"].one(0.9, 1.12) * (1 + 0.08 * head.old)
  half = np.array([
      (0.40, -0.09), (0.455, -0.125), (0.495, -0.08), (0.488, 0.02),
      (0.455, 0.10), (0.425, 0.135), (0.39, 0.10),
  ])
  half = (half - (0.42, 0)) * size + (0.42, 0)
  pair = shapes.mirror(half) * (head.width, 1.0)
  # The ear that is turned towards the viewer is more visible.
  pair[..., 0] -= 0.10 * head.turn
  near = head.turn * np.array([-1.0, 1.0])[:, None]
  pair[..., 0] += (0.03 * near) * np.array([1.0, -1.0])[:, None]
  pair[..., 1] += 0.02 + 0.06 * head.nod
  canvas.fill(
      canvas.cover(shapes.spline(pair)), head.skin * (0.95, 0.88, 0.86)
  )
  inner = (pair - pair.mean(1, keepdims=True)) * (0.55, 0.62)
  inner = shapes.spline(inner + pair.mean(1, keepdims=True) + (0, -0.01))
  canvas.tint(canvas.cover(inner), (0.82, 0.70, 0.68))
  return pair[:, 5]


def face(canvas: Canvas, head: Head) -> Cover:
  """Paints the skin of the face with soft shading; returns its cover."""
  f, light = head.face, head.face.light
  cover = canvas.cover(head.outline())
  dark = _SHADOW * np.float32(0.75 + 0.25 * f.skin)
  red = 0.07 + 0.06 * f.makeup + 0.05 * f.smile
  spots = [
      # u, v, reach in x and y, depth, colour
      (-0.47, 0.20, 0.17, 0.52, 0.13 + 0.13 * light, dark),
      (0.47, 0.20, 0.17, 0.52, 0.13 - 0.13 * light, dark),
      (0.0, 0.72, 0.34, 0.11, 0.20, dark),
      (0.0, -0.56, 0.42, 0.16, 0.14, dark),
      (-0.2, -0.075, 0.11, 0.07, 0.13, dark),
      (0.2, -0.075, 0.11, 0.07, 0.13, dark),
      (-0.055 * light - 0.01, 0.08, 0.04, 0.14, 0.12 * abs(light) + 0.03, dark),
      (0.0, 0.265, 0.085, 0.032, 0.16, dark),
      (0.0, 0.475, 0.11, 0.035, 0.13, dark),
      (-0.27, 0.19, 0.11, 0.085, red, _BLUSH),
      (0.27, 0.19, 0.11, 0.085, red, _BLUSH),
      (0.0, 0.20, 0.055, 0.05, 0.06, _BLUSH),
      (0.08 * light, -0.27, 0.20, 0.12, 0.05, _GLOSS),
      (0.012 * light, 0.05, 0.026, 0.12, 0.07, _GLOSS),
      (-0.26 + 0.03 * light, 0.10, 0.09, 0.05, 0.045, _GLOSS),
      (0.26 + 0.03 * light, 0.10, 0.09, 0.05, 0.045, _GLOSS),
      (0.03 * light, 0.56, 0.08, 0.05, 0.04, _GLOSS),
  ]
  if head.old > 0:
    for side in (-1, 1):
      spots += [
          (side * 0.2, 0.075, 0.08, 0.03, 0.16 * head.old, dark),
          (side * 0.3, 0.33, 0.06, 0.12, 0.13 * head.old, dark),
          (side * 0.2, 0.50, 0.05, 0.09, 0.13 * head.old, dark),
      ]
  wan = colours.mix(head.skin, head.skin.mean(), 0.12 * head.old)
  canvas.fill(cover, _spotted(head, wan, spots))
  return cover


def _spotted(
    head: Head, colour: np.ndarray, spots: Sequence[tuple[Any, ...]]
) -> Field:
  """A colour times (1 - sum of Gaussian spots)."""
  place = np.array([s[:5] for s in spots])
  tones = np.array([s[5] for s in spots], np.float32)
  middle = head.front(place[:, :2])

  def field(x, y):
    gx = np.exp(-((x - middle[:, :1]) / place[:, 2:3]) ** 2).astype(np.float32)
    gy = np.exp(-((y.T - middle[:, 1:]) / place[:, 3:4]) ** 2)
    gy = (gy * place[:, 4:]).astype(np.float32)
    return colour[:, None, None] * (1 - (tones.T[:, None, :] * gy.T) @ gx)

  return field


def marks(canvas: Canvas, head: Head, cover: Cover) -> None:
  """Paints wrinkles, freckles and moles."""
  _wrinkles(canvas, head, cover)
  dice, f = head.dice["skin"], head.face
  count = 70
  u, v = dice.many(count, -1, 1), dice.many(count, -1, 1)
  size = dice.many(count, 0.006, 0.014)
  # Freckles lie on cheeks and nose.
  place = np.stack([0.33 * u, 0.14 + 0.12 * v + 0.08 * abs(u) * v], -1)
  shown = dice.many(count) < f.freckles
  if shown.any():
    at = head.front(place[shown])
    spots = shapes.ellipse(at[:, 0], at[:, 1], size[shown], points=8)
    canvas.tint(canvas.cover(spots).within(cover), (0.80, 0.63, 0.52), 0.75)
  u, v, size = dice.many(3, -1, 1), dice.many(3, -1, 1), dice.many(3)
  moles = head.front(np.stack([0.36 * u, 0.08 + 0.42 * v], -1))
  size = np.where(size > 0.65, 0.015 * size, 0)
  moles = shapes.ellipse(moles[:, 0], moles[:, 1], size, points=12)
  canvas.tint(canvas.cover(moles).within(cover), (0.42, 0.30, 0.27), 0.85)


def _wrinkles(canvas: Canvas, head: Head, cover: Cover) -> None:
  """Paints wrinkles, deeper with age, beside the mouth also with a smile."""
  f, old = head.face, head.old
  shade = np.array([0.66, 0.53, 0.50])
  fold = [
      (0.085, 0.225), (0.145, 0.275),
      (0.19 + 0.03 * f.smile, 0.34), (0.195 + 0.03 * f.smile, 0.41 + head.drop),
  ]
  folds = head.front(shapes.curve(shapes.mirror(fold)))
  folds_cover = canvas.cover(shapes.stroke(folds, 0.017 * shapes.taper(19)))
  deep = min(0.10 + 0.25 * f.smile * (0.4 + old) + 0.75 * old, 1)
  canvas.tint(folds_cover.within(cover), shade, deep)
  eyes = shapes.mirror([
      [(x, -0.03 + (y + 0.03) * 0.5), (x + 0.035, y), (x + 0.06, y * 1.3)]
      for x, y in ((0.315, -0.07), (0.325, -0.03), (0.315, 0.01))
  ]).reshape(6, 3, 2)
  bags = shapes.mirror(
      [[(0.12, 0.055), (0.2, 0.095), (0.285, 0.05)],
       [(0.135, 0.45), (0.165, 0.50), (0.16, 0.56)]]
  ).reshape(4, 3, 2)
  bags[[1, 3], :, 1] += 0.5 * head.drop
  brow = np.array([
      [(-w, y + 0.012), (0.0, y - 0.012), (w, y + 0.012)]
      for w, y in ((0.21, -0.30), (0.25, -0.355), (0.17, -0.41))
  ])
  frown = shapes.mirror([(0.03, -0.165), (0.026, -0.145), (0.029, -0.12)])
  start = smoothstep(f.age, 38, 82)
  if start > 0:
    lines = np.concatenate([eyes, bags, brow, frown])
    lines = head.front(shapes.curve(lines))
    lines_cover = canvas.cover(shapes.stroke(lines, 0.014 * shapes.taper(13)))
    canvas.tint(lines_cover.within(cover), shade, 0.95 * start)


def beard(canvas: Canvas, head: Head, cover: Cover) -> None:
  """Paints beard and moustache: cut by chance, length by the attribute."""
  f, dice = head.face, head.dice["beard"]
  cut = dice.pick(("full", "full", "full", "goatee", "moustache", "strap"))
  sway = dice.many(20, -1, 1)
  if f.beard <= 0:
    return
  grown = smoothstep(f.beard, 0.1, 0.75)
  length = 0.11 * smoothstep(f.beard, 0.35, 1) ** 1.5
  colour = colours.mix(head.hair, head.skin, 0.12) * np.float32(0.88)
  opacity = 0.22 + 0.74 * grown
  if cut in ("full", "strap"):
    _jaw_beard(canvas, head, cover, cut, length, colour, opacity, sway)
  elif cut == "goatee":
    drop = head.drop
    chin = [
        (0.0, 0.475 + drop), (0.09, 0.49 + drop), (0.135, 0.56 + drop),
        (0.10, 0.64 + length + drop), (0.0, 0.675 + 1.4 * length + drop),
    ]
    tuft = shapes.spline(head.front(whole(chin), 0.04))
    canvas.fill(canvas.cover(tuft), colour, opacity)
  if cut != "strap":
    half = np.array([
        (0.0, 0.29), (0.07, 0.283), (0.15, 0.315), (0.205, 0.385),
        (0.20, 0.40 + 0.4 * length), (0.13, 0.352), (0.0, 0.335),
    ])
    # The tips of the moustache move with the corners of the mouth.
    half += f.smile * half[:, :1] / 0.2 * (0.03, -0.05)
    moustache = shapes.spline(head.front(whole(half), 0.05))
    canvas.fill(canvas.cover(moustache), colour, opacity)


def _jaw_beard(canvas, head, cover, cut, length, colour, opacity, sway):
  """Paints a beard from ear to ear; a "strap" does not cover the cheeks."""
  jaw, drop = 0.05 * head.face.jaw, head.drop
  inner, cheek = (0.335, 0.275) if cut == "full" else (0.60 + drop, 0.47)
  edge = head.front(arch([
      (0, inner), (0.10, inner), (0.18, inner + 0.01), (0.25, cheek),
      (0.355, 0.17), (0.375, 0.02),
  ]))
  rim = head.side(arch([
      (0, 0.67 + 1.3 * length + drop), (0.11, 0.655 + 1.2 * length + drop),
      (0.20 + jaw, 0.60 + length + drop), (0.345 + jaw + 0.4 * length, 0.44),
      (0.415 + 0.3 * length, 0.24), (0.425, 0.02),
  ]))
  shape = canvas.cover(shapes.curve(np.concatenate([edge, rim[::-1]])))
  if length < 0.01:
    shape = shape.within(cover)
  canvas.fill(shape, colour, opacity)
  t = np.linspace(0, 1, 5)[:, None]
  at = np.linspace(1, 9, 20) + 0.3 * sway
  low, high = (
      np.stack([np.interp(at, np.arange(11), p[:, k]) for k in (0, 1)], -1)
      for p in (edge, rim)
  )
  hairs = low[:, None] + (high - low)[:, None] * (0.35 + 0.62 * t)
  hairs[..., 0] += 0.012 * sway[:, None] * t[:, 0]
  hairs = canvas.cover(shapes.stroke(hairs, 0.010 * shapes.taper(5)))
  canvas.tint(hairs, (0.72, 0.72, 0.74), 0.6 * opacity)
