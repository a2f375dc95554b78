"""Decoding of image files by Pillow: upright 8-bit RGB, HEIC included."""

import functools
import os
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from sfe_jax.errors import UserError

HEIF = (".heic", ".heif")


def decode(
    file: str | os.PathLike[str] | BinaryIO, name: str, at_least: int = 0
) -> tuple[Image.Image, list[str]]:
  """Decodes an image upright, as 8-bit RGB.

  Args:
    file: a path or a binary file.
    name: name of the picture in messages.
    at_least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as
      both sides keep this many pixels; 0 decodes it in full.

  Returns:
    The picture, and a list of remarks about content that is not used, such as
    further frames.

  Raises:
    UserError: not a readable image.
  """
  _register(name)
  try:
    with Image.open(file) as image:
      # Phones store a depth map or a preview as further frame of a JPEG (MPO).
      several = image.format != "MPO" and getattr(image, "is_animated", False)
      if at_least:
        image.draft(None, (at_least, at_least))
      image.load()
      remarks = ["has several frames: only the first is used"] * several
      return _flat(ImageOps.exif_transpose(image)), remarks
  except Exception as error:  # Damaged bytes can raise anything.
    reason = _remedy(name) or f"not a readable image: {error}"
    raise UserError(f"{name}: {reason}") from error


def dimensions(path: str | os.PathLike[str]) -> tuple[int, int]:
  """Width and height of an image file, from its header.

  The size is that of the stored picture, before it is turned upright.

  Raises:
    UserError: not an image; the message does not name the file.
  """
  _register(str(path))
  try:
    with Image.open(path) as image:
      return image.size
  except Exception as error:  # Damaged bytes can raise anything.
    raise UserError(_remedy(str(path)) or str(error)) from error


def _register(name: str) -> None:
  """Lets Pillow read HEIC files if pillow-heif is installed."""
  if name.lower().endswith(HEIF):
    _register_heif()


@functools.cache
def _register_heif() -> None:
  try:
    import pillow_heif
  except ImportError:
    return
  pillow_heif.register_heif_opener()


def _remedy(name: str) -> str:
  """What helps if a file cannot be decoded; empty if nothing is known."""
  if name.lower().endswith(HEIF) and ".heic" not in Image.EXTENSION:
    return "HEIC pictures need `pip install pillow-heif`"
  return ""


def _flat(image: Image.Image) -> Image.Image:
  """Converts to RGB: 16-bit grey scaled to 8, transparency over white."""
  if image.mode == "F":
    raise ValueError("pixels are 32-bit floats; save it with 8 or 16 bits")
  if image.mode.startswith("I"):
    values = np.asarray(image, np.float64) / 257.0
    image = Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))
  if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    image = Image.alpha_composite(white, image)
  return image.convert("RGB")
