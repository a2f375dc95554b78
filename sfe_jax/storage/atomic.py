"""Files and folders that are complete or absent, and JSON files.

Everything is written under a temporary name beside its place and renamed, so
that an interrupted program leaves either the old content or the new one.
"""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sfe_jax.errors import UserError

_STAGING = ".staging-"
_ABANDONED = 24 * 3600  # seconds


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a path to write to; it becomes `path` if the block succeeds.

  Creates the parent folders.  The path has the same suffix as `path`.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
  try:
    yield part
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields an empty folder to fill; it becomes `path` if the block succeeds.

  Creates the parent folders.  A folder that exists already is replaced as a
  whole, and stays as it is if the block fails.
  """
  path = pathlib.Path(path).absolute()
  path.parent.mkdir(parents=True, exist_ok=True)
  new = path.with_name(f".{path.name}.new-{os.getpid()}")
  old = path.with_name(f".{path.name}.old-{os.getpid()}")
  shutil.rmtree(new, ignore_errors=True)  # left by a killed process
  try:
    new.mkdir()
    yield new
    if path.exists():
      path.rename(old)
    new.rename(path)
  finally:
    if old.exists() and not path.exists():
      old.rename(path)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def staging(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields an empty hidden folder inside folder `path`, removed at the end.

  Files that are finished there can be renamed into `path` (see `place_all`)
  even if `path` is a mount point or the working directory.  Creates `path`, and
  removes it if it was new and is still empty.
  """
  path = pathlib.Path(path)
  is_new = not path.exists()
  path.mkdir(parents=True, exist_ok=True)
  for left in path.glob(f"{_STAGING}*"):  # by killed processes
    if time.time() - left.stat().st_mtime > _ABANDONED:
      shutil.rmtree(left, ignore_errors=True)
  folder = pathlib.Path(tempfile.mkdtemp(prefix=_STAGING, dir=path))
  try:
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)
    if is_new and path.exists() and not any(path.iterdir()):
      path.rmdir()


def place_all(finished: Mapping[pathlib.Path, pathlib.Path]) -> None:
  """Renames files and folders to their places: all of them or none.

  Args:
    finished: {place: finished file or folder in a `staging` folder}; what is in
      a place already is replaced.
  """
  with contextlib.ExitStack() as undo:
    for place, source in finished.items():
      place.parent.mkdir(parents=True, exist_ok=True)
      if place.exists():
        old = source.with_name(f"{source.name}.old")
        place.rename(old)
        undo.callback(old.rename, place)
      source.rename(place)
      undo.callback(place.rename, source)
    undo.pop_all()


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a UTF-8 text file."""
  with replacing(path) as part:
    part.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
  """Writes an indented JSON file."""
  write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: str | os.PathLike, missing: str = "") -> Any:
  """Reads a JSON file.

  Args:
    path: of the file.
    missing: error message if there is no such file.

  Raises:
    UserError: the file is missing, or it is not JSON.
  """
  try:
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
  except FileNotFoundError:
    raise UserError(missing or f"{path}: no such file") from None
  except (OSError, ValueError) as error:
    raise UserError(f"{path} cannot be read: {error}") from None
