"""The command that finds directions, measures and lists them."""


import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from sfe_jax import Editor
from sfe_jax.architecture import Architecture
from sfe_jax.directions import (
  Registry,
  candidates,
  files,
  ranges,
  search,
  training_sets,
)
from sfe_jax.directions import __main__ as program
from sfe_jax.errors import UserError
from sfe_jax.models.perception import Perception
from sfe_jax.storage import images, labels, weights
from sfe_jax.training.stages import phase2
from tests import cli, tiny, tiny_phases
from tests.test_directions_fit import SCHEMA, cosine

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCHITECTURE = Architecture(
    resolution=16,
    channels=(8, 8, 8),
    w_dim=16,
    mapping_layers=2,
    encoder_size=32,
    k=1,
    delta_k=1,
    backbone_depths=(1, 1, 1, 1),
    backbone_widths=(4, 4, 8, 8),
    fusion_depth=1,
    e4e_depths=(1, 1, 1, 1),
    e4e_widths=(4, 4, 8, 8),
)
SETTINGS = search.SearchSettings(samples=1200, components=2, sefa=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Weights of an editor, and a perception network that knows w.

  Its labels are least-squares fits to planted directions of w: of smile, and
  of glasses, which is rarely there; it predicts freckles poorly.
  """
  folder = tmp_path_factory.mktemp("weights")
  models = tiny.write_weights(folder, ARCHITECTURE)
  perception = Perception(16, (8, 8, 64), embedding=4, outputs=6)
  variables = tiny.fill(perception)
  generator, g = models.generator, livelier(tiny.fill(models.generator))
  weights.write(folder / "generator", generator, g)
  probe = ranges.Probe(generator, perception, {"generator": g})
  z = np.random.default_rng(5).standard_normal((600, 16))
  w = np.asarray(generator.apply(g, z, method="mapping"))
  pooled = perception.apply(
      variables, probe.pictures(w), method="pooled"
  )
  x = np.column_stack([pooled, np.ones(len(z))])
  values = (w - w.mean(0)) @ planted().T
  values /= values.std(0)
  values[:, 1] = 4 * (values[:, 1] - 1)
  values = np.column_stack(
      [values[:, :2], 0.1 * values[:, 0], 3 * values[:, 2], 0 * values[:, :2]]
  )
  solution = np.linalg.lstsq(x, values, rcond=None)[0].astype(np.float32)
  solution[-1, 5] = -20  # nobody has that hair
  params = {
      **variables["params"],
      "labels": {"kernel": solution[:-1], "bias": solution[-1]},
  }
  weights.write(
      folder / "perception",
      perception,
      {"params": params},
      {"labels": labels.to_json(SCHEMA)},
  )
  return folder


def livelier(variables):
  """Variables of a random generator whose pictures differ much."""

  def scale(path, leaf):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    if not name.endswith("kernel"):
      return leaf
    return leaf * (400 if "mapping" in name else 5 if "affine" in name else 1)

  return jax.tree_util.tree_map_with_path(scale, variables)


def planted():
  rng = np.random.default_rng(9)
  return np.linalg.qr(rng.standard_normal((16, 3)))[0].T


@pytest.fixture(scope="module")
def found(folder):
  """What the command says, and what it wrote."""
  out = folder / "directions"
  out.mkdir()
  np.save(out / "other.npy", np.ones(16))
  stale = files.About("GANSpace", "", -1, 1)
  files.write_fitted(out / "pca9.npz", np.ones(16), stale)
  done = command(
      "--weights", folder, "--samples", 1200, "--components", 2, "--sefa", 1
  )
  assert done.returncode == 0, done.stderr
  return done.stderr, json.loads((out / search.REPORT).read_text())


@pytest.fixture
def fewer(monkeypatch):
  """Less to measure, for tests that do not look at the numbers."""
  monkeypatch.setattr(search, "_MEASURED", 16)
  monkeypatch.setattr(candidates, "_CODES", 3000)


def command(*argv):
  environment = os.environ | {
      "JAX_PLATFORMS": "cpu",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
      "XLA_FLAGS": "",
  }
  return subprocess.run(
      [sys.executable, "-m", "sfe_jax.directions", *map(str, argv)],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
      check=False,
  )


def test_the_command_finds_planted_directions(folder, found):
  log, report = found
  names = {"smile", "glasses", "hair_long", "hair_red_ish", "pca1", "pca2",
           "sefa1"}  # fmt: skip
  assert set(report["directions"]) | set(report["left_out"]) >= names
  assert {"freckles", "hair_none"} <= set(report["left_out"])
  for reason in (
      "freckles is left out: the perception network predicts it poorly",
      "hair_none is left out: only 0 of 1200 samples have this label",
  ):
    assert reason in log
  stored = {path.stem for path in files.fitted(folder / "directions")}
  assert stored == set(report["directions"]), "nothing stale is left"
  for name, axis in (("smile", planted()[0]), ("glasses", planted()[1])):
    entry = report["directions"][name]
    arrays = files.read(folder / "directions" / f"{name}.npz")
    assert cosine(arrays["direction"], axis) > 0.8, name
    assert entry["accuracy"] > 0.85
    changes = np.array(entry["score_changes"])
    strengths = np.array(report["strengths"])
    inside = (strengths >= entry["low"]) & (strengths <= entry["high"])
    assert inside.sum() > 1
    assert (np.diff(changes[inside]) > 0).all()
    assert (np.array(entry["distances"])[inside] < ranges.MOST_CHANGE).all()
    one = changes[strengths == 1]
    assert 0.3 < one < 1.5, "a standard deviation moves the score by about one"
    assert entry["low"] == arrays["low"] and entry["high"] == arrays["high"]
  others = report["directions"]["smile"]["others"]
  assert "smile" not in others and {"glasses", "hair=long"} <= set(others)


def test_the_sheet_shows_every_direction(folder, found):
  _, report = found
  sheet = images.read(folder / "directions" / search.SHEET)
  rows = len(report["directions"])
  assert sheet.shape == (18 + (18 + 72) * rows, 72 * 15, 3)


def test_the_registry_lists_and_applies_them(folder, found):
  _, report = found
  generator = weights.module(folder / "generator")
  offered = Registry.of_weights(folder, generator)
  described = {d.name: d for d in offered.describe()}
  assert set(described) == set(report["directions"]), "and no published one"
  smile, entry = described["smile"], report["directions"]["smile"]
  assert (smile.low, smile.high) == (entry["low"], entry["high"])
  assert (smile.family, smile.effect, smile.adds) == (
      "InterFaceGAN", "+ raises smile, - lowers smile", ("smile",),
  )  # fmt: skip
  assert described["hair_long"].adds == ("hair=long",)
  assert smile.available
  assert described["pca1"].family == "GANSpace"
  assert described["pca1"].effect.startswith("mostly: + ")
  assert not described["pca1"].adds
  assert not offered.entry("smile").in_range(smile.high + 1)
  direction = files.read_direction(folder / "directions/smile.npz")
  np.testing.assert_array_equal(
      offered.get("smile").linear, np.tile(direction, (generator.styles, 1))
  )


def test_the_editor_takes_them(folder, found):
  editor = Editor.load(folder)
  inversion = editor.invert(tiny.pictures(1, 16))
  edited = editor.edit(inversion, {"smile": [0, 1]})
  assert np.abs(edited.image[0] - edited.image[1]).max() > 1e-3


def test_phase_2_learns_from_them(folder, found, tmp_path):
  _, report = found
  settings = tiny_phases.config(
      "phase2", edits__set="fitted", edits__user=()
  )
  settings.init.weights = str(folder)
  settings.init.random = False

  def powers(*names, where=folder):
    return training_sets.powers("none", "fitted", names, str(where))

  every = powers()
  assert set(every) == set(report["directions"])
  for name, got in every.items():
    low, high = (report["directions"][name][key] for key in ("low", "high"))
    assert set(got) == {low, low / 2, high / 2, high} - {0}
  edits = phase2._directions(settings, weights.module(folder / "generator"))
  assert len(edits.counts) == len(every)
  assert powers("pca1") == {"pca1": every["pca1"]}
  with pytest.raises(UserError, match="edits.user names nose; fitted are"):
    powers("pca1", "nose")
  with pytest.raises(UserError, match="no fitted directions; python -m"):
    powers(where=tmp_path)


def test_true_labels_give_directions_of_rows(folder, tmp_path, fewer, caplog):
  rng = np.random.default_rng(0)
  light = rng.random(60) < 0.5
  for i, picture in enumerate(tiny.pictures(60, 16)):
    picture = np.uint8(picture * 0.4 + 140 * light[i])
    images.write(tmp_path / f"in/{i:02}.png", picture)
  broken = tmp_path / "in/07.png"
  broken.write_bytes(broken.read_bytes()[:-80])
  rows = "".join(
      f"in/{i:02}.png,{int(x)},{int(i < 3)}\n" for i, x in enumerate(light)
  )
  text = f"file,light,rare\n{rows}"
  (tmp_path / "labels.csv").write_text(text)
  told = {"light": ["lighter picture", "darker picture"]}
  (tmp_path / labels.EFFECTS).write_text(json.dumps(told))
  settings = dataclasses.replace(
      SETTINGS,
      components=0,
      sefa=0,
      data=str(tmp_path / "in"),
      labels=str(tmp_path / "labels.csv"),
  )
  assert search.find(folder, tmp_path / "out", settings) == ["light"]
  assert "skipped: " in caplog.text and "07.png" in caplog.text
  direction = files.read_direction(tmp_path / "out/light.npz")
  assert direction.shape == (6, 16)
  about = files.about(tmp_path / "out/light.npz")
  assert about.effect == "+ lighter picture, - darker picture"
  assert about.adds == ("light",)
  report = json.loads((tmp_path / "out" / search.REPORT).read_text())
  assert report["samples"] == 59
  assert report["left_out"] == {"rare": "only 3 of 59 samples have this label"}
  assert report["directions"]["light"]["family"] == "regression"
  assert report["directions"]["light"]["accuracy"] is None


def test_without_labels_there_is_ganspace_and_sefa(
    folder, tmp_path, fewer
):
  for name in ("generator", "e4e"):
    (tmp_path / name).symlink_to(folder / name)
  bare = Perception(16, (8, 8, 8), embedding=4)
  weights.write(tmp_path / "perception", bare, tiny.fill(bare))
  names = search.find(tmp_path, tmp_path / "out", SETTINGS)
  assert set(names) == {"pca1", "pca2", "sefa1"}
  effects = {a.effect for a in files.fitted(tmp_path / "out").values()}
  assert effects == {
      "no labels: compare low and high in its row of directions/sheet.png"
  }
  none = dataclasses.replace(SETTINGS, components=0, sefa=0)
  with pytest.raises(UserError, match="nothing to look for"):
    search.find(tmp_path, tmp_path / "out", none)


def test_bad_input_is_refused(folder, tmp_path):
  def find(message, where=folder, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    with pytest.raises(UserError, match=message):
      search.find(where, tmp_path / "out", settings)

  find("holds no generator; python -m sfe_jax.convert", tmp_path)
  (tmp_path / "generator").symlink_to(folder / "generator")
  find("holds no perception; train it", tmp_path)
  find("--data and --labels go together", labels="labels.csv")
  find("--data and --labels go together", data=str(tmp_path))
  find("--components is 17, latents have only 16", components=17)
  (tmp_path / "out").mkdir()
  np.savez(tmp_path / "out/pca1.npz", direction=np.ones(16))
  find("pca1.npz already exists")
  assert not (tmp_path / "out" / search.REPORT).exists()


def test_shipped_weights_are_left_alone(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(weights, "SHIPPED", tmp_path)
  (tmp_path / "toy").symlink_to(folder)
  with pytest.raises(UserError, match="--weights toy come with the project"):
    cli.run(program, "--weights", "toy")


def test_mistakes_end_in_one_line(tmp_path):
  cases = {
      "holds no generator": ["--weights", tmp_path],
      "no such weight folder": ["--weights", tmp_path / "none"],
      "--help lists the flags": ["--samples", "5"],
  }
  with concurrent.futures.ThreadPoolExecutor() as pool:
    results = pool.map(lambda argv: command(*argv), cases.values())
  for message, done in zip(cases, results):
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line
