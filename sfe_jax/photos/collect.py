"""Which files are edited, under which names, with which masks."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from sfe_jax.errors import UserError
from sfe_jax.storage import images


@dataclasses.dataclass(frozen=True)
class Collection:
  """Picture files to edit.

  Attributes:
    paths: file by output name, which is the file's name without its suffix.
    ignored: other files of the folder, whose names are not those of pictures.
  """

  paths: dict[str, pathlib.Path]
  ignored: tuple[pathlib.Path, ...] = ()


def collect(
    files: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str] | None = None,
) -> Collection:
  """Collects pictures.

  Args:
    files: single pictures.
    folder: all pictures directly in it are taken.

  Raises:
    UserError: no picture was named, one does not exist, or the results of two
      would have the same name.
  """
  paths = [pathlib.Path(p) for p in files]
  for path in paths:
    if path.is_dir():
      raise UserError(f"--image {path} is a folder; name it with --dir")
    if not path.is_file():
      raise UserError(f"{path}: no such image file")
  ignored: tuple[pathlib.Path, ...] = ()
  if folder:
    if os.path.isfile(folder):
      raise UserError(f"--dir {folder} is a file; name it with --image")
    paths += images.find(folder)
    ignored = _ignored(pathlib.Path(folder))
  paths = list(dict.fromkeys(paths))
  if not paths:
    raise UserError("name a picture with --image or a folder with --dir")
  return Collection(_named(paths), ignored)


def _named(paths: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
  """Files by output name; equal names get the suffix as well."""
  stems = collections.Counter(p.stem for p in paths)
  named: dict[str, pathlib.Path] = {}
  for path in paths:
    name = path.stem
    if stems[name] > 1:
      name = f"{name}_{path.suffix[1:]}"
    if name in named:
      raise UserError(
          f"{named[name]} and {path} would both be written as {name}; rename"
          " one"
      )
    named[name] = path
  return named


def _ignored(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Visible files that are not pictures, and folders."""
  visible = (p for p in folder.iterdir() if not p.name.startswith("."))
  return tuple(sorted(p for p in visible if not images.is_picture(p)))


class Masks:
  """Background masks: one file for all pictures, or a folder of masks.

  A mask in a folder has the name of its picture, with any suffix.
  """

  def __init__(self, path: str | os.PathLike[str]):
    """Finds the files.

    Raises:
      UserError: there is no such file or folder, or no image in it.
    """
    self._path = pathlib.Path(path)
    if not self._path.exists():
      raise UserError(f"{path}: no such mask file or folder")
    self._named: dict[str, pathlib.Path] | None = None
    if self._path.is_dir():
      self._named = {p.stem: p for p in images.find(path)}

  def read(self, path: pathlib.Path, size: int) -> np.ndarray:
    """Reads the mask of a picture.

    Args:
      path: the picture's file.
      size: height and width of the result.

    Returns:
      float32 (size, size) in [0, 1], see `images.read_mask`.

    Raises:
      UserError: the folder has no mask of this name, or it is not readable.
    """
    file: pathlib.Path | None = self._path
    if self._named is not None:
      file = self._named.get(path.stem)
    if file is None:
      raise UserError(f"{self._path}: no mask named {path.stem}")
    return images.read_mask(file, size)
