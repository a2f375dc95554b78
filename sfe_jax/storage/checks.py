"""Checks of picture arrays that users of the Python API pass in."""

import numpy as np
from absl import logging
from numpy.typing import ArrayLike

from sfe_jax.errors import UserError


def pictures(batch: ArrayLike, size: int) -> np.ndarray:
  """Checks pictures.

  Args:
    batch: (n, size, size, 3) or one (size, size, 3), uint8 or float.
    size: height and width that the networks take.

  Returns:
    uint8 or float32 (n, size, size, 3).

  Raises:
    UserError: another shape or dtype, or float values outside about [-1, 1].
  """
  array = np.asarray(batch)
  if array.ndim == 3:
    array = array[None]
  n, *shape = array.shape or (0,)
  if not n or shape != [size, size, 3]:
    raise UserError(
        f"pictures have shape {np.shape(batch)}, expected (n, {size}, {size},"
        f" 3); sfe_jax.images.fit(picture, {size}) crops and resizes one"
    )
  if array.dtype == np.uint8:
    return array
  if not is_float(array):
    raise UserError(f"pictures are {array.dtype}, expected uint8 or float")
  if not np.abs(array).max() <= 1.5:
    raise UserError(
        "float pictures must lie in [-1, 1], got values from"
        f" {array.min():g} to {array.max():g}; convert pictures in 0..255"
        " to uint8"
    )
  if array.min() >= 0 and array.max() <= 1:
    logging.warning(
        "float pictures must lie in [-1, 1]; these have no value below 0 and"
        " look like [0, 1]: multiply them by 2 and subtract 1"
    )
  return array.astype(np.float32)


def background(mask: ArrayLike, n: int, size: int) -> np.ndarray:
  """Checks a background mask.

  Args:
    mask: (size, size) or (n, size, size), numbers in [0, 1].
    n: number of pictures.
    size: height and width of the pictures.

  Returns:
    float32 (n, size, size).

  Raises:
    UserError: another shape, dtype or range.
  """
  mask = np.asarray(mask)
  if mask.shape not in ((size, size), (n, size, size)):
    raise UserError(
        f"the background mask has shape {mask.shape}, expected ({size},"
        f" {size}) or ({n}, {size}, {size}); sfe_jax.images.read_mask(file,"
        f" {size}) reads one"
    )
  is_number = is_float(mask) or mask.dtype.kind in "biu"
  if not is_number or not (mask.min() >= 0 and mask.max() <= 1):
    found = f" from {mask.min()} to {mask.max()}" if is_number else ""
    raise UserError(
        f"the background mask must hold numbers in [0, 1], got {mask.dtype}"
        f"{found}; divide a mask in 0..255 by 255"
    )
  return np.broadcast_to(mask.astype(np.float32), (n, size, size))


def is_float(array: np.ndarray) -> bool:
  """Whether an array holds real floats; NumPy counts bfloat16 as void."""
  is_known = np.issubdtype(array.dtype, np.floating)
  return is_known or array.dtype.name == "bfloat16"
