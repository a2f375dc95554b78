"""Draws a face: paints all its parts from back to front."""

import numpy as np

from sfe_jax.drawn_faces import (
  accessories,
  backgrounds,
  clothes,
  dice,
  extras,
  features,
  hair,
  props,
  skin,
)
from sfe_jax.drawn_faces.canvas import Canvas
from sfe_jax.drawn_faces.faces import Face
from sfe_jax.drawn_faces.head import Head

SIZES = (32, 512)  # smallest and largest picture
_FINE = 128  # pictures below this size are drawn at twice the size and reduced
_ZOOM = 1.12


def draw(face: Face, size: int) -> np.ndarray:
  """Draws a face.

  A picture is close to the reduced picture of a larger size.

  Args:
    face: attributes and seed of the face.
    size: height and width in pixels, 32 to 512.

  Returns:
    (size, size, 3) uint8 RGB.

  Raises:
    ValueError: the size is not supported.
  """
  if not SIZES[0] <= size <= SIZES[1]:
    raise ValueError(
        f"size must be between {SIZES[0]} and {SIZES[1]}, got {size}"
    )
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
  if face.extra in props.IN_FRONT:
    props.IN_FRONT[face.extra](canvas, head)
  return canvas.render(size)
