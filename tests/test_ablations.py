"""The ablations of table 3: python -m sfe_jax.ablations."""

import json
import os
import pathlib
import re
import shlex

import pytest

from sfe_jax import ablations as program
from sfe_jax.errors import UserError
from sfe_jax.own_domain import ablations, steps
from tests import cli

KINDS = ("truth", "inversion", "smile", "glasses", "age")


@pytest.fixture
def out(tmp_path, monkeypatch):
  """What the chain leaves, as far as the ablations look at it."""
  monkeypatch.setattr(steps, "backend", lambda: "cpu")
  out = tmp_path / "my out"
  (out / "editor").mkdir(parents=True)
  (out / "data").mkdir()
  about = {"source": "/faces", "size": 64, "pictures": 50_000}
  (out / "data/about.json").write_text(json.dumps(about))
  return out


def test_dry_run(out, capsys):
  (out / "no_e4e").mkdir()
  (out / "no_e4e/done").touch()
  assert cli.run(program, out, "--dry_run") == 0
  commands = [shlex.split(x) for x in capsys.readouterr().out.splitlines()]
  assert commands[0][3:] == [
      f"--dst={out}/test", "--count=2000", "--size=64", "--seed=1"
  ]  # fmt: skip
  trained = [
      (pathlib.Path(c[3].removesuffix(":64")).stem, pathlib.Path(c[4]).name)
      for c in commands
      if c[2] == "sfe_jax.train"
  ]
  assert trained == [
      ("toy_phase2", "no_inversion_loss"), ("toy_phase2", "few_edits"),
      ("toy_phase1", "no_fuser1"), ("toy_phase2", "no_fuser"),
      ("toy_phase1", "lower_f1"), ("toy_phase2", "lower_f"),
  ]  # fmt: skip
  few = next(c for c in commands if f"--workdir={out}/few_edits" in c)
  assert '--config.edits.user="smile","age","skin"' in few
  lower = next(c for c in commands if f"--workdir={out}/lower_f" in c)
  assert {
      "--config.model.k=5", "--config.model.delta_k=5",  # 7 at 64 px
      f"--config.init.inverter={out}/lower_f1",
  } <= set(lower)  # fmt: skip
  measured = [c for c in commands if c[2] == "sfe_jax.evaluate"]
  assert len(measured) == 8 * 5
  assert not (out / "tables").exists()


class Stub:
  """Stands in for `Children`: trains and measures nothing."""

  received = None

  def __init__(self):
    self.commands = []

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass

  def run(self, command):
    self.commands.append(command[2:])
    flags = dict(a[2:].split("=", 1) for a in command[3:])
    if command[2] == "sfe_jax.train":
      workdir = pathlib.Path(flags["workdir"])
      (workdir / "checkpoints/7").mkdir(parents=True)
      (workdir / "weights").mkdir()
      (workdir / "config.json").write_text('{"steps": 7}')
    elif command[2] == "sfe_jax.evaluate":
      path = pathlib.Path(flags["out"])
      path.parent.mkdir(exist_ok=True)
      strengths = {"smile": 4, "glasses": 3.333, "age": -2}
      results = {k: {"strength": v} for k, v in strengths.items()}
      path.write_text(json.dumps({"results": results}))
    return 0


def test_everything_is_trained_and_measured_once(out, monkeypatch):
  stubs = []
  monkeypatch.setattr(
      ablations, "Children", lambda: stubs.append(Stub()) or stubs[-1]
  )
  tables = []
  monkeypatch.setattr(
      ablations, "_write_tables", lambda *args: tables.append(args)
  )
  assert cli.run(program, out) == 0
  names = [c[0] for c in stubs[0].commands]
  assert names.count("sfe_jax.train") == 7
  assert names.count("sfe_jax.evaluate") == 40 and len(tables) == 1
  # e4e's strengths, at which its edits change as much as the truth.
  edits = {
      a for c in stubs[0].commands for a in c if a.startswith("--edit=")
  }
  assert edits == {
      "--edit=smile=-4.00", "--edit=glasses=3.33", "--edit=age=-2.00"
  }  # fmt: skip
  assert cli.run(program, out) == 0
  assert [c[0] for c in stubs[1].commands] == ["sfe_jax.drawn_faces"]
  newer = out / "no_fuser/weights/new"
  newer.touch()
  os.utime(newer, (2**32, 2**32))
  assert cli.run(program, out) == 0
  again = [a for c in stubs[2].commands for a in c if a.startswith("--out=")]
  found = [re.search(r"(\w+)\.(\w+)\.json", a).groups() for a in again]
  assert found == [("without_Fuser", kind) for kind in KINDS]


def test_a_folder_without_an_editor_is_refused(tmp_path):
  with pytest.raises(UserError, match="does not hold an editor; make one with"):
    cli.run(program, tmp_path)
  with pytest.raises(UserError, match="give OUT"):
    cli.run(program)
