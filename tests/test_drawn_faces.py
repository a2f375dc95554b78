"""Drawn faces: what each attribute changes, and folders of them."""

import csv
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sfe_jax import drawn_faces
from sfe_jax.drawn_faces import folder
from sfe_jax.errors import UserError
from sfe_jax.storage import labels as label_files

ENDS = {
    name: (a.choices[0], a.choices[-1]) if a.choices else (a.low, a.high)
    for name, a in drawn_faces.ATTRIBUTES.items()
}
SIZE = 64
# A weighted sum of the levels of each of 24 pictures.
PROJECTIONS = (
    1165, -827, -54, 1622, -2333, 1114, -630, -1350,
    513, 144, -72, 129, -219, 862, 169, 553,
    -1667, -523, 1467, 898, -1320, 1825, 1480, 1654,
)


def faces(count, **changes):
  return [
      drawn_faces.sample(3, i).replace(extra="none", **changes)
      for i in range(count)
  ]


def change(face, name, size):
  """(size, size) largest difference in levels between an attribute's ends."""
  low, high = (
      drawn_faces.draw(face.replace(**{name: value}), size).astype(int)
      for value in ENDS[name]
  )
  return np.abs(high - low).max(-1)


def test_same_in_another_process():
  code = (
      "import hashlib; from sfe_jax import drawn_faces; print(hashlib.sha256("
      "b''.join(drawn_faces.draw(drawn_faces.sample(4, i), 33).tobytes()"
      " for i in range(8))).hexdigest())"
  )
  there = subprocess.run(
      [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  here = b"".join(
      drawn_faces.draw(drawn_faces.sample(4, i), 33).tobytes() for i in range(8)
  )
  assert there.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_pictures_stay_as_they_were():
  """The shipped weights were trained on them; rounding may differ elsewhere."""
  weights = np.cos(1.7 * np.arange(32 * 32 * 3))
  found = [
      drawn_faces.draw(drawn_faces.sample(4, i), 32).ravel() @ weights
      for i in range(24)
  ]
  np.testing.assert_allclose(found, PROJECTIONS, atol=20)


def test_every_label_says_what_it_looks_like():
  names = {"out_of_domain"}
  for name, attribute in drawn_faces.ATTRIBUTES.items():
    names |= {f"{name}={c}" for c in attribute.choices} or {name}
  assert drawn_faces.EFFECTS.keys() == names


def test_faces_are_distinct():
  some = [drawn_faces.sample(seed, i) for seed in (0, 1) for i in range(60)]
  assert len({drawn_faces.draw(face, 32).tobytes() for face in some}) == 120
  one = some[0]
  assert not np.array_equal(
      drawn_faces.draw(one, 32),
      drawn_faces.draw(drawn_faces.Face(one.detail + 1, **one.attributes), 32),
  )


def test_population():
  some = [drawn_faces.sample(5, i) for i in range(1500)]
  assert 0.05 < np.mean([face.out_of_domain for face in some]) < 0.11
  names = ("smile", "glasses", "age", "hair_light", "gender", "yaw")
  values = np.array([[getattr(f, n) for n in names] for f in some])
  between = np.corrcoef(values.T) - np.eye(len(names))
  assert np.abs(between).max() < 0.3
  assert values.std(0).min() > 0.1
  bearded = [face.gender for face in some if face.beard]
  assert np.mean(bearded) < 0.3


@pytest.mark.parametrize("name", ENDS)
def test_every_attribute_shows_at_32_px(name):
  shown = [change(face, name, 32).max() for face in faces(6, hat="none")]
  assert min(shown) >= 8, shown


# In the picture, where 0 is the top or left edge and 1 the other.
REGIONS = {
    "smile": (0.45, 0.85, 0.2, 0.8),
    "mouth_open": (0.5, 1.0, 0.2, 0.8),
    "glasses": (0.35, 0.6, 0.2, 0.8),
    "eye_colour": (0.4, 0.55, 0.25, 0.75),
    "makeup": (0.35, 0.85, 0.2, 0.8),
    "freckles": (0.4, 0.75, 0.25, 0.75),
    "beard": (0.45, 1.0, 0.15, 0.85),
    "jaw": (0.4, 1.0, 0.15, 0.85),
}


@pytest.mark.parametrize("name", REGIONS)
def test_an_edit_changes_its_own_region_alone(name):
  box = (np.array(REGIONS[name]) * SIZE).astype(int)
  for face in faces(12, yaw=0.3):
    changed = change(face, name, SIZE)
    changed[box[0]:box[1], box[2]:box[3]] = 0
    assert not changed.any(), np.argwhere(changed)


@pytest.mark.parametrize("name", ["age", "gender", "hair_light", "skin", "yaw"])
def test_an_edit_leaves_the_background_alone(name):
  for face in faces(12, hair_style="short", hat="none"):
    changed = change(face, name, SIZE)[: SIZE // 2]
    assert not changed[:, : SIZE // 10].any()
    assert not changed[:, -SIZE // 10:].any()
    assert changed.any()


def test_small_is_the_reduced_large():
  for i in range(12):
    face = drawn_faces.sample(6, i)
    large = drawn_faces.draw(face, 128).astype(float)
    reduced = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    small = drawn_faces.draw(face, 32)
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8
    assert np.abs(reduced - small).mean() < 2
    assert np.abs(large - large.mean((0, 1))).mean() > 10


@pytest.mark.parametrize("act, message", [
    (lambda f: f.replace(smile=1.2), "smile must be between 0 and 1, got 1.2"),
    (lambda f: f.replace(age=float("nan")), "between 15 and 85, got nan"),
    (lambda f: f.replace(glasses=0.5), "glasses must be 0 or 1, got 0.5"),
    (lambda f: f.replace(yaw="left"), "yaw must be a number, got 'left'"),
    (lambda f: f.replace(hat="helmet"), "hat must be one of none,.*'helmet'"),
    (lambda f: f.replace(grin=1), "no attribute grin; choose from yaw, "),
    (lambda f: drawn_faces.Face(-1), "seed of 0 or more, got -1"),
    (lambda f: drawn_faces.draw(f, 16), "between 32 and 512, got 16"),
])
def test_what_is_refused(act, message):
  with pytest.raises(ValueError, match=message):
    act(drawn_faces.sample(0, 0))


def command(*args):
  return subprocess.run(
      [sys.executable, "-m", "sfe_jax.drawn_faces", *map(str, args)],
      capture_output=True,
      text=True,
      env={**os.environ, "JAX_PLATFORMS": "cpu"},
      timeout=120,
  )


def labels(path):
  with open(path / folder.LABELS, newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


def read(row):
  """A row's face, without the seed of its details."""
  values = {}
  for name, attribute in drawn_faces.ATTRIBUTES.items():
    kind = {"binary": int, "categorical": str}.get(attribute.kind, float)
    values[name] = kind(row[name])
  return values


def test_command_writes_what_the_api_draws(tmp_path):
  done = command(
      "--dst", tmp_path / "new" / "out", "--count", 102, "--size", 32,
      "--seed", 7, "--start", 950, "--processes", 2,
  )
  assert done.returncode == 0, done.stderr
  assert "drew 102 faces of 32 px" in done.stderr
  out = tmp_path / "new" / "out"
  assert sorted(os.listdir(out)) == [
      "000", "001", "drawn_faces.json", "effects.json", "labels.csv",
  ]
  told = label_files.read_effects(out / "labels.csv")
  schema = label_files.read(out / "labels.csv").schema
  assert set(label_files.outputs(schema)) <= set(told)
  rows = labels(out)
  assert [row["file"] for row in rows[49:51]] == [
      "000/000999.png", "001/001000.png"
  ]
  assert len(rows) == 102
  for index, row in zip(range(950, 1052), rows):
    face = drawn_faces.sample(7, index)
    assert read(row) == face.attributes
    assert row["out_of_domain"] == str(int(face.out_of_domain))
    if index % 20 == 0:
      picture = np.asarray(Image.open(out / row["file"]))
      np.testing.assert_array_equal(picture, drawn_faces.draw(face, 32))


def test_a_folder_is_resumed_and_continued(tmp_path):
  assert folder.write(tmp_path, 4, 32, seed=1) == 4
  rows = labels(tmp_path)
  (tmp_path / folder.LABELS).unlink()
  (tmp_path / folder.name(2)).unlink()
  kept = tmp_path / folder.name(1)
  kept.write_bytes(b"mine")
  assert folder.write(tmp_path, 4, 32, seed=1) == 1
  assert labels(tmp_path) == rows
  assert kept.read_bytes() == b"mine"
  assert folder.write(tmp_path, 2, 32, seed=1, start=6) == 2
  assert [row["file"] for row in labels(tmp_path)] == [
      folder.name(i) for i in (0, 1, 2, 3, 6, 7)
  ]


def test_a_folder_of_other_faces_is_refused(tmp_path):
  folder.write(tmp_path, 1, 32, seed=1)
  with pytest.raises(UserError, match="'seed': 1, 'size': 32.*another --dst"):
    folder.write(tmp_path, 1, 32, seed=2)
  with pytest.raises(UserError, match="'size': 64"):
    folder.write(tmp_path, 1, 64, seed=1)
  with pytest.raises(UserError, match="999999, got --start 999999"):
    folder.write(tmp_path, 2, 32, seed=1, start=999_999)
  (tmp_path / folder.LABELS).write_text("file,smile\n")
  with pytest.raises(UserError, match="has other columns"):
    folder.write(tmp_path, 1, 32, seed=1)
  about = tmp_path / "drawn_faces.json"
  about.write_text("{")
  with pytest.raises(UserError, match="drawn_faces.json cannot be read"):
    folder.write(tmp_path, 1, 32, seed=1)
  about.unlink()
  with pytest.raises(UserError, match="labels.csv, but no drawn_faces.json"):
    folder.write(tmp_path, 1, 32, seed=1)


@pytest.mark.parametrize("args, message", [
    ((), "--dst FOLDER and --count N are required"),
    (("--dst", "x", "--count", 3, "--size", 16), "--size=16"),
    (("--dst", "x", "--count", 0), "--count=0"),
    (("--dst", __file__, "--count", 1), "test_drawn_faces.py is a file, but"),
])
def test_wrong_flags_are_one_line(args, message):
  done = command(*args)
  assert done.returncode == 2
  assert message in done.stderr
  assert done.stderr.count("\n") == 1
