"""Reads direction files: .npz as our converter writes them, .npy of users.

DIR/directions/NAME.npz holds, by kind:
  direction              a latent direction, in the shape of its official file
  mean, comp, std        principal components of w (GANSpace)
  mean, std, sizes       statistics of the style vectors, concatenated
  matrix                 one row per style channel (delta_i_c, fs3)
Nothing here reads a pickle.
"""

import pathlib
import zipfile
import zlib

import numpy as np

from sfe_jax.errors import UserError

_CONVERT = "`python -m convert` turns official files into .npz"


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
