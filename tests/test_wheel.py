"""The wheel: what it installs, and its programs in an empty folder."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import numpy as np
import pytest

from sfe_jax import drawn_faces
from sfe_jax.storage import images

ROOT = pathlib.Path(__file__).parents[1]
TOP_LEVEL = {"sfe_jax"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """Builds the wheel from a copy of what git tracks."""
  folder = tmp_path_factory.mktemp("wheel")
  tracked = subprocess.run(
      ["git", "ls-files", "-z"],
      cwd=ROOT, capture_output=True, text=True, check=True,
  ).stdout.split("\0")  # fmt: skip
  for name in filter(None, tracked):
    source, target = ROOT / name, folder / "source" / name
    if source.is_symlink() or source.exists():
      target.parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(source, target, follow_symlinks=False)
  subprocess.run(
      [
          sys.executable, "-m", "pip", "wheel", "-q", "--no-deps",
          "--wheel-dir", folder, folder / "source",
      ],
      check=True,
  )  # fmt: skip
  [path] = folder.glob("*.whl")
  return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
  """A fresh environment with the wheel, and the dependencies of this one."""
  folder = tmp_path_factory.mktemp("venv")
  venv.create(folder, with_pip=False)
  program = folder / "bin" / "python"
  [site] = folder.glob("lib/python*/site-packages")
  # Packages found through a .pth file do not bring their own .pth files, so
  # this environment's editable sfe_jax stays invisible.
  (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
  subprocess.run(
      [
          sys.executable, "-m", "pip", "--python", program, "install", "-q",
          "--no-deps", "--ignore-installed", wheel,
      ],
      check=True,
  )  # fmt: skip
  return program


@pytest.fixture
def run(python, tmp_path):
  """Runs a program of the wheel in an empty folder; gives what it printed."""

  def call(*args, code=0):
    done = subprocess.run(
        [python, "-m", *map(str, args)],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "JAX_PLATFORMS": "cpu",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr

  return call


def test_one_top_level_name(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
  top = {name.partition("/")[0] for name in names}
  assert {name for name in top if not name.endswith(".dist-info")} == TOP_LEVEL
  for name in ("py.typed", "configs/ffhq_phase2.py", "convert/__main__.py"):
    assert f"sfe_jax/{name}" in names
  assert any("pretrained/toy/generator/variables" in name for name in names)


def test_edit(run, tmp_path):
  picture = np.full((32, 32, 3), 128, np.uint8)
  images.write(tmp_path / "photo.png", picture)
  run(
      "sfe_jax", "edit", "--weights", "toy", "--image", "photo.png",
      "--edit", "age=3", "--format", "png",
  )  # fmt: skip
  assert list(tmp_path.glob("out/age/*/photo.png"))


@pytest.mark.parametrize(
    "program",
    [
        "convert", "directions", "pack", "metrics.tables", "data.prepare",
        "ablations", "own_domain.report",
    ],
)
def test_every_program_starts(run, program):
  assert "--" in run(f"sfe_jax.{program}", "--help")


def test_evaluate(run, tmp_path):
  for i in range(4):
    picture = drawn_faces.draw(drawn_faces.sample(0, i), 32)
    images.write(tmp_path / f"faces/{i}.png", picture)
  run(
      "sfe_jax.evaluate", "--weights", "toy", "--protocol", "inversion",
      "--dir", "faces", "--out", "report.json",
  )  # fmt: skip
  report = json.loads((tmp_path / "report.json").read_text())
  assert report["pictures"]["formats"] == {"png": 4}
  assert report["results"]["count"] == 4


def test_own_domain_dry_run(run, tmp_path):
  (tmp_path / "faces").mkdir()
  text = run("sfe_jax.own_domain", "faces", "out", "--dry_run")
  for module in ("data.prepare", "train", "directions", "evaluate"):
    assert f"-m sfe_jax.{module} " in text
  assert not (tmp_path / "out").exists()


def test_convert(run, tmp_path):
  pytest.importorskip("torch")
  direction = np.arange(512, dtype=np.float32)[None] / 512
  np.save(tmp_path / "my_boundary.npy", direction)
  run("sfe_jax.convert", "--src", "my_boundary.npy", "--dst", "weights")
  with np.load(tmp_path / "weights/directions/my_boundary.npz") as file:
    np.testing.assert_array_equal(file["direction"], direction)


def test_shipped_configs_are_found(run, tmp_path):
  run("sfe_jax.drawn_faces", "--dst", "data/faces", "--count", 80, "--size", 32)
  text = run("sfe_jax.train", "--config=toy_phase2.py", "--dry_run")
  assert "5000" in text and "toy" in text


@pytest.mark.slow
def test_training(run, tmp_path):
  run("sfe_jax.drawn_faces", "--dst", "data/faces", "--count", 80, "--size", 32)
  run(
      "sfe_jax.train", "--config=configs/ffhq_phase1.py:smoke",
      "--workdir=out/smoke", "--config.data.path=data/faces",
      "--config.steps=1",
  )  # fmt: skip
  assert (tmp_path / "out/smoke/weights/inverter/network.json").is_file()
