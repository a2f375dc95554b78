"""Shards: what prepare writes, and what is said of damaged ones."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from sfe_jax.data import shards
from sfe_jax.data.sources import Folder, array_record
from sfe_jax.errors import UserError
from tests.drawn_data import (
    SIZE,
    Drawn,
    drawn,
    drawn_folder,
    load,
    numbers,
    save,
)


def prepare(*args):
  return subprocess.run(
      [sys.executable, "-m", "sfe_jax.data.prepare", *map(str, args)],
      capture_output=True,
      text=True,
      env={**os.environ, "JAX_PLATFORMS": "cpu"},
      timeout=120,
  )


def test_prepare_command(tmp_path):
  src, dst = drawn_folder(tmp_path / "src", 12, 40), tmp_path / "new" / "dst"
  (src / "bad.jpg").write_bytes(b"text")
  done = prepare(
      "--src", src, "--dst", dst, "--size", SIZE, "--shards", 5,
      "--format", "png",
  )
  assert done.returncode == 1, done.stderr
  assert "wrote 12 pictures of 16 px in 5 shards" in done.stderr
  assert "bad.jpg: skipped: cannot identify" in done.stderr
  assert "1 files skipped" in done.stderr
  assert os.listdir(tmp_path / "new") == ["dst"]
  source, folder = array_record(dst, SIZE), Folder(src, SIZE)
  assert len(source) == 12
  source = pickle.loads(pickle.dumps(source))
  for i in range(12):
    np.testing.assert_array_equal(source[i], folder[i])
  np.testing.assert_array_equal(load(source, 5, threads=2), load(folder, 5))
  assert len(array_record(dst / "*0000[01]-of-*.array_record", SIZE)) == 4
  again = prepare("--src", src, "--dst", dst)
  assert again.returncode == 2
  assert again.stderr.splitlines()[-1] == (
      f"error: {dst} is not empty; choose another --dst, or replace the shards"
      " that it holds with --overwrite"
  )


def write(source, dst, **options):
  options = {"size": SIZE, "origin": "test", "format": "png", **options}
  return shards.write(source, dst, **options)


def test_shards_skip_what_is_unreadable(tmp_path):
  about, skipped = write(Drawn(9, broken=(0, 5)), tmp_path / "a", shards=9)
  assert about.count == 7 and about.shards[0].startswith("images-00000-of-0000")
  assert skipped == ["picture 0 is broken", "picture 5 is broken"]
  source = array_record(tmp_path / "a", SIZE)
  assert numbers(source) == [1, 2, 3, 4, 6, 7, 8]


def test_jpeg_shards_are_close(tmp_path):
  write(Drawn(4), tmp_path / "a", format="jpg", quality=95)
  source = array_record(tmp_path / "a", SIZE)
  assert np.abs(source[2].astype(int) - drawn(2)).max() <= 6


def test_failed_writes_leave_everything_as_it_was(tmp_path):
  dst = tmp_path / "a"
  with pytest.raises(UserError, match="none of 3 pictures can be read"):
    write(Drawn(3, broken=range(3)), dst)
  assert not os.listdir(tmp_path)
  write(Drawn(3), dst)

  class Dying(Drawn):

    def __getitem__(self, index):
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    write(Dying(3), dst, overwrite=True)
  assert os.listdir(tmp_path) == ["a"] and len(array_record(dst, SIZE)) == 3
  write(Drawn(5), dst, overwrite=True, shards=2)
  assert os.listdir(tmp_path) == ["a"] and len(array_record(dst, SIZE)) == 5


def test_only_shards_are_overwritten(tmp_path):
  save(tmp_path / "photos" / "a.png", drawn(0))
  with pytest.raises(UserError, match="no shards of python -m sfe_jax.data"):
    write(Drawn(3), tmp_path / "photos", overwrite=True)
  with pytest.raises(UserError, match="a.png is not a folder"):
    write(Drawn(3), tmp_path / "photos" / "a.png")
  (tmp_path / "empty").mkdir()
  write(Drawn(3), tmp_path / "empty")
  with pytest.raises(UserError, match="--shards must be from 1 to 3 for"):
    write(Drawn(3), tmp_path / "b", shards=4)


def test_prepare_never_touches_its_source(tmp_path):
  drawn_folder(tmp_path / "src", 1)
  done = prepare("--src", tmp_path / "src", "--dst", tmp_path, "--overwrite")
  assert done.returncode == 2 and "is or holds --src" in done.stderr


def test_shard_messages(tmp_path):
  dst = tmp_path / "a"
  with pytest.raises(UserError, match="no such shard"):
    array_record(tmp_path / "*.array_record", SIZE)
  with pytest.raises(UserError, match="no shards of python -m sfe_jax.data"):
    array_record(tmp_path, SIZE)
  write(Drawn(4), dst, shards=2)
  with pytest.raises(UserError, match="of 16 px.*prepare with --size 64"):
    array_record(dst, 64)
  first, second = sorted(dst.glob("*.array_record"))
  whole = second.read_bytes()
  second.write_bytes(first.read_bytes()[:200])
  with pytest.raises(UserError, match="a shard is damaged"):
    array_record(dst, SIZE)
  second.write_bytes(whole)
  about = json.loads((dst / shards.METADATA).read_text())
  text = json.dumps({**about, "count": 5})
  (dst / shards.METADATA).write_text(text)
  with pytest.raises(UserError, match="hold 4 pictures, metadata.json says 5"):
    array_record(dst, SIZE)
  second.unlink()
  with pytest.raises(UserError, match="00001-of-00002.*no such shard"):
    array_record(dst, SIZE)
  (dst / shards.METADATA).write_text("{")
  with pytest.raises(UserError, match="metadata.json cannot be read"):
    array_record(dst, SIZE)


def test_damaged_records_are_replaced(tmp_path, caplog):
  write(Drawn(40), tmp_path / "a")
  path = next((tmp_path / "a").glob("*.array_record"))
  content = bytearray(path.read_bytes())
  start = content.index(b"IHDR") if b"IHDR" in content else len(content) // 2
  content[start : start + 8] = b"\0" * 8
  path.write_bytes(content)
  source = array_record(tmp_path / "a", SIZE)
  assert len(source) == 40
  load(source, 15)
  assert any("record" in m and "readable" in m for m in caplog.messages)


