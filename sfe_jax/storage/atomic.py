"""Writes files and folders completely or not at all; reads and writes JSON.

New content is written under a temporary name in the target's folder and then
renamed.  An interrupted program therefore leaves the old content or the new
one, never a mixture.
"""

import contextlib
import errno
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
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def require_writable(folder: str | os.PathLike) -> None:
  """Checks that files can be written to a folder, which need not exist yet.

  Programs call it before slow work.  Nothing is left behind.

  Raises:
    UserError: the folder, or the nearest one above it that exists, is a file,
      is read-only or is full.
  """
  path = pathlib.Path(folder).absolute()
  nearest = next(p for p in (path, *path.parents) if os.path.lexists(p))
  try:
    with tempfile.TemporaryFile(dir=nearest) as file:
      file.write(b"some")
      file.flush()
  except OSError as error:
    reason = f"{nearest}: {error.strerror}"
    if nearest.is_file():
      reason = f"{nearest} is a file, not a folder"
    raise UserError(
        f"cannot write to {folder}: {reason}; name another folder"
    ) from None


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary path, which becomes `path` if the block succeeds.

  Args:
    path: file to write or replace.  Its parent folders are created.  The
      temporary path has the same suffix.

  Raises:
    OSError: the file cannot be written; `filename` is `path`.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
  try:
    with naming(path, part):
      yield part
      part.replace(path)
  finally:
    part.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields an empty folder, which becomes `path` if the block succeeds.

  Args:
    path: folder to write.  Its parent folders are created.  An existing folder
      is replaced as a whole; if the block fails, it stays as it was.

  Raises:
    OSError: the folder cannot be written; `filename` is `path`.
  """
  path = pathlib.Path(path).absolute()
  path.parent.mkdir(parents=True, exist_ok=True)
  new = path.with_name(f".{path.name}.new-{os.getpid()}")
  old = path.with_name(f".{path.name}.old-{os.getpid()}")
  # An earlier process with this number may have been killed.
  shutil.rmtree(new, ignore_errors=True)
  try:
    with naming(path, new):
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


@contextlib.contextmanager
def naming(
    path: str | os.PathLike, part: str | os.PathLike | None = None
) -> Iterator[None]:
  """Makes errors of the file system name the path that was written.

  A failed write, for example on a full disk, names no file in Python.
  TensorStore and ArrayRecord raise errors of other types, which are recognised
  by their text.

  Args:
    path: file or folder that the block writes.
    part: temporary path; errors name `path` instead of it.

  Raises:
    OSError: in place of errors that name `part`, its content or nothing.
  """
  try:
    yield
  except OSError as error:
    name = error.filename
    elsewhere = isinstance(name, str) and not (
        part and pathlib.Path(name).is_relative_to(part)
    )
    if error.errno is None or elsewhere:
      raise
    raise OSError(error.errno, error.strerror, str(path)) from error
  except (RuntimeError, ValueError) as error:
    for code in _DISK_FULL:
      if os.strerror(code) in str(error):
        raise OSError(code, os.strerror(code), str(path)) from error
    raise


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a UTF-8 text file, see `replacing`."""
  with replacing(path) as part:
    part.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
  """Writes an indented JSON file, see `replacing`."""
  write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(
    path: str | os.PathLike, missing: str = "", advice: str = ""
) -> Any:
  """Reads a JSON file.

  Args:
    path: path of the file.
    missing: whole error message for a file that does not exist.
    advice: what to do about a damaged file; it ends the error message.

  Returns:
    The content: nested dicts, lists, strings, numbers, booleans and None.

  Raises:
    UserError: the file is missing, or it is not JSON.
  """
  try:
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
  except FileNotFoundError:
    raise UserError(missing or f"{path}: no such file") from None
  except (OSError, ValueError) as error:
    reason = getattr(error, "strerror", None) or error
    advice = advice and f"; {advice}"
    raise UserError(f"{path} cannot be read: {reason}{advice}") from None
