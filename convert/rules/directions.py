"""Converts direction files: official ones to `directions/NAME.npz` and back.

NAME is the stem of the official file; sfe_jax/directions/files.py lists what
each kind of file holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sfe_jax.errors import UserError

from ..reader import NotWeights

Arrays = dict[str, np.ndarray]

_W_DIM = 512
_MAX_STYLES = 18
_MATRICES = frozenset({"delta_i_c", "fs3"})
_PCA = frozenset({"mean", "comp", "std"})


def recognise(contents: Any, stem: str) -> Arrays | None:
  """The arrays for `stem`.npz; None if the file is not a direction file.

  Args:
    contents: the result of `reader.read`: an array, a dictionary (PCA) or two
      lists of arrays (style statistics).
    stem: name of the file without its suffix.

  Raises:
    NotWeights: the array has a shape or dtype that no direction has.
    UserError: the direction is damaged: it holds NaN or infinite values, or its
      parts do not fit.
  """
  if isinstance(contents, Mapping):
    return _pca(contents, stem) if set(contents) == _PCA else None
  if isinstance(contents, list | tuple):
    return _statistics(contents, stem)
  if hasattr(contents, "__array__"):
    array = _finite(contents, stem)
    if stem in _MATRICES:
      return _matrix(array, stem)
    return _direction(array, stem)
  return None


def to_official(arrays: Mapping[str, np.ndarray]) -> Any:
  """The contents of an official file; inverts `recognise`.

  Returns:
    None if official files cannot hold all of `arrays`: those of directions that
    were fitted by this project also have a useful range, for example.
  """
  if "sizes" in arrays:
    cuts = np.cumsum(arrays["sizes"])[:-1]
    return [np.split(arrays[key], cuts) for key in ("mean", "std")]
  if set(arrays) == _PCA:
    return dict(arrays)
  return next(iter(arrays.values())) if len(arrays) == 1 else None


def _finite(value: Any, what: str) -> np.ndarray:
  array = np.asarray(value)
  if array.dtype.kind != "f":
    raise NotWeights(f"{what} has dtype {array.dtype}, expected floats")
  if not np.isfinite(array).all():
    raise UserError(f"{what} holds NaN or infinite values; it is damaged")
  return array


def _direction(array: np.ndarray, stem: str) -> Arrays:
  rows, width = array.shape if array.ndim == 2 else (1, array.size)
  flat = width % _W_DIM == 0 and width <= _MAX_STYLES * _W_DIM
  by_row = width == _W_DIM and rows <= _MAX_STYLES
  if array.ndim not in (1, 2) or not array.size or not (
      by_row or (rows == 1 and flat)
  ):
    raise NotWeights(
        f"{stem} has shape {array.shape}, which no direction has: expected"
        f" ({_W_DIM},), (1, {_W_DIM}), (styles, {_W_DIM}) or"
        f" (1, styles * {_W_DIM})"
    )
  return {"direction": array}


def _matrix(array: np.ndarray, stem: str) -> Arrays:
  if array.ndim != 2 or array.shape[1] != _W_DIM:
    raise UserError(
        f"{stem} has shape {array.shape}, expected (style channels, {_W_DIM})"
    )
  return {"matrix": array}


def _pca(contents: Mapping[str, Any], stem: str) -> Arrays:
  arrays = {key: _finite(contents[key], f"{stem}: {key}") for key in contents}
  k = arrays["std"].size
  want = {"mean": (1, _W_DIM), "comp": (k, 1, _W_DIM), "std": (k,)}
  for key, shape in want.items():
    if arrays[key].shape != shape:
      raise UserError(
          f"{stem}: {key} has shape {arrays[key].shape}, expected {shape}"
      )
  if not (arrays["std"] > 0).all():
    raise UserError(f"{stem}: std holds values that are not positive")
  return arrays


def _statistics(contents: Sequence[Any], stem: str) -> Arrays | None:
  if len(contents) != 2 or not all(isinstance(x, list) and x for x in contents):
    return None
  sizes = [[np.shape(array) for array in part] for part in contents]
  if sizes[0] != sizes[1] or any(len(shape) != 1 for shape in sizes[0]):
    raise UserError(
        f"{stem} holds two lists that are not one mean and one standard"
        " deviation per style channel"
    )
  mean, std = (
      [_finite(array, f"{stem}: {key}") for array in part]
      for key, part in zip(("mean", "std"), contents)
  )
  return {
      "mean": np.concatenate(mean),
      "std": np.concatenate(std),
      "sizes": np.array([len(array) for array in mean]),
  }
