"""Direction files: .npz as our programs write them, .npy of users.

DIR/directions/NAME.npz holds, by kind:
  direction              a latent direction, in the shape of its official file
  mean, comp, std        principal components of w (GANSpace)
  mean, std, sizes       statistics of the style vectors, concatenated
  matrix                 one row per style channel (delta_i_c, fs3)
  direction, low, high, family, effect
                         as `python -m sfe_jax.directions` fits it: (w_dim,) or
                         (styles, w_dim) per unit of strength, the useful
                         strengths, and two texts, see `About`
Nothing here reads a pickle.
"""

import pathlib
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from absl import logging

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

_CONVERT = "`python -m convert` turns official files into .npz"


class About(NamedTuple):
  """What the file of a fitted direction tells besides the direction.

  Attributes:
    family: how it was found, e.g. "InterFaceGAN".
    effect: what + and - do.
    low: smallest useful strength.
    high: largest useful strength.
  """

  family: str
  effect: str
  low: float
  high: float


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """The named arrays of an .npz, or {"direction": array} of an .npy.

  Raises:
    UserError: the file is absent, damaged, pickled or of another type.
  """
  path = pathlib.Path(path)
  if path.suffix not in (".npy", ".npz"):
    raise UserError(
        f"{path} is no direction file: expected .npy or .npz; {_CONVERT}"
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
  """The array "direction" of a file, or the only one it holds."""
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
  """Writes a fitted direction atomically; makes the folder.

  Args:
    path: of an .npz file.
    direction: (w_dim,) or (styles, w_dim), the w+ offset per unit of strength.
    about: the rest.
  """
  with atomic.replacing(path) as part:
    np.savez(part, direction=np.float32(direction), **about._asdict())


def about(path: str | pathlib.Path) -> About | None:
  """What a fitted direction's file tells; None for others, and for damage."""
  try:
    arrays = read(path)
    texts = (str(arrays[key][()]) for key in ("family", "effect"))
    return About(*texts, float(arrays["low"]), float(arrays["high"]))
  except UserError as error:
    logging.warning("left out: %s", error)
  except (KeyError, TypeError, ValueError):
    pass  # of another kind
  return None


def fitted(folder: str | pathlib.Path) -> dict[pathlib.Path, About]:
  """The fitted directions in a folder of direction files, sorted by path."""
  found = {
      path: about(path) for path in sorted(pathlib.Path(folder).glob("*.npz"))
  }
  return {path: what for path, what in found.items() if what is not None}
