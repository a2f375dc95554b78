"""Draws a face: all layers, from back to front."""

import numpy as np

from sfe_jax.drawn_faces import (
  accessories,
  backgrounds,
  clothes,
  dice,
  extras,
  features,
  hair,
  skin,
)
from sfe_jax.drawn_faces.canvas import Canvas
from sfe_jax.drawn_faces.faces import Face
from sfe_jax.drawn_faces.head import Head

SIZES = (32, 512)
_FINE = 128  # Pixels below which pictures are drawn larger.
_ZOOM = 1.12


def draw(face: Face, size: int) -> np.ndarray:
  """Draws a face: uint8 RGB (size, size, 3).

  Small pictures are drawn larger and reduced, so that any size is close to
  the reduced picture of any larger size.

  Args:
    face: what to draw.
    size: height and width, from 32 to 512.

  Raises:
    ValueError: another size.
  """
  if not SIZES[0] <= size <= SIZES[1]:
    raise ValueError(f"size is from {SIZES[0]} to {SIZES[1]}, not {size}")
  factor = 2 if size < _FINE else 1
  canvas = Canvas(size * factor, _ZOOM)
  head = Head.of(face, dice.details(face.detail))
  backgrounds.paint(canvas, head.dice["background"])
  across = np.linspace(-1, 1, canvas.pixels, dtype=np.float32)
  canvas.light = 0.98 + 0.13 * face.light * np.tanh(1.5 * across)
  hair.behind(canvas, head)
  skin.neck(canvas, head)
  clothes.paint(canvas, head)
  lobes = skin.ears(canvas, head)
  surface = skin.face(canvas, head)
  skin.marks(canvas, head, surface)
  if face.extra == "face_paint":
    extras.face_paint(canvas, head, surface)
  features.eyes(canvas, head)
  features.brows(canvas, head)
  skin.beard(canvas, head, surface)
  features.nose(canvas, head)
  features.mouth(canvas, head)
  if face.extra == "mask":
    extras.mask(canvas, head)
  if face.extra == "sunglasses":
    extras.sunglasses(canvas, head)
  else:
    accessories.glasses(canvas, head)
  hair.front(canvas, head)
  accessories.earrings(canvas, head, lobes)
  accessories.hat(canvas, head)
  in_front = {
      "odd_hat": extras.odd_hat, "hand": extras.hand, "object": extras.thing,
      "stickers": extras.stickers,
  }.get(face.extra)
  if in_front:
    in_front(canvas, head)
  return canvas.render(size)
