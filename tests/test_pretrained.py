"""The weights that come with the project do what they are for."""

import itertools
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sfe_jax import Editor, drawn_faces
from sfe_jax.architecture import Models
from sfe_jax.metrics import truth
from sfe_jax.metrics.judge import Judge
from sfe_jax.metrics.methods import EncoderAlone, StyleFeatureEditor
from sfe_jax.storage import weights

ROOT = pathlib.Path(__file__).parents[1]
TOY = weights.SHIPPED / "toy"
SEED = 5  # neither of training (0) nor of the tables
COUNT = 32
MOST_L2 = 0.01
STRENGTHS = {"glasses": 3.4, "skin": 2.2}  # that change as much as the truth


@pytest.fixture(scope="module")
def methods():
  editor = Editor.load("toy", batch_size=COUNT)
  models = editor.models
  alone = EncoderAlone(
      Models(models.generator, None, None, models.e4e),
      editor.variables,
      editor.directions,
  )
  return {"sfe": StyleFeatureEditor(editor), "e4e": alone}


@pytest.fixture(scope="module")
def judge(methods):
  return Judge.load(TOY, methods["sfe"].size)


def test_they_are_small():
  size = sum(p.stat().st_size for p in TOY.rglob("*") if p.is_file())
  assert size < 12 * 2**20


def test_inversions_keep_what_e4e_loses(methods, judge):
  drawn = np.stack([
      drawn_faces.draw(drawn_faces.sample(SEED, i), judge.size)
      for i in range(COUNT)
  ])
  found = {
      name: judge.compare(method.reconstruct(method.encode(drawn)), drawn)
      for name, method in methods.items()
  }
  means = {
      name: {key: value.mean() for key, value in values.items()}
      for name, values in found.items()
  }
  assert means["sfe"]["l2"] < min(MOST_L2, 0.25 * means["e4e"]["l2"]), means
  assert means["sfe"]["ms_ssim"] > means["e4e"]["ms_ssim"], means


@pytest.mark.parametrize("attribute", STRENGTHS)
def test_edits_come_near_the_truth(methods, judge, attribute):
  pairs = itertools.islice(truth.pairs(attribute, SEED, judge.size), COUNT)
  pairs = list(pairs)
  found = {
      name: truth.measure(
          method, judge, attribute, pairs, STRENGTHS[attribute], COUNT
      )
      for name, method in methods.items()
  }
  errors = {name: values["edit"]["l2"] for name, values in found.items()}
  assert errors["sfe"] < 0.6 * errors["e4e"], errors
  assert 0.6 < found["sfe"]["effect"] < 1.5, found["sfe"]["effect"]


def test_quickstart(tmp_path):
  done = subprocess.run(
      ["bash", "launch/quickstart.sh", f"--out={tmp_path}"],
      cwd=ROOT,
      env=os.environ | {"SFE_PYTHON": sys.executable},
      capture_output=True,
      text=True,
      timeout=300,
  )
  assert done.returncode == 0, done.stderr
  [grid] = re.findall(r"^look at (.*)$", done.stdout, re.M)
  out = pathlib.Path(grid).parent

  def read(name):
    return np.asarray(Image.open(out / name), np.float32) / 127.5 - 1

  errors = []
  for picture in sorted((out / "faces/000").iterdir()):
    drawn = read(f"faces/000/{picture.name}")
    inverted = read(f"inversion/{picture.name}")
    errors.append(np.square(drawn - inverted).mean())
    edits = sorted(out.glob(f"*/edit_power_*/{picture.name}"))
    assert len(edits) == 5
    for path in edits:
      edited = read(path.relative_to(out))
      assert 1e-4 < np.square(edited - inverted).mean() < 0.2, path
  assert len(errors) == 6 and np.mean(errors) < MOST_L2
