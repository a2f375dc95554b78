"""Damaged and hostile files, wrong usage, damaged weight folders."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from sfe_jax.errors import UserError
from sfe_jax.storage import weights
from tests import official_files, tiny
from tests.tiny_official import (
  NETWORKS,
  editor_state,
  latent_avg,
  run,
  state,
  tree,
)

ROOT = pathlib.Path(__file__).resolve().parents[1]
write = official_files.write_torch


def without(contents, key):
  return {k: v for k, v in contents.items() if k != key}


def _state_dict(change):
  return {"state_dict": editor_state()["state_dict"] | change}


def _damaged_generator(**change):
  return {"g_ema": state("generator") | change, "latent_avg": latent_avg(512)}


BAD = {
    "unknown key": (
        _state_dict({"encoder.body.0.extra": np.ones(2)}),
        r"1 unknown tensor\(s\): body.0.extra;",
    ),
    "unknown entry": (
        editor_state() | {"landmarks": np.ones(2)},
        "unknown entries beside the known ones: landmarks",
    ),
    "missing key": (
        {
            "state_dict": without(
                editor_state()["state_dict"], "encoder.body.0.body.3.weight"
            )
        },
        r"1 missing tensor\(s\): body.0.body.3.weight;",
    ),
    "missing size": (
        without(state("iresnet50"), "layer2.0.conv1.weight"),
        "iresnet50: layer2.0.conv1.weight is missing or has the wrong shape",
    ),
    "shape": (
        _state_dict({"encoder.conv.bias": np.ones((2, 3))}),
        r"conv.bias has shape \(2, 3\), expected \(6,\)",
    ),
    "flat tensor": (
        _state_dict({"encoder.conv.weight": np.ones(())}),
        "tensor that shows the network's size is missing or has the wrong",
    ),
    "counter": (
        _state_dict(
            {"encoder.body.0.body.0.num_batches_tracked": np.zeros((2, 2))}
        ),
        r"num_batches_tracked has shape \(2, 2\) .*expected a whole number",
    ),
    "mapper": (
        state("delta_mapper") | {"cm_fine.mapping.1.weight": np.ones(3)},
        "tensor that shows the network's size is missing or has the wrong",
    ),
    "no latent_avg": (
        {"state_dict": state("inverter", prefix="encoder.")},
        "inverter: the file lacks latent_avg, which is added to this",
    ),
    "latent_avg": (
        {"g_ema": state("generator"), "latent_avg": np.ones((7, 512))},
        r"latent_avg has shape \(7, 512\), expected \(4, 512\)",
    ),
    "text for latent_avg": (
        {
            "state_dict": state("inverter", prefix="encoder."),
            "latent_avg": "none",
        },
        "the file lacks latent_avg",
    ),
    "our entry": (
        editor_state() | {"sfe_jax": '{"feature_editor": {"sizes": {}}}'},
        'entry "sfe_jax" holds an unknown network',
    ),
    "our entry's text": (
        editor_state() | {"sfe_jax": "{"},
        'entry "sfe_jax" is damaged',
    ),
    "e4e head": (
        {"encoder." + k: v for k, v in state("e4e").items() if "convs" not in k}
        | {"encoder.styles.0.convs.0.weight": np.ones(1)},
        "e4e: ",
    ),
    "html": (b"<!DOCTYPE html>", "HTML page.*download it again"),
    "truncated": (lambda data: data[: len(data) // 2], "truncated or damaged"),
    "hostile": (official_files.Hostile(os.system, "touch MARK"), "refused"),
    "hostile pickle": (
        official_files.pickle_of_global("os", "system", "touch MARK"),
        "refers to os.system.*refused",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("is_new", (True, False))
def test_a_bad_file_leaves_everything_as_it_was(
    tmp_path, monkeypatch, case, is_new
):
  """One line names file and tensor; the good file is not converted either."""
  contents, message = BAD[case]
  monkeypatch.chdir(tmp_path)
  src, dst = tmp_path / "src", tmp_path / "dst"
  src.mkdir()
  write(src / "a.pt", editor_state(0))
  if not is_new:
    write(tmp_path / "old.pt", editor_state(1))
    run("--src", tmp_path / "old.pt", "--dst", dst)
  before = tree(dst)
  bad = src / "b.pt"
  if isinstance(contents, bytes):
    bad.write_bytes(contents)
  elif callable(contents):
    bad.write_bytes(contents((src / "a.pt").read_bytes()))
  else:
    write(bad, contents)
  with pytest.raises(UserError, match=message) as caught:
    run("--src", src, "--dst", dst)
  assert "\n" not in str(caught.value) and "b.pt" in str(caught.value)
  assert tree(dst) == before
  left = {"src", "old.pt", "dst"} if not is_new else {"src"}
  assert {p.name for p in tmp_path.iterdir()} == left


def test_destination_that_cannot_be_written(tmp_path):
  write(tmp_path / "net.pt", editor_state())
  with pytest.raises(UserError, match="net.pt is a file; --dst is the weight"):
    run("--src", tmp_path / "net.pt", "--dst", tmp_path / "net.pt")


@pytest.mark.parametrize(
    "argv, message",
    (
        ((), "give --src FILE_OR_FOLDER and --dst FOLDER"),
        (("--src", "."), "give --src FILE_OR_FOLDER and --dst FOLDER"),
        (("--src", "empty", "--dst", "d"), "empty: no weight file in this"),
        (("--src", "a", "--dst", "d"), "a: no such file or folder"),
        (("--export", "--src", "empty", "--dst", "d"), "neither a weight"),
        (
            ("--export", "--src", "a", "--src", "b", "--dst", "d"),
            "--export takes one --src",
        ),
    ),
)
def test_usage(tmp_path, monkeypatch, argv, message):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "empty").mkdir()
  with pytest.raises(UserError, match=message):
    run(*argv)
  assert os.listdir() == ["empty"]


def program(*argv, cwd, module="convert"):
  """Runs the command line as users do."""
  return subprocess.run(
      [sys.executable, "-m", module, *map(str, argv)],
      cwd=cwd,
      env={**os.environ, "PYTHONPATH": str(ROOT)},
      capture_output=True,
      text=True,
      timeout=300,
  )


def test_exit_codes_and_messages(tmp_path):
  write(tmp_path / "good.pt", editor_state())
  (tmp_path / "bad.pt").write_bytes(b"<html>")
  for argv, message in (
      (["--src", "bad.pt", "--dst", "dst"], "bad.pt is an HTML page"),
      (["--scr", "good.pt", "--dst", "dst"], "Unknown command line flag 'scr'"),
      (["good.pt"], "unexpected argument 'good.pt'"),
      (["--src", "good.pt", "--dst", "/proc/none"], "/proc/none"),
  ):
    done = program(*argv, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line
    assert not (tmp_path / "dst").exists()
  argv = ("--src", "good.pt", "--dst", "dst")
  done = program(*argv, cwd=tmp_path, module="sfe_jax.convert")
  assert done.returncode == 0
  assert done.stderr.splitlines() == ["good.pt: feature_editor"]
  document = tmp_path / "dst" / "feature_editor" / "network.json"
  assert json.loads(document.read_text())["network"] == "FeatureEditor"


@pytest.fixture
def folder(tmp_path):
  """A weight folder of one network."""
  _, module = NETWORKS["feature_editor"]
  weights.write(tmp_path / "net", module, tiny.fill(module))
  return tmp_path / "net"


def _truncate(folder):
  path = max((folder / "variables").rglob("*"), key=lambda p: p.stat().st_size)
  path.write_bytes(path.read_bytes()[:-1])


def _lose(folder):
  next((folder / "variables" / "d").iterdir()).unlink()


def _describe(**change):
  def edit(folder):
    path = folder / "network.json"
    document = json.loads(path.read_text())
    # As in version 0.1: checksums would refuse every change.
    del document["crc32"], document["document_crc32"]
    path.write_text(json.dumps(document | change))

  return edit


@pytest.mark.parametrize(
    "damage, message",
    (
        (_truncate, "weights are damaged: variables/.* bytes instead of"),
        (_lose, "weights are damaged: variables/d/.* 0 bytes instead of"),
        (_describe(format=2), "not of format 1"),
        (_describe(network="Net"), "unknown network 'Net'"),
        (_describe(sizes={"size": 3, "wide": 2}), "sizes do not make a Feat"),
        (_describe(sizes={"features": 7, "depth": 1}), "cannot be read"),
        (lambda folder: (folder / "network.json").unlink(), "holds no weights"),
    ),
)
def test_damaged_weight_folders(folder, damage, message):
  damage(folder)
  with pytest.raises(UserError, match=message) as caught:
    weights.read(folder)
  assert "\n" not in str(caught.value)


def test_failing_to_write_keeps_what_was_there(folder, monkeypatch):
  before = tree(folder.parent)
  rename = pathlib.Path.rename

  def failing(self, target):
    if ".new-" in self.name:
      raise OSError("disk on fire")
    return rename(self, target)

  monkeypatch.setattr(pathlib.Path, "rename", failing)
  _, module = NETWORKS["feature_editor"]
  with pytest.raises(OSError, match="on fire"):
    weights.write(folder, module, tiny.fill(module, 1))
  assert tree(folder.parent) == before
