"""Image files <-> arrays.

uint8 RGB (h, w, 3) on this side, float32 in [-1, 1] on the networks'.
"""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import tqdm
from absl import logging
from PIL import Image, ImageDraw, ImageOps

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_GAP = 2
_WRITE_OPTIONS = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
}


def decode(
    file: str | os.PathLike | BinaryIO, name: str, at_least: int = 0
) -> Image.Image:
  """Decodes an image upright: 8-bit RGB, transparency over white.

  Args:
    file: a path, or a binary file.
    name: what errors call it.
    at_least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size while both
      sides keep this many pixels, which is faster; 0 decodes in full.

  Raises:
    UserError: not a readable image.
  """
  try:
    with Image.open(file) as image:
      if at_least:
        image.draft(None, (at_least, at_least))
      image.load()
      return _flat(ImageOps.exif_transpose(image))
  except Exception as error:  # Damaged bytes can raise anything.
    raise UserError(f"{name}: not a readable image: {error}") from error


def _open(path: str | os.PathLike) -> Image.Image:
  """Decodes a file; UserError where that fails."""
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: no such image file")
  return decode(path, str(path))


def _flat(image: Image.Image) -> Image.Image:
  """RGB: 16-bit grey scaled to 8, transparency over white."""
  if image.mode.startswith("I"):
    values = np.asarray(image, np.float64) / 257.0
    image = Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))
  if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    image = Image.alpha_composite(white, image)
  return image.convert("RGB")


def read(path: str | os.PathLike) -> np.ndarray:
  """Reads an image file upright: uint8 RGB (h, w, 3).

  Raises:
    UserError: no such file, or not an image.
  """
  return np.asarray(_open(path))


def fit(image: np.ndarray, size: int, name: str = "image") -> np.ndarray:
  """Resizes uint8 (h, w, 3) to (size, size, 3), antialiased.

  Warns where that distorts (not square) or invents detail (too small).
  """
  h, w, _ = image.shape
  if (h, w) == (size, size):
    return image
  if h != w:
    logging.warning(
        "%s is %dx%d, not square: it is squeezed to %dx%d; crop and align it"
        " first for a good result",
        name, w, h, size, size,
    )
  elif h < size:
    logging.warning(
        "%s is %dx%d, smaller than the generator's %dx%d: fine detail cannot"
        " be recovered",
        name, w, h, size, size,
    )
  resized = Image.fromarray(image).resize(
      (size, size), Image.Resampling.LANCZOS
  )
  return np.asarray(resized)


def square(
    file: str | os.PathLike | BinaryIO, name: str, resolution: int
) -> np.ndarray:
  """Decodes a picture as networks are trained on it.

  What is not square is cropped to the square in its middle; then it is resized
  by an antialiased Lanczos filter, which large pictures reach by halves (a
  JPEG while it is decoded) that stay twice as large as the result: against the
  plain filter .4 of 255 levels on average, in half the time.

  Args:
    file: a path, or a binary file.
    name: what errors call it.
    resolution: height and width of the result.

  Returns:
    uint8 (resolution, resolution, 3).

  Raises:
    UserError: not a readable image.
  """
  image = decode(file, name, at_least=_GAP * resolution)
  w, h = image.size
  side = min(w, h)
  left, top = (w - side) // 2, (h - side) // 2
  image = image.crop((left, top, left + side, top + side))
  if side != resolution:
    image = image.resize(
        (resolution, resolution), Image.Resampling.LANCZOS, reducing_gap=_GAP
    )
  return np.asarray(image)


def read_mask(path: str | os.PathLike, size: int) -> np.ndarray:
  """Reads a background mask: float32 (size, size) in [0, 1].

  White (1) is background, which an edit must leave alone.
  """
  image = _open(path).convert("L")
  image = image.resize((size, size), Image.Resampling.BILINEAR)
  return np.asarray(image, np.float32) / 255.0


def find(folder: str | os.PathLike) -> list[pathlib.Path]:
  """Image files directly in a folder, sorted by name.

  Raises:
    UserError: no such folder, or no image in it.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise UserError(f"{folder}: no such folder")
  paths = sorted(
      p for p in folder.iterdir()
      if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
  )
  if not paths:
    below = [p for p in folder.glob("*/*") if p.suffix.lower() in SUFFIXES]
    raise UserError(
        f"{folder}: no image ({', '.join(SUFFIXES)}) in it"
        + (f"; some lie below, in {below[0].parent}" if below else "")
    )
  return paths


def find_below(folder: str | os.PathLike) -> list[str]:
  """Image files in a folder and below it, sorted; not through links.

  Raises:
    UserError: no such folder, one that cannot be listed, or no image.
  """
  if not os.path.isdir(folder):
    raise UserError(f"{folder}: no such folder of pictures")
  found = []
  for root, folders, files in os.walk(folder, onerror=_unlisted):
    folders[:] = [f for f in folders if not f.startswith(".")]
    found += [
        os.path.join(root, f) for f in files
        if f.lower().endswith(SUFFIXES) and not f.startswith(".")
    ]
  if not found:
    raise UserError(
        f"{folder}: no image ({', '.join(SUFFIXES)}) in it or below; links to"
        " folders are not followed"
    )
  return sorted(found)


def _unlisted(error: OSError) -> None:
  raise UserError(f"{error.filename}: {error.strerror}") from error


def write(path: str | os.PathLike, image: np.ndarray) -> None:
  """Writes uint8 RGB (h, w, 3) by the suffix, atomically; makes the folder."""
  path = pathlib.Path(path)
  suffix = path.suffix.lower()
  if suffix not in SUFFIXES:
    raise UserError(f"{path}: write {', '.join(SUFFIXES)}, not {suffix!r}")
  with atomic.replacing(path) as part:
    Image.fromarray(image).save(part, **_WRITE_OPTIONS.get(suffix, {}))


class Pictures:
  """Image files; those that cannot be read are left out.

  Attributes:
    paths: of the files.
    skipped: those that could not be read.
  """

  def __init__(self, paths: Sequence[str], size: int):
    """Reads nothing yet; pictures will have `size` pixels a side."""
    self.paths = paths
    self.skipped: list[str] = []
    self._size = size

  def __iter__(self) -> Iterator[np.ndarray]:
    """uint8 (size, size, 3) each, as `square` makes them."""
    for path in tqdm.tqdm(self.paths, unit="picture", disable=None):
      try:
        yield square(path, path, self._size)
      except UserError as error:
        logging.warning("skipped: %s", error)
        self.skipped.append(path)


def to_uint8(images: np.ndarray) -> np.ndarray:
  """float [-1, 1], clipped, -> uint8 on the host, rounded to nearest."""
  images = np.asarray(images, np.float32)
  return np.clip((images + 1.0) * 127.5 + 0.5, 0, 255).astype(np.uint8)


def _shortened(title: str, length: int) -> str:
  """At most `length` characters; the last word, often a strength, stays."""
  if len(title) <= length:
    return title
  start, _, end = title.rpartition(" ")
  room = length - len(end) - 3
  return f"{start[:room]}.. {end}" if start and room > 0 else title[:length]


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    tile: int = 256,
) -> np.ndarray:
  """A labelled sheet: uint8 images (h, w, 3) in rows, a title per column."""
  header = 18
  sheet = Image.new(
      "RGB", (tile * len(titles), header + tile * len(rows)), "white"
  )
  draw = ImageDraw.Draw(sheet)
  for j, title in enumerate(titles):
    draw.text((tile * j + 4, 3), _shortened(title, tile // 6), fill="black")
  for i, row in enumerate(rows):
    for j, image in enumerate(row):
      picture = Image.fromarray(image).resize(
          (tile, tile), Image.Resampling.LANCZOS
      )
      sheet.paste(picture, (tile * j, header + tile * i))
  return np.asarray(sheet)
