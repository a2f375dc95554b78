"""The editing command line on tiny random networks."""

import functools
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sfe_jax import Editor, edit, images
from sfe_jax.errors import UserError
from sfe_jax.photos import batch, request
from tests import cli, tiny

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZE = 64


_ORIGINAL_LOAD = Editor.load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A weight folder with two directions of the table."""
  folder = tmp_path_factory.mktemp("weights")
  tiny.write_weights(folder)
  (folder / "directions").mkdir()
  for seed, name in enumerate(("age", "smile")):
    direction = np.random.RandomState(seed).standard_normal((1, 512))
    np.savez(folder / "directions" / name, direction=np.float32(direction))
  return folder


@pytest.fixture(scope="module")
def editor(folder):
  return Editor.load(folder, domain="faces")


@functools.cache
def _loaded(folder, **options):
  return _ORIGINAL_LOAD(folder, **options)


def _load(folder, *, registry, **options):
  """Every editor is compiled once, whatever its directions."""
  editor = _loaded(folder, **options)
  editor.directions = registry
  return editor


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
  """Runs the command line in an empty folder with an editor compiled once."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(Editor, "load", _load)

  def run(*argv, weights=True):
    if weights:
      argv = ("--weights", folder, "--domain", "faces", *argv)
    return cli.run(edit, *argv)

  return run


def save(path, picture, **options):
  pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  if isinstance(picture, np.ndarray):
    picture = Image.fromarray(picture)
  picture.save(path, **options)


def written(out="out"):
  out = pathlib.Path(out)
  return {
      p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()
  }


def pixels(path):
  return np.asarray(Image.open(path))


def edited(editor, picture, edits, background=None):
  result = editor.edit(editor.invert(picture), edits, background)
  return images.to_uint8(result.image[0])


def test_names_of_the_outputs(run):
  save("a b.png", tiny.pictures(1)[0])
  argv = ["--image", "a b.png", "--edit", "age=5", "--edit", "smile=-2.5"]
  assert run(*argv, "--inversion", "--grid") == 0
  assert written() == {
      "inversion/a b.jpg",
      "age+smile/edit_power_5.0000_-2.5000/a b.jpg",
      "grid.png",
  }
  run(*argv[:4], "--out", "deep/er")
  assert written("deep/er") == {"age/edit_power_5.0000/a b.jpg"}
  assert Image.open("deep/er/age/edit_power_5.0000/a b.jpg").format == "JPEG"


def test_lists_of_strengths(run, editor):
  save("a.png", tiny.pictures(1)[0])
  edits = ["--edit", "age=-5,0,5", "--edit", "smile=1"]
  assert run("--image", "a.png", *edits, "--format", "png") == 0
  powers = {s: f"age+smile/edit_power_{s:.4f}_1.0000/a.png" for s in (-5, 0, 5)}
  assert written() == set(powers.values())
  for strength, path in powers.items():
    want = edited(editor, tiny.pictures(1), {"age": strength, "smile": 1})
    np.testing.assert_array_equal(pixels(f"out/{path}"), want)


def test_separate_edits(run, editor):
  save("a.png", tiny.pictures(1)[0])
  edits = ["--edit", "age=-5,5", "--edit", "smile=1", "--separately"]
  assert run("--image", "a.png", *edits, "--format", "png") == 0
  assert written() == {
      "age/edit_power_-5.0000/a.png",
      "age/edit_power_5.0000/a.png",
      "smile/edit_power_1.0000/a.png",
  }
  want = edited(editor, tiny.pictures(1), {"smile": 1})
  got = pixels("out/smile/edit_power_1.0000/a.png")
  np.testing.assert_array_equal(got, want)


def test_pixels_are_those_of_the_editor(run, editor):
  """Whatever the batch."""
  pictures = tiny.pictures(3)
  for i, picture in enumerate(pictures):
    save(f"in/{i}.png", picture)
  for batch_size in (1, 2):
    argv = ["--dir", "in", "--edit", "age=3", "--inversion", "--format", "png"]
    assert run(*argv, "--batch_size", batch_size, "--out", batch_size) == 0
    for i in range(3):
      inversion = editor.invert(pictures[i])
      want = images.to_uint8(editor.reconstruct(inversion)[0]).astype(int)
      got = pixels(f"{batch_size}/inversion/{i}.png")
      tolerance = 0 if batch_size == 1 else 1  # Sums in another order.
      np.testing.assert_allclose(got, want, atol=tolerance)
      want = edited(editor, pictures[i], {"age": 3}).astype(int)
      got = pixels(f"{batch_size}/age/edit_power_3.0000/{i}.png")
      np.testing.assert_allclose(got, want, atol=tolerance)
  assert np.abs(pixels("1/inversion/0.png").astype(int) - got).max() > 1


@pytest.mark.parametrize("name", ("png", "webp", "jpg"))
def test_formats(run, name):
  save("a.png", tiny.pictures(1)[0])
  run("--image", "a.png", "--inversion", "--format", name)
  assert written() == {f"inversion/a.{name}"}
  picture = Image.open(f"out/inversion/a.{name}")
  assert picture.format == {"jpg": "JPEG"}.get(name, name.upper())
  assert picture.size == (SIZE, SIZE) and picture.mode == "RGB"


def test_grid(run):
  """Input, inversion and edits side by side, at most 16 pictures."""
  for i, picture in enumerate(tiny.pictures(3)):
    save(f"in/{i}.png", picture)
  run("--dir", "in", "--edit", "age=-5,5", "--grid")
  grid = Image.open("out/grid.png")
  row = 18 + 128
  assert grid.size == (4 * 128, 18 + 3 * row)
  want = Image.fromarray(tiny.pictures(3)[1]).resize((128, 128), 1)
  tile = grid.crop((0, 18 + row + 18, 128, 18 + 2 * row))
  np.testing.assert_array_equal(tile, want)
  caption = np.asarray(grid.crop((0, 18 + row, 128, 18 + row + 18)))
  assert caption.min() == 0  # the file's name
  for i in range(3, 17):
    save(f"in/{i}.png", tiny.pictures(1)[0])
  run("--dir", "in", "--grid", "--out", "many")
  assert Image.open("many/grid.png").size == (2 * 128, 18 + 16 * row)


def test_masks(run, editor, caplog):
  """White stays; a folder holds one for each picture."""
  pictures = tiny.pictures(2)
  mask = np.zeros((SIZE, SIZE), np.uint8)
  mask[:, :32] = 255
  save("in/a.png", pictures[0])
  save("in/b.png", pictures[1])
  save("masks/a.png", mask)
  argv = ["--dir", "in", "--edit", "age=3", "--format", "png"]
  assert run(*argv, "--mask", "masks/a.png", "--out", "one") == 0
  for name, picture in zip("ab", pictures):
    want = edited(editor, picture, {"age": 3}, mask / np.float32(255))
    got = pixels(f"one/age/edit_power_3.0000/{name}.png")
    np.testing.assert_array_equal(got, want)
    free = edited(editor, picture, {"age": 3})
    assert (want != free).any()
  assert run(*argv, "--mask", "masks", "--out", "each") == 1
  assert written("each") == {"age/edit_power_3.0000/a.png"}
  assert "skipped: in/b.png: masks: no mask named b" in caplog.text
  save("masks/b.jpg", np.zeros((30, 40, 3), np.uint8))
  assert run(*argv, "--mask", "masks", "--out", "both") == 0
  got = pixels("both/age/edit_power_3.0000/b.png")
  np.testing.assert_array_equal(got, free)


def test_masks_are_cropped_like_their_pictures(run, editor):
  picture = np.zeros((SIZE, 2 * SIZE, 3), np.uint8)
  picture[:, 32:-32] = tiny.pictures(1)[0]
  mask = np.zeros((SIZE, 2 * SIZE), np.uint8)
  mask[:, :SIZE] = 255
  save("a.png", picture)
  save("m.png", mask)
  argv = ["--image", "a.png", "--mask", "m.png", "--edit", "age=3"]
  assert run(*argv, "--format", "png") == 0
  want = np.zeros((SIZE, SIZE))
  want[:, :32] = 1
  want = edited(editor, tiny.pictures(1), {"age": 3}, want)
  got = pixels("out/age/edit_power_3.0000/a.png")
  np.testing.assert_array_equal(got, want)


def test_own_direction(run, editor):
  direction = np.random.RandomState(3).standard_normal((10, 512))
  np.save("mine.npy", np.float32(direction))
  save("a.png", tiny.pictures(1)[0])
  argv = ["--image", "a.png", "--direction", "mine.npy", "--edit", "mine=0.5"]
  assert run(*argv, "--format", "png") == 0
  editor.directions.add_file("mine.npy", "test_own_direction")
  want = edited(editor, tiny.pictures(1), {"test_own_direction": 0.5})
  got = pixels("out/mine/edit_power_0.5000/a.png")
  np.testing.assert_array_equal(got, want)


def test_list_of_edits(run, capsys):
  assert run("--list_edits") == 0
  header, *lines = capsys.readouterr().out.splitlines()
  titles = ["name", "strengths", "family", "attribute", "effect"]
  assert header.split() == titles
  (age,) = [line for line in lines if line.startswith("age ")]
  assert age.split()[:3] == ["age", "-10..10", "InterFaceGAN"]
  assert any("not available" in line and "afro" in line for line in lines)
  np.save("a_direction_with_a_long_name.npy", np.ones((1, 512), np.float32))
  mine = ["--direction", "a_direction_with_a_long_name.npy"]
  run("--list_edits", "--json", *mine)
  rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)}
  assert rows["age"]["available"] and rows["age"]["low"] == -10
  assert not rows["afro"]["available"] and "afro.pt" in rows["afro"]["missing"]
  assert rows["a_direction_with_a_long_name"]["family"] == "file"
  run("--list_edits", *mine)
  assert "a_direction_with_a_long_name  -" in capsys.readouterr().out
  assert run("--list_edits", weights=False) == 0
  assert "gender" in capsys.readouterr().out


def _exif(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return exif


def _odd_pictures():
  """{name: (write it, the RGB pixels it shows)}."""
  rgb = tiny.pictures(1)[0]
  grey = rgb[..., 0]
  alpha = np.where(np.arange(SIZE) < 20, 0, 255).astype(np.uint8)
  alpha = np.broadcast_to(alpha, (SIZE, SIZE))
  flat = np.where(alpha[..., None] == 0, 255, rgb)
  palette = Image.fromarray(rgb).quantize(16)
  return {
      "exif.png": (rgb.swapaxes(0, 1)[:, ::-1], {"exif": _exif(8)}, rgb),
      "alpha.png": (np.dstack([rgb, alpha]), {}, flat),
      "grey.png": (grey, {}, np.dstack([grey] * 3)),
      "grey_alpha.png": (
          Image.fromarray(np.dstack([grey, alpha]), "LA"),
          {},
          np.where(alpha[..., None] == 0, 255, np.dstack([grey] * 3)),
      ),
      "deep.png": (np.uint16(grey) * 257, {}, np.dstack([grey] * 3)),
      "palette.png": (palette, {}, np.asarray(palette.convert("RGB"))),
  }


@pytest.mark.parametrize("name", _odd_pictures())
def test_pictures_of_any_kind(run, editor, name):
  picture, options, want = _odd_pictures()[name]
  save(name, picture, **options)
  np.testing.assert_array_equal(images.read(name), want)
  assert run("--image", name, "--edit", "age=2", "--format", "png") == 0
  got = pixels(f"out/age/edit_power_2.0000/{name}")
  np.testing.assert_array_equal(got, edited(editor, want, {"age": 2}))


@pytest.mark.parametrize(
    "shape, resample, warning",
    (
        ((100, 80), "lanczos", "is not square: "),
        ((40, 40), "bilinear", "is enlarged from 40 to 64 px"),
        ((200, 200), "bilinear", None),
    ),
)
def test_pictures_of_any_size(run, editor, caplog, shape, resample, warning):
  picture = tiny.pictures(2, max(shape))[1][: shape[0], : shape[1]]
  save("a.png", picture)
  argv = ["--image", "a.png", "--inversion", "--format", "png"]
  assert run(*argv, "--resample", resample) == 0
  assert (f"a.png {warning}" if warning else "") in caplog.text
  assert bool(caplog.records) == bool(warning)
  inversion = editor.invert(images.fit(picture, SIZE, resample=resample))
  want = images.to_uint8(editor.reconstruct(inversion)[0]).astype(int)
  got = pixels("out/inversion/a.png")
  assert np.abs(got - want).max() <= 1


def test_an_inversion_needs_no_editing_encoder(run, editor, tmp_path):
  tiny.write_weights(tmp_path / "w")
  shutil.rmtree(tmp_path / "w/e4e")
  save("a.png", tiny.pictures(1)[0])
  argv = ["--weights", tmp_path / "w", "--image", "a.png"]
  assert run(*argv, "--inversion", "--grid", "--format", "png") == 0
  want = editor.reconstruct(editor.invert(tiny.pictures(1)))
  want = images.to_uint8(want[0]).astype(int)
  assert np.abs(pixels("out/inversion/a.png") - want).max() <= 1
  np.save("d.npy", np.ones((1, 512), np.float32))
  with pytest.raises(UserError, match="lacks e4e.*or edit .*--without=e4e"):
    run(*argv, "--direction", "d.npy", "--edit", "d=1")


def test_a_long_first_batch_is_explained(run, monkeypatch, caplog):
  save("a.png", tiny.pictures(1)[0])
  with caplog.at_level("INFO"):
    run("--image", "a.png", "--inversion")
    assert "compile" not in caplog.text
    monkeypatch.setattr(batch, "_PATIENCE", 0.0)
    run("--image", "a.png", "--inversion")
  assert "the first batch compiles the networks" in caplog.text


def test_results_that_are_not_finite_are_skipped(run, caplog):
  for i, picture in enumerate(tiny.pictures(2)):
    save(f"in/{i}.png", picture)
  np.save("d.npy", np.full((1, 512), 3e38, np.float32))
  edit = ["--direction", "d.npy", "--edit", "d=10"]
  assert run("--dir", "in", *edit, "--inversion", "--grid") == 1
  assert written() == {"inversion/0.jpg", "inversion/1.jpg"}
  assert "skipped: in/1.png: d/edit_power_10.0000: pictures hold" in caplog.text
  assert "2 of 2 pictures skipped" in caplog.text


def test_unreadable_pictures_are_skipped(run, caplog):
  save("in/good.png", tiny.pictures(1)[0])
  data = pathlib.Path("in/good.png").read_bytes()
  pathlib.Path("in/half.png").write_bytes(data[: len(data) // 2])
  pathlib.Path("in/text.jpg").write_text("no picture")
  pathlib.Path("in/empty.webp").touch()
  pathlib.Path("in/notes.txt").write_text("not even meant as one")
  save("in/sub/a.gif", tiny.pictures(1)[0])
  save("in/other.bmp", tiny.pictures(1)[0])
  with caplog.at_level("INFO"):
    assert run("--dir", "in", "--inversion", "--batch_size", 2) == 1
  assert written() == {"inversion/good.jpg", "inversion/other.jpg"}
  for name in ("half.png", "text.jpg", "empty.webp"):
    assert f"skipped: in/{name}: not a readable image" in caplog.text
  assert "3 of 5 pictures skipped" in caplog.text
  assert "ignored, not pictures: 1 .txt, 1 folders" in caplog.text


def test_pictures_of_one_name(run):
  for name in ("a/x.png", "a/x.jpg", "b/y.png"):
    save(name, tiny.pictures(1)[0])
  argv = ["--dir", "a", "--image", "b/y.png", "--inversion"]
  assert run(*argv, "--image", "a/x.png") == 0
  want = {"inversion/x_png.jpg", "inversion/x_jpg.jpg", "inversion/y.jpg"}
  assert written() == want
  save("b/x.png", tiny.pictures(1)[0])
  with pytest.raises(UserError, match="both be written as x_png; rename one"):
    run(*argv, "--image", "b/x.png")


def test_strengths_out_of_range_warn(run, caplog):
  save("a.png", tiny.pictures(1)[0])
  assert run("--image", "a.png", "--edit", "age=10,11") == 0
  (record,) = caplog.records
  assert record.levelno == logging.WARNING
  assert record.message == "age 11 is outside the useful range -10..10"


@pytest.mark.parametrize(
    "argv, message",
    (
        (
            ["--edit", "aeg=5"],
            "'aeg'; did you mean 'age'.*--list_edits --weights [^ ]+`$",
        ),
        (["--edit", "afro=.1"], "'afro' is not available: .*afro.pt"),
        (["--edit", "age"], "--edit age: write NAME=STRENGTH, e.g. age=5"),
        (["--edit", "age="], "--edit age=: write NAME=STRENGTH"),
        (["--edit", "=5"], "--edit =5: write NAME=STRENGTH"),
        (["--edit", "age=1,,2"], "write NAME=STRENGTH"),
        (["--edit", "age=nan"], "write NAME=STRENGTH"),
        (["--edit", "age=1", "--edit", "Age=2"], "age is given twice"),
        (
            ["--edit", "age=1,2", "--edit", "smile=1,2,3"],
            "one length, got 2 for age, 3 for smile",
        ),
        ([], "nothing to do: give --edit, --inversion or --grid"),
        (["--json", "--grid"], "--json needs --list_edits"),
        (["--image", "empty", "--grid"], "empty is a folder; .*--dir"),
        (["--dir", "a.png", "--grid"], "a.png is a file; .*--image"),
        (["--image", "b.png", "--grid"], "b.png: no such image file"),
        (["--dir", "nowhere", "--grid"], "nowhere: no such folder"),
        (["--dir", "empty", "--grid"], "empty: no image .*in it"),
        (["--mask", "m.png", "--grid"], "m.png: no such mask file or folder"),
        (["--direction", "d.npy", "--grid"], "d.npy does not exist"),
        (["--direction", "a.png", "--grid"], "a.png is not a direction file"),
        (["--weights", "empty", "--grid"], "empty.* holds no weights"),
        (["--weights", "", "--grid"], "name a weight folder with --weights"),
        (["--grid", "--out", "a.png"], "a.png is a file, not a folder"),
    ),
)
def test_mistakes_have_a_clear_message(run, argv, message):
  save("a.png", tiny.pictures(1)[0])
  os.mkdir("empty")
  with pytest.raises(UserError, match=message) as caught:
    run("--image", "a.png", *argv)
  assert "\n" not in str(caught.value)
  assert not pathlib.Path("out").exists()


def test_a_picture_must_be_named(run):
  with pytest.raises(UserError, match="name a picture with --image or a"):
    run("--edit", "age=5")


# Reports what was imported even where the program exits.
_PROGRAM = """
import runpy, sys
try:
  runpy.run_module("sfe_jax.edit", run_name="__main__", alter_sys=True)
finally:
  unneeded = {"torch", "tensorflow", "grain", "clu", "ml_collections"}
  unneeded |= {"convert", "jinja2", "matplotlib"}
  heavy = unneeded & set(sys.modules)
  print(f"heavy: {sorted(heavy)}")
"""


def program(cwd, *argv):
  """The command line as users start it."""
  return subprocess.run(
      [sys.executable, "-c", _PROGRAM, *map(str, argv)],
      cwd=cwd,
      env={
          **os.environ,
          "PYTHONPATH": str(ROOT),
          "JAX_COMPILATION_CACHE_DIR": str(cwd / "cache"),
      },
      capture_output=True,
      text=True,
      timeout=600,
  )


def test_exit_codes_and_imports(folder, editor, tmp_path):
  save(tmp_path / "in" / "a.png", tiny.pictures(1)[0])
  (tmp_path / "in" / "b.png").write_text("no picture")
  argv = ["--weights", folder, "--domain", "faces", "--dir", "in"]
  argv += ["--format", "png"]
  done = program(tmp_path, *argv, "--edit", "age=20", "--edit", "smile=1")
  assert done.returncode == 1, done.stderr
  assert done.stdout.splitlines() == ["heavy: []"]
  path = "age+smile/edit_power_20.0000_1.0000/a.png"
  assert written(tmp_path / "out") == {path}
  lines = done.stderr.splitlines()
  lines = [x for x in lines if x.strip() and "%|" not in x]  # progress
  lines = [x for x in lines if not x.startswith("still working")]
  assert lines[0] == f"loading {folder}"
  assert lines[1] == "age 20 is outside the useful range -10..10"
  assert lines[2] == f"wrote out/{path}"
  assert lines[3].startswith("skipped: in/b.png: not a readable image")
  assert lines[4:] == ["1 of 2 pictures skipped"]
  want = edited(editor, tiny.pictures(1), {"age": 20, "smile": 1})
  np.testing.assert_array_equal(pixels(tmp_path / "out" / path), want)

  for bad, message in (
      ([*argv, "--edit", "aeg=5"], "did you mean 'age'"),
      ([*argv, "--grid", "--batch_size", "0"], "batch_size"),
  ):
    done = program(tmp_path, *bad)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def test_random_weights_need_no_folder(run, monkeypatch):
  monkeypatch.setattr(request, "Architecture", lambda: tiny.ARCHITECTURE)
  save("a.png", tiny.pictures(1)[0])
  flags_of_quickstart = ("--random_weights", "--inversion", "--grid")
  assert run("--image", "a.png", *flags_of_quickstart, weights=False) == 0
  assert images.read("out/inversion/a.jpg").shape == (64, 64, 3)
  assert pathlib.Path("out/grid.png").exists()
