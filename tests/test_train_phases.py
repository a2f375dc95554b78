"""The train command on both phases: runs, goes on, spreads, is loaded."""

import functools
import json
import re
import shutil

import jax
import numpy as np
import portpicker
import pytest

from convert import export, importer
from sfe_jax import Editor
from sfe_jax.errors import UserError
from sfe_jax.storage import checkpoints, weights
from sfe_jax.storage import runs as run_files
from tests import runs as train_runs
from tests import tiny
from tests.runs import losses

STATE = [
    "step", "params", "model_state", "opt_state", "disc_params",
    "disc_opt_state",
]
# Smaller than :smoke, which compiles for minutes on a slow machine.
SIZES = (
    "--config.data.resolution=16",
    "--config.model.resolution=16",
    "--config.model.channels=8,8,8",
    "--config.model.k=1",
    "--config.model.delta_k=1",
    "--config.loss.identity_network=none",
)


class Runs(train_runs.Runs):
  """Trains both phases."""

  def start(self, phase, name, *args):
    return super().start(f"ffhq_{phase}", name, *SIZES, *args)

  def state(self, name):
    return checkpoints.read_state(self.root / name, names=STATE)

  def deployed(self, name):
    """Parameters of the checkpoint that the run deploys."""
    step = run_files.deployed_step(self.root / name)
    return checkpoints.read_state(self.root / name, step)["params"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp("runs"), tiny.pictures(12, 16))


@pytest.fixture(scope="module")
def logs(runs):
  """Gives the log of a run, which it makes when it is asked for."""
  init = f"--config.init.inverter={runs.root / 'phase1'}"
  half = "--config.steps=2"
  commands = {
      "phase1": [("phase1",)],
      "phase2": [("phase2", init)],
      "cut1": [("phase1", half), ("phase1",)],
      "cut2": [("phase2", init, half), ("phase2", init)],
  }

  @functools.cache
  def log(name):
    if name in ("phase2", "cut2"):
      log("phase1")
    return "".join(
        runs.finish(runs.start(phase, name, *args))
        for phase, *args in commands[name]
    )

  return log


@pytest.mark.parametrize(
    "phase", ["phase1", pytest.param("phase2", marks=pytest.mark.slow)]
)
def test_two_and_two_steps_are_four(runs, logs, phase):
  whole, cut = logs(phase), logs(phase.replace("phase", "cut"))
  assert "going on from step 2" in cut
  assert list(losses(whole)) == [1, 2, 3, 4]
  assert losses(cut) == losses(whole)
  assert "loss/d_main" not in losses(whole)[2]
  assert "loss/d_main" in losses(whole)[3]
  states = [runs.state(n) for n in (phase, phase.replace("phase", "cut"))]
  jax.tree.map(np.testing.assert_array_equal, *states)
  assert states[0]["step"] == 4


def test_phase_2_takes_both_networks_of_phase_1(runs, logs):
  source = f"the discriminator starts from {runs.root / 'phase1'}\n"
  assert source in logs("phase2")
  assert "validation/loss is 1 l2 + 0.8 lpips; unlike" in logs("phase2")


def test_the_editor_opens_what_phase_2_leaves(runs, logs):
  logs("phase2")
  editor = Editor.load(runs.root / "phase2/weights")
  result = editor.invert(tiny.pictures(1, 16))
  assert editor.reconstruct(result).shape == (1, 16, 16, 3)
  params = runs.deployed("phase2")
  trained = editor.variables["feature_editor"]["params"]
  jax.tree.map(np.testing.assert_array_equal, dict(trained), params)
  inverter = editor.variables["inverter"]["params"]
  start = runs.deployed("phase1")
  jax.tree.map(np.testing.assert_array_equal, dict(inverter), start)


def test_a_workdir_is_no_weight_folder(runs, logs):
  logs("phase2")
  with pytest.raises(UserError, match="its weights are in .*phase2/weights"):
    Editor.load(runs.root / "phase2")


def test_the_editor_does_without_what_phase_1_lacks(runs, logs):
  logs("phase1")
  folder = runs.root / "phase1/weights"
  both = ["feature_editor", "e4e"]
  hint = "--without=feature_editor --without=e4e"
  with pytest.raises(UserError, match=hint):
    Editor.load(folder)
  editor = Editor.load(folder, without=both)
  inversion = editor.invert(tiny.pictures(1, 16))
  edited = editor.edit(inversion, {})
  np.testing.assert_array_equal(edited.f_k, inversion.f_k)
  np.testing.assert_allclose(
      edited.image, editor.reconstruct(inversion), atol=1e-4
  )


def test_checkpoints_are_exported(runs, logs, tmp_path):
  """A checkpoint, its official files, and back: equal to the bit."""
  logs("phase2")
  pytest.importorskip("torch")
  for run, names in (
      ("phase1", {"inverter", "generator", "discriminator"}),
      ("phase2", {
          "inverter", "generator", "discriminator", "feature_editor", "e4e",
      }),
  ):  # fmt: skip
    official, back = tmp_path / run, tmp_path / f"{run}-back"
    export.export_run(runs.root / run, official, step=2)
    main = "inverter" if run == "phase1" else "feature_editor"
    written = {path.stem for path in official.iterdir()}
    assert written == {main, "discriminator"}
    importer.import_files([official / f"{main}.pt"], back)
    assert {p.parent.name for p in back.glob("*/network.json")} == names
    for name, want in (
        (main, checkpoints.read_state(runs.root / run, 2)["params"]),
        (
            "discriminator",
            checkpoints.read_state(runs.root / run, 2, ["disc_params"])[
                "disc_params"
            ],
        ),
    ):
      _, got = weights.read(back / name)
      jax.tree.map(np.testing.assert_array_equal, dict(got["params"]), want)
  with pytest.raises(UserError, match=r"holds no checkpoint 3, only \[.*4\]"):
    export.export_run(runs.root / "phase1", tmp_path / "none", step=3)


@pytest.mark.slow  # test_train has two processes with a stage of its own
def test_two_processes_equal_one(runs, logs):
  address = f"127.0.0.1:{portpicker.pick_unused_port()}"
  both = [
      runs.start(
          "phase1", "pod", f"--coordinator={address}", "--processes=2",
          f"--process={i}",
      )
      for i in range(2)
  ]  # fmt: skip
  texts = [process.communicate(timeout=400)[0] for process in both]
  assert [process.returncode for process in both] == [0, 0], "\n".join(texts)
  assert "process 0 of 2" in texts[0] and not losses(texts[1])
  whole, pod = losses(logs("phase1")), losses(texts[0])
  for step in whole:  # gradients of one share would have another norm
    one, two = (
        {k: float(v) for k, v in re.findall(r"([\w/]+)=([^,]+)", log[step])}
        for log in (whole, pod)
    )
    assert one.keys() == two.keys()
    for name in one:
      assert two[name] == pytest.approx(one[name], rel=1e-5), (step, name)
  assert json.loads((runs.root / "pod/run.json").read_text())[0][
      "processes"
  ] == 2
  for name in ("params", "disc_params"):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7),
        runs.state("pod")[name],
        runs.state("phase1")[name],
    )


def test_a_wrong_inverter_is_named(runs, logs):
  logs("phase2")
  other = runs.root / "other"
  shutil.copytree(runs.root / "phase1", other)
  document = json.loads((other / "trained.json").read_text())
  document["networks"]["inverter"]["sizes"]["w_dim"] = 32
  (other / "trained.json").write_text(json.dumps(document))
  mistakes = {
      ("phase2", f"--config.init.inverter={runs.root / 'phase2'}"): (
          "phase2: trains feature_editor, discriminator, not inverter"
      ),
      ("phase2", f"--config.init.inverter={other}"): (
          "other: the checkpoint does not fit its inverter: buffers/backbone"
      ),
      (
          "phase2",
          f"--config.init.inverter={runs.root / 'phase1'}",
          "--config.model.w_dim=32",
      ): "generator and inverter do not fit: latent width 32 against 16",
  }
  started = {
      (phase, *args): runs.start(phase, "none", *args)
      for phase, *args in mistakes
  }
  for key, process in started.items():
    error = runs.finish(process, code=2).strip().splitlines()[-1]
    assert error.startswith("error: "), key
    assert mistakes[key] in error, key
  assert not (runs.root / "none").exists()
