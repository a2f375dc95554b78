"""Direction files: .npz files that our programs write, .npy files of users.

A file WEIGHTS/directions/NAME.npz holds one of these sets of arrays:
  direction              a latent direction in the shape of its official file
  mean, comp, std        principal components of w (GANSpace)
  mean, std, sizes       statistics of the style vectors, concatenated
  matrix                 one row per style channel (delta_i_c, fs3)
  direction, low, high, family, effect, adds
                         a direction that `python -m sfe_jax.directions` fitted:
                         (w_dim,) or (styles, w_dim) per unit of strength, and
                         the fields of `About`
Pickled objects are refused.
"""

import pathlib
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from absl import logging

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

_CONVERT = "`python -m sfe_jax.convert` turns official files into .npz"


class About(NamedTuple):
  """The fields of a fitted direction's file besides the direction.

  Attributes:
    family: method that found the direction, e.g. "InterFaceGAN".
    effect: what a positive (+) and a negative (-) strength do.
    low: smallest useful strength.
    high: largest useful strength.
    adds: labels that a positive strength adds or raises, e.g. ("hair=long",);
      empty for unsupervised directions and in files of earlier versions.
  """

  family: str
  effect: str
  low: float
  high: float
  adds: tuple[str, ...] = ()


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the named arrays of an .npz file, or {"direction": array} of an .npy.

  Raises:
    UserError: the file is missing, damaged, holds pickled objects, or has
      another suffix.
  """
  path = pathlib.Path(path)
  if path.suffix not in (".npy", ".npz"):
    raise UserError(
        f"{path} is not a direction file: expected .npy or .npz; {_CONVERT}"
    )
  try:
    contents = np.load(path, allow_pickle=False)
    if isinstance(contents, np.ndarray):
      return {"direction": contents}
    with contents:
      return dict(contents)
  except FileNotFoundError:
    raise UserError(f"{path} does not exist") from None
  except (
      OSError,
      ValueError,
      EOFError,
      zipfile.BadZipFile,
      zlib.error,
  ) as error:
    raise UserError(
        f"{path} cannot be read: it is damaged or holds pickled objects;"
        f" {_CONVERT}"
    ) from error


def read_direction(path: str | pathlib.Path) -> np.ndarray:
  """Reads a file's array "direction", or the only array that it holds.

  Raises:
    UserError: see `read`, or the file holds several arrays.
  """
  arrays = read(path)
  if "direction" in arrays:
    return arrays["direction"]
  if len(arrays) != 1:
    raise UserError(
        f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; a direction"
        " file holds one array or one named 'direction'"
    )
  return next(iter(arrays.values()))


def write_fitted(
    path: str | pathlib.Path, direction: np.ndarray, about: About
) -> None:
  """Writes a fitted direction atomically; makes its folder.

  Args:
    path: the .npz file.
    direction: (w_dim,) or (styles, w_dim), the w+ offset per unit of strength.
    about: the other fields of the file.
  """
  with atomic.replacing(path) as part:
    np.savez(
        part,
        direction=np.asarray(direction, np.float32),
        family=about.family,
        effect=about.effect,
        low=about.low,
        high=about.high,
        adds=np.array(about.adds, str),
    )


def about(path: str | pathlib.Path) -> About | None:
  """Reads what the file of a fitted direction says of it.

  Returns:
    None for files of another kind, and for damaged ones, which are logged.
  """
  try:
    arrays = read(path)
  except UserError as error:
    logging.warning("left out: %s", error)
    return None
  try:
    return About(
        family=str(arrays["family"][()]),
        effect=str(arrays["effect"][()]),
        low=float(arrays["low"]),
        high=float(arrays["high"]),
        adds=tuple(map(str, arrays.get("adds", ()))),
    )
  except (KeyError, TypeError, ValueError):
    return None  # a file of another kind


def fitted(folder: str | pathlib.Path) -> dict[pathlib.Path, About]:
  """Finds the fitted directions in a folder of direction files.

  Returns:
    What each file says of its direction, by path, sorted by path.
  """
  found = {
      path: about(path) for path in sorted(pathlib.Path(folder).glob("*.npz"))
  }
  return {path: what for path, what in found.items() if what is not None}
