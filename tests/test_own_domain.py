"""From a folder of pictures to an editor: launch/own_domain.sh."""

import csv
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sfe_jax.data import folders
from sfe_jax.drawn_faces import folder as drawn_faces
from sfe_jax.errors import UserError
from sfe_jax.storage import images, labels, runs
from tests.drawn_data import drawn, drawn_folder, save

ROOT = pathlib.Path(__file__).parents[1]
SIZE = 16
STAGES = ("generator", "perception", "e4e", "phase1", "phase2")


def odd_pictures(root, count):
  """A folder of many kinds of files; some cannot be read."""
  drawn_folder(root, count)
  save(root / "grey.png", drawn(1, 40)[..., 1])
  save(root / "wide.jpg", drawn(2, 20, 60))
  save(root / "wide.webp", drawn(3))
  alpha = np.dstack([drawn(4, 24), np.zeros((24, 24), np.uint8)])
  save(root / "deep" / "er" / "alpha.png", alpha)
  exif = Image.Exif()
  exif[0x0112] = 3  # upside down
  save(root / "turned.png", drawn(5), exif=exif)
  (root / "text.png").write_text("no picture")
  whole = save(root / "half.png", drawn(6, 200)).read_bytes()
  (root / "half.png").write_bytes(whole[: len(whole) // 2])
  return root


def files(folder):
  return sorted(
      p.relative_to(folder).as_posix() for p in folder.rglob("*.png")
  )


def table(path, found, **extra):
  """Labels of files: a column that numbers them."""
  names = [os.path.relpath(f, path.parent) for f in found]
  with open(path, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["file", "number"])
    writer.writerows([name, i] for i, name in enumerate(names))
    writer.writerows(extra.items())
  return path


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
  path = table(tmp_path / "labels.csv", found)
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
  path = table(tmp_path / "labels.csv", found[1:])
  with pytest.raises(UserError, match="no row for 1 of 100 pictures, such as"):
    folders.write(src, tmp_path / "dst", SIZE, path)
  table(path, found)
  text = path.read_text()
  path.write_text(text.replace("number", "sefa2"))
  with pytest.raises(UserError, match="'sefa2' gives no name to an edit"):
    folders.write(src, tmp_path / "dst", SIZE, path)
  table(path, found, **{"src/gone.png": 7})
  with pytest.raises(UserError, match="rows for 1 files that .*src/gone.png"):
    folders.write(src, tmp_path / "dst", SIZE, path)
  assert not (tmp_path / "dst").exists()


def test_places_that_are_refused(tmp_path):
  src = drawn_folder(tmp_path / "src", 100)
  with pytest.raises(UserError, match="lies among the pictures"):
    folders.write(src, src / "dst", SIZE)
  with pytest.raises(UserError, match="is not empty"):
    folders.write(src, tmp_path, SIZE)


def environment(root):
  """Compiles quickly, and once for all runs."""
  (root / "stubs").mkdir(exist_ok=True)
  stub = root / "stubs/tensorflow.py"  # takes seconds to import
  stub.write_text("raise ImportError('a stub')\n")
  return os.environ | {
      "ACCELERATOR": "cpu",
      "SFE_PYTHON": sys.executable,
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
      "PYTHONPATH": str(root / "stubs"),
      "XLA_FLAGS": "",
  }


def start(root, *args, **options):
  return subprocess.Popen(
      ["bash", str(ROOT / "launch/own_domain.sh"), *map(str, args)],
      cwd=root,
      env=environment(root),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      **options,
  )


def finish(process, code=0):
  text, _ = process.communicate(timeout=900)
  assert process.returncode == code, text
  assert "Traceback" not in text
  return text


def test_too_few_pictures_end_in_one_line(tmp_path):
  src = tmp_path / "src"
  save(src / "grey.png", drawn(1, 40)[..., 1])
  save(src / "deep/alpha.png", np.dstack([drawn(4, 24), drawn(4, 24)[..., 0]]))
  (src / "text.jpg").write_text("no picture")
  text = finish(start(tmp_path, "src", "out"), code=2)
  [line] = re.findall("^error: .*$", text, re.M)
  assert f"{src}: 2 pictures are too few" in line and "100 are the" in line
  assert "1 more cannot be read, such as:" in line and "text.jpg" in line
  assert text.rstrip().endswith(line)
  assert not (tmp_path / "out/data").exists()


def test_wrong_usage(tmp_path):
  (tmp_path / "src").mkdir()
  for args, message in (
      (["src"], "usage: bash launch/own_domain.sh FOLDER OUT"),
      (["gone", "out"], f"{tmp_path}/gone: no such folder of pictures"),
      (["src", "src/"], f"OUT must be another folder: {tmp_path}/src"),
      (["src", "out", "--size", "48"], "--size must be 16, 32, .* got 48"),
      (["src", "out", "--steps=none"], "--steps must be 1 or more, got none"),
      (["src", "out", "--labels"], "--labels needs a value"),
      (["src", "out", "--lables=x"], "unknown option --lables=x"),
  ):
    text = finish(start(tmp_path, *args), code=2)
    assert re.fullmatch(f"error: {message}.*\n", text), text
  assert os.listdir(tmp_path / "src") == [] and not (tmp_path / "out").exists()


def test_dry_run(tmp_path):
  (tmp_path / "src").mkdir()
  (tmp_path / "out/e4e").mkdir(parents=True)
  (tmp_path / "out/e4e/done").touch()
  args = ("--dry-run", "src", "--size=64", "out", "--labels", "l.csv")
  lines = finish(start(tmp_path, *args)).splitlines()
  assert [x for x in lines if x.startswith("[")][3].startswith("[4/8] e4e: ")
  assert "[4/8] e4e: pictures to latents: done" in lines
  commands = [shlex.split(x) for x in lines if " -m sfe_jax." in x]
  modules = [c[2].removeprefix("sfe_jax.") for c in commands]
  assert modules == [
      "data.prepare", "train", "train", "directions", "train", "train",
      "evaluate", "evaluate", "report",
  ]  # fmt: skip
  assert f"--labels={tmp_path}/l.csv" in commands[0]
  configs = [c[3] for c in commands if c[2] == "sfe_jax.train"]
  assert configs == [
      f"--config=configs/toy_{n}.py:64" for n in STAGES if n != "e4e"
  ]
  assert "--config.augment.target=0.6" in commands[1]
  assert "--config.data.labels=../labels.csv" in commands[2]
  assert os.listdir(tmp_path / "out") == ["e4e"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
  """The chain on drawn faces, stopped on its way and started again.

  Gives its folder and what the second start printed.
  """
  root = tmp_path_factory.mktemp("chain")
  drawn_faces.write(root / "faces", 190, 32)
  odd_pictures(root / "faces", 10)
  table(root / "labels.csv", images.find_below(root / "faces"))
  args = ("faces", "out", "--labels=labels.csv", "--size=32", "--steps=1")
  first = start(root, *args, start_new_session=True)
  for line in first.stdout:
    if line.startswith("[3/8]"):
      break
  os.killpg(first.pid, signal.SIGTERM)
  first.communicate(timeout=60)
  assert first.returncode != 0
  assert not (root / "out/perception/done").exists()
  return root, args, finish(start(root, *args))


def test_a_stopped_chain_goes_on(chain):
  _, _, text = chain
  headings = re.findall(r"^\[./8\] .*$", text, re.M)
  assert len(headings) == 8
  assert [h.endswith(": done") for h in headings] == [True] * 2 + [False] * 6


def test_every_stage_was_trained(chain):
  root, _, _ = chain
  for name in STAGES:
    curves = runs.read_curves(root / "out" / name)
    assert max(map(max, curves.values())) == 1, name
  for network in ("generator", "e4e", "inverter", "feature_editor"):
    assert (root / "out/editor" / network).is_dir()


def test_the_report_is_there(chain):
  root, _, _ = chain
  text = (root / "out/report.html").read_text()
  assert "An editor for faces" in text and "half.png" in text
  assert all(f"<h3>{name}</h3>" in text for name in STAGES)
  height, width, _ = images.read(root / "out/report.png").shape
  assert width > 1000 and height > 1000


def test_the_editor_edits(chain):
  root, _, text = chain
  command = shlex.split((root / "out/next.txt").read_text())
  assert shlex.join(command) in text
  subprocess.run(
      [sys.executable, *command[1:]],
      cwd=ROOT,
      env=environment(root),
      check=True,
      timeout=300,
  )
  assert images.read(root / "out/edited/grid.png").shape[1] == 3 * 128


def test_a_finished_chain_does_nothing(chain):
  root, args, _ = chain
  before = (root / "out/report.html").stat().st_mtime_ns
  lines = finish(start(root, *args)).splitlines()
  assert len(lines) == 10 and all(x.endswith(": done") for x in lines[:8])
  assert (root / "out/report.html").stat().st_mtime_ns == before


def test_another_chain_in_the_same_place_is_refused(chain):
  root, args, _ = chain
  for other in ("--size=64", "--steps=2", "--labels=others.csv"):
    text = finish(start(root, *args, other), code=2)
    assert re.fullmatch("error: .*out was made of pictures .*faces, .*\n", text)
