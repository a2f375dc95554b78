"""Errors of the file system name the path that the user gave."""

import errno
import os

import pytest

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic


def test_a_failed_write_names_its_file(tmp_path):
  """Python names no file where a disk is full."""
  (tmp_path / "a.txt").write_text("before")
  with pytest.raises(OSError) as error, atomic.replacing(tmp_path / "a.txt"):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
  assert error.value.filename == str(tmp_path / "a.txt")
  with (
      pytest.raises(OSError) as error,
      atomic.replacing_folder(tmp_path / "folder") as part,
  ):
    (part / "absent" / "file").write_text("")
  assert error.value.filename == str(tmp_path / "folder")
  with (
      pytest.raises(OSError) as error,
      atomic.replacing_folder(tmp_path / "folder"),
  ):  # as TensorStore says it
    raise ValueError("RESOURCE_EXHAUSTED: a/b: No space left on device [1]")
  assert error.value.filename == str(tmp_path / "folder")
  assert error.value.errno == errno.ENOSPC
  assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
  assert (tmp_path / "a.txt").read_text() == "before"


def test_writable_folders(tmp_path):
  atomic.require_writable(tmp_path / "a" / "b")
  assert not list(tmp_path.iterdir())
  file = tmp_path / "file"
  file.touch()
  for folder in (file, file / "a" / "b"):
    with pytest.raises(UserError, match=f"{folder}: {file} is a file, not a"):
      atomic.require_writable(folder)
  with pytest.raises(UserError, match="cannot write to /proc/x: /proc: "):
    atomic.require_writable("/proc/x")
