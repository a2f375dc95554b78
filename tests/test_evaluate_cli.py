"""The command lines `evaluate` (tiny random networks) and `metrics.tables`."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from sfe_jax import Editor, evaluate
from sfe_jax.errors import UserError
from sfe_jax.metrics import protocols, tables, truth
from sfe_jax.models.perception import Perception
from sfe_jax.storage import images, weights
from tests import cli, tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZE = 64
LABELS = [
    {"name": "smile", "kind": "continuous", "choices": [], "mean": 0, "std": 1}
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Weights of an editor, a perception network and three directions."""
  folder = tmp_path_factory.mktemp("weights")
  tiny.write_weights(folder)
  perception = Perception(16, (8, 8, 8), embedding=6, outputs=1)
  weights.write(
      folder / "perception",
      perception,
      tiny.fill(perception),
      {"labels": LABELS},
  )
  (folder / "directions").mkdir()
  direction = np.random.RandomState(0).standard_normal((1, 512))
  direction = np.float32(direction)
  np.savez(folder / "directions" / "smile", direction=direction)  # published
  np.savez(folder / "directions" / "mine", direction=direction)
  np.savez(
      folder / "directions" / "beard",
      direction=direction, low=-10.0, high=10.0,
      family="regression of labels", effect="+ more beard",
  )  # fmt: skip
  return folder


@pytest.fixture(scope="module")
def editor(folder):
  """Compiled once, for the command line and for what it is compared with."""
  return Editor.load(folder, domain="faces", batch_size=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Five pictures, their labels, and a file that is not a picture."""
  data = tmp_path_factory.mktemp("data")
  for i, picture in enumerate(tiny.pictures(5)):
    images.write(data / "sub" / f"{i}.png", picture)
  (data / "sub" / "bad.png").write_text("no picture")
  lines = ["file,smile,beard", "sub/bad.png,1,1"]
  lines += [f"sub/{i}.png,{i % 2},{i % 2}" for i in range(5)]
  (data / "labels.csv").write_text("\n".join(lines) + "\n")
  return data


@pytest.fixture
def run(folder, editor, tmp_path, monkeypatch):
  """Runs the command line in an empty folder and returns the report."""
  monkeypatch.chdir(tmp_path)
  load = Editor.load

  def load_once(folder, *, without, **options):
    return load(folder, without=without, **options) if without else editor

  monkeypatch.setattr(Editor, "load", load_once)

  def run(*argv):
    argv = ("--out", "new/out.json", "--domain", "faces", *argv)
    argv = ("--weights", folder, *argv)
    assert cli.run(evaluate, *argv) == 0
    return json.loads(pathlib.Path("new/out.json").read_text())

  return run


def l2(x, y):
  return np.mean(np.square((x - y.astype(float)) / 127.5))


def test_inversion_of_the_editor(run, editor, data, caplog):
  got = run("--protocol", "inversion", "--dir", data, "--batch_size", 2)
  inversion = editor.invert(tiny.pictures(5))
  want = images.to_uint8(editor.reconstruct(inversion))
  results = got.pop("results")
  assert results["count"] == 5 and got["skipped"] == 1
  np.testing.assert_allclose(
      results["l2"], l2(want, tiny.pictures(5)), rtol=1e-3
  )
  assert {"perceptual", "identity", "ms_ssim", "fid"} < results.keys()
  assert (got["protocol"], got["name"], got["size"]) == ("inversion", "sfe", 64)
  assert got["measures"] == {
      "perceptual": "perception", "identity": "perception",
      "features": "perception", "ms_ssim_scales": 3,
  }  # fmt: skip
  assert got["pictures"]["folder"] == str(data)
  assert got["pictures"]["formats"] == {"png": 6}
  assert got["weights"].keys() == {
      "generator", "inverter", "feature_editor", "e4e"
  }
  assert got["networks"].keys() == {"perception"}
  assert got["versions"]["jax"] and got["command"] and got["time"]
  assert "bad.png: not a readable image" in caplog.text


def test_editing_without_networks(run, data):
  """The Inverter alone, --count, sides of the edit, different hashes."""
  got = run(
      "--protocol", "editing", "--dir", data, "--edit", "beard=-2",
      "--attribute", "beard<0.5", "--positive", "removes", "--domain", "none",
      "--labels", data / "labels.csv", "--count", 5, "--batch_size", 2,
      "--without", "feature_editor", "--without", "e4e", "--name", "w/o H",
  )  # fmt: skip
  assert got["without"] == ["e4e", "feature_editor"]
  assert got["name"] == "w/o H"
  assert got["edit"] == {
      "name": "beard", "strength": -2, "attribute": "beard<0.5",
      "effect": "adds", "edited": "without",
      "reason": "--positive=removes",
  }  # fmt: skip
  results = got["results"]
  assert (results["count_compared"], results["count_edited"]) == (3, 2)
  assert results["fid"] != results["fid_unedited"]
  hashes = got["weights"]
  assert hashes.keys() == {"generator", "inverter"}
  assert got["directions"].keys() == {"directions/beard.npz"}
  digests = [*hashes.values(), *got["directions"].values()]
  assert len(set(digests)) == 3


def test_truth_of_the_encoder_alone(run, editor, monkeypatch):
  """G(E(x)) and G(E(x) + edit), on the pairs after the calibration's."""
  monkeypatch.setattr(truth, "CALIBRATION", 2)
  got = run(
      "--protocol", "truth", "--method", "e4e", "--attribute", "smile",
      "--edit", "smile=2", "--count", 3, "--seed", 7, "--batch_size", 2,
  )  # fmt: skip
  assert (got["seed"], got["count"]) == (7, 3)
  assert got["weights"].keys() == {"generator", "e4e"}
  assert got["directions"].keys() == {"directions/smile.npz"}
  results = got["results"]["smile"]
  assert results["strength"] == 2 and not results["calibrated"]
  source = truth.pairs("smile", 7, SIZE)
  pairs = np.stack([next(source) for _ in range(5)][2:])
  models, variables = tiny.networks()
  direction = editor.directions.get("smile").linear

  @jax.jit
  def generate(variables, pictures, offset):
    x = jnp.float32(pictures) / 127.5 - 1
    w_plus = models.e4e.apply(variables["e4e"], x) + offset
    return models.generator.apply(
        variables["generator"], w_plus, method="synthesize"
    )

  before, true = pairs[:, 0], pairs[:, 1]
  made = {
      "edit": images.to_uint8(generate(variables, before, 2 * direction)),
      "floor": images.to_uint8(generate(variables, true, 0 * direction)),
      "input": before,
  }
  for name, pictures in made.items():
    np.testing.assert_allclose(
        results[name]["l2"], l2(pictures, true), rtol=1e-3
    )


def test_calibrated_truth(run, monkeypatch):
  monkeypatch.setattr(truth, "CALIBRATION", 2)
  argv = ["--protocol", "truth", "--attribute", "smile", "--batch_size", 2]
  got = run(*argv, "--count", 2)["results"]["smile"]
  assert got["calibrated"] and abs(got["strength"]) <= 1.5 * 10
  assert np.isfinite(got["effect"])


def test_mixed_formats_warn(run, data, caplog, monkeypatch):
  monkeypatch.setattr(protocols, "inversion", lambda *_: {"count": 2})
  for name in ("a.jpg", "b.JPEG"):
    Image.fromarray(tiny.pictures(1)[0]).save(name, format="jpeg")
  got = run("--protocol", "inversion", "--dir", ".")
  assert got["pictures"]["formats"] == {"jpg": 2} and not caplog.records
  images.write("c.png", tiny.pictures(1)[0])
  run("--protocol", "inversion", "--dir", ".")
  assert ". mixes formats (2 jpg, 1 png)" in caplog.text


INVERSION = ["--protocol", "inversion", "--dir", "DATA"]
EDITING = ["--protocol", "editing", "--dir", "DATA"]
TRUTH = ["--protocol", "truth", "--attribute", "smile"]


@pytest.mark.parametrize(
    "argv, message",
    (
        ([], "--protocol is missing"),
        ([*INVERSION, "--weights", "no"], "no: no such weight folder"),
        ([*INVERSION, "--out", ""], "--out is missing"),
        ([*INVERSION, "--without=e4e", "--method=e4e"], "only .* --method sfe"),
        (INVERSION[:2], "needs pictures: --dir FOLDER"),
        ([*INVERSION, "--dir", "no"], "no: no such folder"),
        ([*INVERSION, "--edit", "smile=1"], "does not use --edit"),
        ([*INVERSION, "--perceptual", "lpips_alex"], "lpips_alex holds no"),
        ([*INVERSION, "--networks", "."], "no network for --perceptual"),
        (EDITING, "give one --edit NAME=STRENGTH"),
        ([*EDITING, "--edit", "smile"], "--edit smile: write NAME=STRENGTH"),
        ([*EDITING, "--edit", "smile=nan"], "write NAME=STRENGTH"),
        ([*EDITING, "--edit", "smile=1,2"], "one strength is measured at"),
        ([*EDITING, "--edit", "smile=1"], "needs --labels"),
        ([*EDITING, "--edit", "smile=1", "--labels", "x"], "x: no such file"),
        (
            [*EDITING, "--edit", "grin=1", "--labels", "DATA/labels.csv"],
            "no column 'grin'",
        ),
        (
            [*EDITING, "--edit", "aeg=1", "--labels", "DATA/labels.csv",
             "--attribute", "smile"],
            "unknown direction 'aeg'",
        ),
        (
            [*EDITING, "--edit", "mine=1", "--labels", "DATA/labels.csv",
             "--attribute", "smile"],
            "'mine' does not say .* --positive=adds or --positive=removes",
        ),
        ([*TRUTH, "--dir", "."], "does not use --dir"),
        ([*TRUTH, "--attribute", "hat"], "true edits of .*, not 'hat'"),
        ([*TRUTH, "--edit", "skin=1"], "--attribute does not name"),
        ([*INVERSION, "--out", "."], "--out . is a folder; name a JSON file"),
        ([*TRUTH, "--attribute", "skin"], "unknown direction 'skin'"),
        ([*TRUTH, "--attribute", "glasses"], "'glasses' is not available"),
    ),
)  # fmt: skip
def test_mistakes_have_a_clear_message(run, data, argv, message):
  argv = [a.replace("DATA", str(data)) for a in argv]
  with pytest.raises(UserError, match=message) as caught:
    run(*argv)
  assert "\n" not in str(caught.value)
  assert not pathlib.Path("new").exists()


_PROGRAM = """
import runpy, sys
try:
  runpy.run_module("sfe_jax.evaluate", run_name="__main__", alter_sys=True)
finally:
  unneeded = {"torch", "tensorflow", "grain", "clu", "ml_collections"}
  unneeded |= {"convert", "jinja2", "matplotlib"}
  heavy = unneeded & set(sys.modules)
  print(f"heavy: {sorted(heavy)}")
"""


def test_exit_code_and_imports(folder, tmp_path):
  argv = ["--weights", folder, "--protocol", "inversion", "--out", "x"]
  done = subprocess.run(
      [sys.executable, "-c", _PROGRAM, *map(str, argv)],
      cwd=tmp_path,
      env=os.environ | {"PYTHONPATH": str(ROOT)},
      capture_output=True,
      text=True,
      timeout=300,
  )
  assert done.returncode == 2
  assert done.stdout.splitlines() == ["heavy: []"]
  message = "--protocol inversion needs pictures: --dir FOLDER"
  assert done.stderr.splitlines() == [f"error: {message}"]


def report(protocol, name, results, **more):
  return {
      "protocol": protocol, "name": name, "size": 64, "networks": {"p": "1"},
      "measures": {"perceptual": "perception"}, "results": results, **more,
  }  # fmt: skip


def reports():
  """Two methods, three protocols."""
  found = {}
  for name, factor in (("e4e", 1), ("SFE", 0.1)):
    found[f"{name}-inversion"] = report(
        "inversion", name,
        {"count": 9, "l2": 0.05 * factor, "fid": 1234.5 * factor,
         "identity": None, "seconds_per_picture": 0.5 * factor},
        pictures={"files": "ab"},
    )  # fmt: skip
    edit = {"name": "smile", "strength": 3, "attribute": "smile",
            "effect": "removes"}  # fmt: skip
    found[f"{name}-smile"] = report(
        "editing", name,
        {"count_compared": 4, "count_edited": 5, "fid": 40.0 * factor,
         "fid_unedited": 60.0 + factor / 10},
        edit=edit, pictures={"files": "ab"},
    )  # fmt: skip
    errors = {"l2": 0.02, "l2_changed": 0.2, "perceptual": 0.1}
    values = {"strength": 2.0, "effect": 0.97, "input": errors}
    values |= {"edit": {k: v * factor for k, v in errors.items()}}
    values |= {"floor": {k: v * factor / 2 for k, v in errors.items()}}
    found[f"{name}-truth"] = report(
        "truth", name, {"age": values}, seed=1, count=500
    )
  return found


def test_tables(tmp_path, capsys):
  files = []
  for name, document in reports().items():
    (tmp_path / name).write_text(json.dumps(document))
    files.append(str(tmp_path / name))
  assert cli.run(tables, *files) == 0
  first, *others = capsys.readouterr().out.split("\n\n|")
  assert first == "Inversion and editing quality:"
  assert others[0].splitlines() == [
      "  | L2 | FID | FID smile (-) | s/picture |",
      "| --- | --- | --- | --- | --- |",
      "| no edit |  |  | 60.1 |  |",
      "| e4e | 0.05 | 1234 | 40 | 0.5 |",
      "| SFE | 0.005 | 123 | 4 | 0.05 |",
      "",
      "L2 to the true edited picture:",
  ]
  assert others[1].splitlines()[2:7] == [
      "| no edit | 0.02 |",
      "| e4e | 0.02 |",
      "| e4e, truth inverted | 0.01 |",
      "| SFE | 0.002 |",
      "| SFE, truth inverted | 0.001 |",
  ]
  assert others[-1].splitlines()[2:] == [
      "| e4e | 2.00 (97 %) |",
      "| SFE | 2.00 (97 %) |",
  ]


@pytest.mark.parametrize(
    "change, message",
    (
        ({"size": 32}, "e4e-truth and SFE-truth were not measured alike: size"),
        ({"seed": 2}, "seed is 1 and 2"),
        ({"networks": {"p": "2"}}, "networks is {'p': '1'} and {'p': '2'}"),
        ({"name": "e4e"}, "'e4e' already has another number"),
    ),
)
def test_what_is_not_comparable_is_refused(change, message):
  documents = reports()
  documents["SFE-truth"] |= change
  with pytest.raises(UserError, match=message):
    tables.markdown(documents)


def test_other_pictures_are_refused():
  for name in ("SFE-inversion", "SFE-smile"):
    documents = reports()
    documents[name]["pictures"] = {"files": "cd"}
    with pytest.raises(UserError, match="measured alike: files is ab and cd"):
      tables.markdown(documents)
  documents = reports()
  documents["SFE-smile"]["results"]["fid_unedited"] = 12.0
  with pytest.raises(UserError, match="'no edit' already has another"):
    tables.markdown(documents)


def test_numbers():
  numbers = (0.01234, 1.0, 123.45, 999.4, 999.7, 12345.6)
  texts = ["0.0123", "1", "123", "999", "1000", "12346"]
  assert [tables.number(x) for x in numbers] == texts


@pytest.mark.parametrize(
    "text, message",
    (
        ("{", "x.json cannot be read"),
        ("[]", "x.json is not a report of this version"),
        ('{"protocol": "truth"}', "x.json is not a report of this version"),
    ),
)
def test_files_that_are_no_reports(tmp_path, text, message):
  path = tmp_path / "x.json"
  path.write_text(text)
  with pytest.raises(UserError, match=message):
    cli.run(tables, path)


def test_tables_need_files():
  with pytest.raises(UserError, match="nowhere: no such file"):
    cli.run(tables, "nowhere")
  with pytest.raises(UserError, match="name report files"):
    cli.run(tables)


def test_tables_help():
  done = subprocess.run(
      [sys.executable, "-m", "sfe_jax.metrics.tables", "x.json", "--help"],
      cwd=ROOT, capture_output=True, text=True, timeout=300,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert "python -m sfe_jax.metrics.tables FILE.json" in done.stdout
