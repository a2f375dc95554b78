"""Image files and arrays.

A picture is a uint8 RGB array (h, w, 3) in files and at the borders of this
package, and float32 in [-1, 1] inside the networks.

One rule decides what the networks see of a picture that is not square or has
another size: its middle square, resized.  `square` applies the rule to a file,
`fit` to an array and `read_mask` to a background mask.  `grid` draws sheets.
"""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import tqdm
from absl import logging
from numpy.typing import ArrayLike
from PIL import Image

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, checks, decoding
from sfe_jax.storage.sheets import grid as grid

# File names with these suffixes are pictures, wherever a folder is searched.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif"),
    *(".gif", ".bmp", ".dib", ".tif", ".tiff", ".jp2", ".tga"),
    *(".ppm", ".pgm", ".pbm", *decoding.HEIF),
)
_WRITE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
}

# Filter and reducing gap by name.  "lanczos" first halves large pictures (a
# JPEG while it is decoded) as long as they stay twice as large as the result.
# This differs from the plain filter by 0.4 of 255 levels on average and takes
# half the time.
_GAP = 2
_FILTERS: dict[str, tuple[Image.Resampling, int | None]] = {
    "lanczos": (Image.Resampling.LANCZOS, _GAP),
    "bilinear": (Image.Resampling.BILINEAR, None),
}
RESAMPLING = tuple(_FILTERS)

# A float picture without negative values whose maximum is larger than this is
# taken for one in 0..255.
_NO_FLOAT_PICTURE = 10.0


def read(path: str | os.PathLike[str]) -> np.ndarray:
  """Reads an image file.

  The picture is turned upright by its EXIF orientation, transparency is laid
  over white, and 16-bit values are scaled to 8 bits.

  Args:
    path: a file that Pillow can decode.  Only the first frame of an animated
      or multi-page file is used, with a warning.

  Returns:
    uint8 RGB (h, w, 3).

  Raises:
    UserError: there is no such file, or it is not a readable image.
  """
  image, remarks = _open(path)
  _warn(str(path), remarks)
  return np.asarray(image)


def fit(
    image: np.ndarray,
    size: int,
    name: str = "image",
    resample: str = "lanczos",
) -> np.ndarray:
  """Crops a picture to its middle square and resizes it.

  Logs a warning that says how much is cut off, or that the picture is
  enlarged.

  Args:
    image: uint8 (h, w, 3).
    size: height and width of the result.
    name: name of the picture in messages.
    resample: "lanczos", or "bilinear", which gives the pixels of the official
      code for square pictures.  Both filters are antialiased.

  Returns:
    uint8 (size, size, 3).

  Raises:
    UserError: another shape or dtype, or an unknown filter.
  """
  image = np.asarray(image)
  if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
    raise UserError(
        f"{name} is a {image.dtype} array of shape {image.shape}, expected one"
        " uint8 RGB picture (h, w, 3)"
    )
  picture, remarks = _middle_square(Image.fromarray(image), size, resample)
  _warn(name, remarks)
  return picture


def square(
    file: str | os.PathLike[str] | BinaryIO,
    name: str,
    resolution: int,
    resample: str = "lanczos",
    warn: bool = False,
) -> np.ndarray:
  """Reads a picture, crops it to its middle square and resizes it.

  For PNG files the result equals `fit(read(file), resolution)`.  Large JPEG
  files are reduced while they are decoded if `resample` is "lanczos".

  Args:
    file: a path or a binary file.
    name: name of the picture in messages.
    resolution: height and width of the result.
    resample: see `fit`.
    warn: log cut-off borders, enlargement and unused further frames.

  Returns:
    uint8 (resolution, resolution, 3).

  Raises:
    UserError: not a readable image, or an unknown filter.
  """
  picture, remarks = _square(file, name, resolution, resample)
  if warn:
    _warn(name, remarks)
  return picture


def read_mask(path: str | os.PathLike[str], size: int) -> np.ndarray:
  """Reads a background mask, cropped like a picture (`fit`).

  Args:
    path: an image file.  White is background, which an edit must not
      change.
    size: height and width of the result.

  Returns:
    float32 (size, size) in [0, 1].

  Raises:
    UserError: there is no such file, or it is not a readable image.
  """
  image, _ = _open(path)
  mask, _ = _middle_square(image.convert("L"), size, "bilinear")
  return np.asarray(mask, np.float32) / 255.0


def _open(path: str | os.PathLike[str]) -> tuple[Image.Image, list[str]]:
  """Decodes a file; returns the picture and remarks (see `_warn`)."""
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(f"{path}: no such image file")
  return decoding.decode(path, str(path))


def _square(
    file: str | os.PathLike[str] | BinaryIO,
    name: str,
    resolution: int,
    resample: str = "lanczos",
) -> tuple[np.ndarray, list[str]]:
  """See `square`; returns the picture and remarks (see `_warn`)."""
  _, gap = _filter(resample)
  image, frames = decoding.decode(file, name, (gap or 0) * resolution)
  picture, remarks = _middle_square(image, resolution, resample)
  return picture, frames + remarks


def _middle_square(
    image: Image.Image, size: int, resample: str
) -> tuple[np.ndarray, list[str]]:
  """The one rule of geometry: the middle square, resized.

  Returns:
    uint8 (size, size) or (size, size, 3), and remarks (see `_warn`).
  """
  kernel, gap = _filter(resample)
  (w, h), remarks = image.size, []
  side = min(w, h)
  if w != h:
    cut = 100 * (1 - side / max(w, h))
    remarks.append(
        "is not square: only the middle square is used, which cuts off"
        f" {cut:.2g} % of the {'width' if w > h else 'height'}"
    )
  if side < size:
    remarks.append(
        f"is enlarged from {side} to {size} px: fine detail cannot be recovered"
    )
  left, top = (w - side) // 2, (h - side) // 2
  image = image.crop((left, top, left + side, top + side))
  if side != size:
    image = image.resize((size, size), kernel, reducing_gap=gap)
  return np.asarray(image), remarks


def _filter(resample: str) -> tuple[Image.Resampling, int | None]:
  if resample not in _FILTERS:
    raise UserError(
        f"resample must be {' or '.join(RESAMPLING)}, got {resample!r}"
    )
  return _FILTERS[resample]


def _warn(name: str, remarks: Sequence[str]) -> None:
  """Logs remarks about content of a picture that is not used."""
  for remark in remarks:
    logging.warning("%s %s", name, remark)


def is_picture(path: str | os.PathLike[str]) -> bool:
  """Whether a file's name is that of a picture; False for hidden files."""
  name = os.path.basename(path)
  return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def find(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
  """Image files directly in a folder, sorted by name.

  Raises:
    UserError: there is no such folder, or no image in it.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise UserError(f"{folder}: no such folder")
  paths = sorted(filter(is_picture, folder.iterdir()))
  if not paths:
    below = [p for p in folder.glob("*/*") if is_picture(p)]
    raise UserError(
        f"{folder}: no image ({', '.join(SUFFIXES)}) in it"
        + (f"; some lie below, in {below[0].parent}" if below else "")
    )
  return paths


def find_below(folder: str | os.PathLike[str]) -> list[str]:
  """Image files in a folder and below it, sorted; links are not followed.

  Raises:
    UserError: there is no such folder, one cannot be listed, or no image.
  """
  if not os.path.isdir(folder):
    raise UserError(f"{folder}: no such folder of pictures")
  found: list[str] = []
  for root, folders, files in os.walk(os.fspath(folder), onerror=_unlisted):
    folders[:] = [f for f in folders if not f.startswith(".")]
    found += [os.path.join(root, f) for f in files if is_picture(f)]
  if not found:
    raise UserError(
        f"{folder}: no image ({', '.join(SUFFIXES)}) in it or below; links to"
        " folders are not followed"
    )
  return sorted(found)


def _unlisted(error: OSError) -> None:
  raise UserError(f"{error.filename}: {error.strerror}") from error


def write(path: str | os.PathLike[str], image: ArrayLike) -> None:
  """Writes a picture, atomically; the suffix of its name sets the format.

  Missing folders are created, except directly in the file system's root,
  where one is most likely a mistyped path.

  Args:
    path: ends in .png, .jpg, .jpeg or .webp.
    image: (h, w, 3), uint8 or float in [-1, 1] (see `to_uint8`).

  Raises:
    UserError: another suffix, shape or range, or a folder of the root that
      does not exist.
  """
  path = pathlib.Path(path)
  suffix = path.suffix.lower()
  if suffix not in _WRITE_OPTIONS:
    raise UserError(
        f"{path}: write {', '.join(_WRITE_OPTIONS)}, not {suffix!r}"
    )
  pixels = np.asarray(image)
  if pixels.ndim != 3 or pixels.shape[2] != 3:
    raise UserError(
        f"{path}: the picture has shape {pixels.shape}, expected (h, w, 3);"
        " write one picture at a time, e.g. result.image[0]"
    )
  top = pathlib.Path(*path.absolute().parts[:2])
  if not top.exists() and top != path.absolute():
    raise UserError(
        f"{path}: there is no folder {top}, and none is created in the root;"
        " create it first if this is not a mistake"
    )
  picture = Image.fromarray(to_uint8(pixels))
  try:
    with atomic.replacing(path) as part:
      picture.save(part, **_WRITE_OPTIONS[suffix])
  except OSError as error:  # It names no file, or the temporary one.
    reason = error.strerror or str(error)
    raise OSError(error.errno, reason, str(path)) from error


class Pictures:
  """Image files as square pictures; unreadable files are skipped.

  Attributes:
    paths: paths of the files.
    skipped: paths of files that could not be read, known after iterating.
  """

  def __init__(
      self, paths: Sequence[str], size: int, description: str | None = None
  ):
    """Reads nothing yet.

    Args:
      paths: paths of image files.
      size: height and width of the pictures.
      description: label of the progress bar.
    """
    self.paths = paths
    self.skipped: list[str] = []
    self._size = size
    self._description = description

  def __iter__(self) -> Iterator[np.ndarray]:
    """Yields uint8 (size, size, 3), see `square`; shows a progress bar."""
    changed = []
    for path in tqdm.tqdm(
        self.paths, self._description, unit="picture", disable=None
    ):
      try:
        picture, remarks = _square(path, path, self._size)
      except UserError as error:
        logging.warning("skipped: %s", error)
        self.skipped.append(path)
        continue
      changed += [f"{path} {remark}" for remark in remarks[:1]]
      yield picture
    if changed:
      logging.warning(
          "%d of %d pictures are not used as they are; the first: %s",
          len(changed), len(self.paths), changed[0],
      )


def to_uint8(images: ArrayLike) -> np.ndarray:
  """Converts pictures to uint8 on the host.

  Args:
    images: any shape.  uint8 is returned unchanged.  Float values in [-1, 1]
      are mapped to 0..255 and rounded to nearest; values outside, to which
      generators overshoot, are clipped.

  Returns:
    uint8 of the same shape.

  Raises:
    UserError: another dtype, values that are not finite, or float values that
      seem to lie in 0..255.
  """
  array = np.asarray(images)
  if array.dtype == np.uint8:
    return array
  if not checks.is_float(array):
    raise UserError(
        f"pictures are {array.dtype}, expected uint8 or float in [-1, 1]"
    )
  array = array.astype(np.float32)
  if not np.isfinite(array).all():
    raise UserError("pictures hold values that are not finite (NaN, infinity)")
  if array.size and array.min() >= 0 and array.max() > _NO_FLOAT_PICTURE:
    raise UserError(
        f"float pictures must lie in [-1, 1], got {array.min():g} to"
        f" {array.max():g}; convert pictures in 0..255 to uint8"
    )
  return np.clip((array + 1.0) * 127.5 + 0.5, 0, 255).astype(np.uint8)
