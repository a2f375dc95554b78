"""A folder of pictures as a training set: sfe_jax.data.folders."""

import json

import numpy as np
import pytest
from PIL import Image

from sfe_jax.data import folders
from sfe_jax.errors import UserError
from sfe_jax.storage import images, labels
from tests.drawn_data import (
    drawn,
    drawn_folder,
    labels_file,
    odd_pictures,
    save,
)

SIZE = 16


def files(folder):
  return sorted(
      p.relative_to(folder).as_posix() for p in folder.rglob("*.png")
  )


def test_pictures_become_folders(tmp_path, caplog):
  src, dst = odd_pictures(tmp_path / "src", 120), tmp_path / "dst"
  about = folders.write(src, dst, SIZE)
  assert about["skipped"].keys() == {"text.png", "half.png"}
  assert "half.png: not a readable image" in caplog.text
  training, held_out = files(dst / "pictures"), files(dst / "held_out")
  assert (len(training), len(held_out)) == (about["pictures"], 12)
  names = [f.removesuffix(".png") for f in sorted(training + held_out)]
  odd = ["deep/er/alpha", "grey", "turned", "wide", "wide_webp"]
  assert names == sorted([f"{i // 10:02}/{i:03}" for i in range(120)] + odd)
  found = {
      name: np.asarray(Image.open(dst / folder / name))
      for folder in ("pictures", "held_out")
      for name in files(dst / folder)
  }
  assert {p.shape for p in found.values()} == {(SIZE, SIZE, 3)}
  assert (found["deep/er/alpha.png"] == 255).all()
  assert found["turned.png"][0, 0, 0] == 0  # the left side is on the right
  np.testing.assert_array_equal(found["03/037.png"], drawn(37))
  np.testing.assert_array_equal(found["wide_webp.png"].shape, (SIZE, SIZE, 3))


def test_what_is_held_out_depends_on_names_alone(tmp_path):
  for name, offset in (("a", 0), ("b", 1)):
    for i in range(110):
      save(tmp_path / name / f"{i}.png", drawn(i + offset))
    folders.write(tmp_path / name, tmp_path / f"{name}2", SIZE)
  first, second = (files(tmp_path / n / "held_out") for n in ("a2", "b2"))
  assert first == second and len(first) == 11
  assert first != sorted(f"{i}.png" for i in range(11))
  assert not set(first) & set(files(tmp_path / "a2/pictures"))


def test_labels_go_with_their_pictures(tmp_path):
  src, dst = odd_pictures(tmp_path / "src", 100), tmp_path / "dst"
  found = images.find_below(src)
  path = labels_file(tmp_path / "labels.csv", found)
  before = labels.read(path)
  told = {"number": ["larger", "smaller"]}
  (tmp_path / labels.EFFECTS).write_text(json.dumps(told))
  folders.write(src, dst, SIZE, path)
  after = labels.read(dst / "labels.csv")
  assert labels.read_effects(dst / "labels.csv") == {
      "number": ("larger", "smaller")
  }
  written = [p for p in dst.rglob("*.png")]
  assert len(after.rows) == len(written) == len(found) - 2

  def number(table, file):
    [column] = table.schema
    return round(float(table.of([file])[0, 0] * column.std + column.mean))

  for name in ("03/037.png", "deep/er/alpha.png"):
    [place] = [str(p) for p in written if p.as_posix().endswith(name)]
    assert number(after, place) == number(before, str(src / name))


def test_labels_that_do_not_fit_are_refused_first(tmp_path):
  src = drawn_folder(tmp_path / "src", 100)
  found = sorted(src.rglob("*.png"))
  path = labels_file(tmp_path / "labels.csv", found[1:])
  with pytest.raises(UserError, match="no row for 1 of 100 pictures, such as"):
    folders.write(src, tmp_path / "dst", SIZE, path)
  labels_file(path, found)
  text = path.read_text()
  path.write_text(text.replace("number", "sefa2"))
  with pytest.raises(UserError, match="'sefa2' gives no name to an edit"):
    folders.write(src, tmp_path / "dst", SIZE, path)
  labels_file(path, found, **{"src/gone.png": 7})
  with pytest.raises(UserError, match="rows for 1 files that .*src/gone.png"):
    folders.write(src, tmp_path / "dst", SIZE, path)
  assert not (tmp_path / "dst").exists()


def test_places_that_are_refused(tmp_path):
  src = drawn_folder(tmp_path / "src", 100)
  with pytest.raises(UserError, match="lies in the folder of pictures"):
    folders.write(src, src / "dst", SIZE)
  with pytest.raises(UserError, match="is not empty"):
    folders.write(src, tmp_path, SIZE)
