"""The training loop, on a stage that trains in milliseconds."""

import os
import signal
import sys

import jax
import numpy as np
import pytest
from absl import logging
from jax.experimental.compilation_cache import compilation_cache
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from sfe_jax import data, devices
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.storage import checkpoints, runs
from sfe_jax.training import loop, meter
from tests import toy_stage

ALL = [
    "step", "params", "model_state", "opt_state", "disc_params",
    "disc_opt_state",
]


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
  """The runs of these tests share their compiled code."""
  settings = {
      "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
      "jax_persistent_cache_min_compile_time_secs": 0.0,
  }
  before = {name: getattr(jax.config, name) for name in settings}
  for name, value in settings.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


def config(**changes):
  config = toy_stage.get_config()
  config.update_from_flattened_dict(
      {key.replace("__", "."): value for key, value in changes.items()}
  )
  return config


def run(workdir, config, pictures=None):
  pictures = toy_stage.Pictures() if pictures is None else pictures
  train, held_out = data.hold_out(pictures, config.data.validation_count)
  how = {"batch_size": config.data.batch_size, "process": 0, "processes": 1}
  return loop.run(
      toy_stage.build(config),
      config,
      workdir,
      data.loader(train, seed=config.seed, **how),
      data.validation_batches(held_out, **how),
  )


def scalars(workdir):
  """{tag: {step: value}} of the TensorBoard files."""
  events = event_accumulator.EventAccumulator(
      str(workdir / "tensorboard"), {"tensors": 0, "images": 0}
  ).Reload()
  return {
      tag: {
          e.step: float(np.frombuffer(e.tensor_proto.tensor_content, "<f4")[0])
          if e.tensor_proto.tensor_content
          else e.tensor_proto.float_val[0]
          for e in events.Tensors(tag)
      }
      for tag in events.Tags()["tensors"]
      if tag != "grid"
  }


def same_state(a, b):
  jax.tree.map(
      np.testing.assert_array_equal,
      checkpoints.read_state(a, names=ALL),
      checkpoints.read_state(b, names=ALL),
  )


def stop_after(monkeypatch, steps):
  """Sends SIGTERM while batch number `steps` is on its way."""
  split, calls = devices.split, []

  def counting_split(tree):
    if tree.image.shape[0] == 4:
      calls.append(None)
      if len(calls) == steps:
        os.kill(os.getpid(), signal.SIGTERM)
    return split(tree)

  monkeypatch.setattr(devices, "split", counting_split)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """Seven steps without interruption."""
  workdir = tmp_path_factory.mktemp("whole")
  assert run(workdir, config(steps=7, log__validate_every=3)) is None
  return workdir


def test_two_and_two_are_four(tmp_path, whole):
  assert run(tmp_path, config(steps=4, log__validate_every=3)) is None
  assert run(tmp_path, config(steps=7, log__validate_every=3)) is None
  same_state(tmp_path, whole)
  got, want = scalars(tmp_path), scalars(whole)
  assert list(want["loss/l2"]) == list(range(1, 8))
  assert got["loss/l2"] == want["loss/l2"]
  assert got["loss/rms"] == want["loss/rms"]
  assert got["loss/third"] == want["loss/third"]
  third = {step: want["loss/l2"][step] for step in (1, 4, 7)}
  assert want["loss/third"] == third
  for step in (0, 3, 6, 7):
    for name in ("validation/l1", "validation/l2"):
      assert got[name][step] == want[name][step]
  assert len(set(want["loss/l2"].values())) == 7


def test_sigterm_saves_and_the_same_command_goes_on(
    tmp_path, whole, monkeypatch
):
  settings = config(steps=7, log__validate_every=3, checkpoint__every=100)
  handler = signal.getsignal(signal.SIGTERM)
  with monkeypatch.context() as patch:
    stop_after(patch, 3 + 2)  # two validation batches come first
    assert run(tmp_path, settings) == signal.SIGTERM
  assert signal.getsignal(signal.SIGTERM) == handler
  assert checkpoints.latest_step(tmp_path) == 3
  assert run(tmp_path, settings) is None
  same_state(tmp_path, whole)


def test_logged_means_survive_an_interruption(tmp_path, whole, monkeypatch):
  settings = config(steps=7, log__every=5)
  with monkeypatch.context() as patch:
    stop_after(patch, 3 + 2)
    run(tmp_path, settings)
  run(tmp_path, settings)
  single, means = scalars(whole)["loss/l2"], scalars(tmp_path)
  steps = {"loss/l2": (range(1, 6), (6, 7)), "loss/third": ((1, 4), (7,))}
  for name, parts in steps.items():
    assert list(means[name]) == [5, 7]
    wanted = [np.mean([single[i] for i in part]) for part in parts]
    np.testing.assert_allclose(list(means[name].values()), wanted, rtol=1e-6)


def test_curves_of_a_run_that_was_stopped(tmp_path, whole, monkeypatch):
  settings = config(steps=7)
  with monkeypatch.context() as patch:
    stop_after(patch, 3 + 2)
    run(tmp_path, settings)
  with open(tmp_path / "metrics.jsonl", "a") as file:
    file.write('{"step": 3, "loss/l2": 99}\n{"step": 3, "loss/\n')
  run(tmp_path, settings)
  curves, single = runs.read_curves(tmp_path), scalars(whole)
  assert list(curves["loss/l2"]) == list(range(1, 8))
  for step, value in curves["loss/l2"].items():
    want = 99 if step == 3 else single["loss/l2"][step]
    np.testing.assert_allclose(value, want, rtol=1e-6)
  assert runs.read_curves(tmp_path / "none") == {}


def test_a_finished_run_does_nothing(whole, caplog):
  before = sorted(whole.rglob("*"))
  logging.get_absl_logger().propagate = True
  with caplog.at_level("INFO"):
    assert run(whole, config(steps=7)) is None
  assert "all 7 steps are done" in caplog.text
  assert sorted(whole.rglob("*")) == before


def test_nan_stops_the_run(tmp_path):
  with pytest.raises(UserError, match="step 5: loss/l2 is nan, loss/rms is"):
    run(
        tmp_path,
        config(steps=9, nan_at=5, checkpoint__every=1, log__every=100),
    )
  assert checkpoints.latest_step(tmp_path) == 4
  state = checkpoints.read_state(tmp_path, names=ALL)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))
  assert run(tmp_path, config(steps=6)) is None


def test_a_meter_looks_a_few_steps_later():
  late = meter.Meter()
  bad = devices.replicate({"good": np.float32(1), "bad": np.float32(np.inf)})
  good = devices.replicate({"good": np.float32(1), "bad": np.float32(3)})
  late.add(1, good)
  late.add(2, bad)
  late.add(3, good)
  with pytest.raises(UserError, match="step 2: bad is inf; "):
    late.add(4, good)


def test_validation_is_the_mean_over_all_pictures(whole):
  pictures = toy_stage.Pictures()
  _, held_out = data.hold_out(pictures, 5)
  stage = toy_stage.build(config())
  batch = Batch(np.stack([held_out[i] for i in range(5)]))
  values = jax.jit(stage.validate)(stage.state, stage.frozen, batch)
  for name, value in values.items():
    np.testing.assert_allclose(
        scalars(whole)[f"validation/{name}"][0], np.mean(value), rtol=1e-6
    )


def test_the_best_checkpoint_is_kept(tmp_path):
  settings = config(
      steps=12, log__validate_every=1, checkpoint__every=100,
      checkpoint__keep=1,
  )
  settings.optimizer.learning_rate = 0.3  # too much: the loss goes up and down
  run(tmp_path, settings)
  losses = scalars(tmp_path)["validation/l2"]
  del losses[0]
  best = min(losses, key=losses.get)
  assert best not in (1, 12)
  kept = {int(p.name) for p in (tmp_path / "checkpoints").iterdir()}
  assert kept == {best, 12}


def test_best_must_be_a_score(tmp_path):
  with pytest.raises(UserError, match="best must be one of l1, l2, got 'x'"):
    run(tmp_path, config(checkpoint__best="x"))


def test_grids(tmp_path):
  run(tmp_path, config(steps=3, log__grid_every=2))
  names = sorted(p.name for p in (tmp_path / "grids").iterdir())
  assert names == ["step_000000.png", "step_000002.png", "step_000003.png"]
  sheet = np.asarray(Image.open(tmp_path / "grids/step_000002.png"))
  assert sheet.shape == (18 + 3 * 128, 2 * 128, 3)
  _, held_out = data.hold_out(toy_stage.Pictures(), 5)
  for i in range(3):
    tile = sheet[18 + 128 * i : 18 + 128 * (i + 1), :128]
    np.testing.assert_allclose(
        tile.mean((0, 1)), held_out[i].mean((0, 1)), atol=3
    )
  events = event_accumulator.EventAccumulator(
      str(tmp_path / "tensorboard"), {"tensors": 0}
  ).Reload()
  assert [e.step for e in events.Tensors("grid")] == [0, 2, 3]


def test_without_held_out_pictures(tmp_path):
  run(tmp_path, config(data__validation_count=0))
  assert checkpoints.latest_step(tmp_path) == 4
  assert not (tmp_path / "grids").exists()
  assert not any(tag.startswith("validation") for tag in scalars(tmp_path))


def test_speed_and_profile(tmp_path):
  run(tmp_path, config(steps=9, log__every=3, log__profile_at=1))
  got = scalars(tmp_path)
  assert list(got["train/steps_per_second"]) == [3, 6, 9]
  assert list((tmp_path / "tensorboard/plugins/profile").iterdir())


def test_the_learning_rate_is_logged(tmp_path):
  settings = config(steps=4, optimizer__anneal=0.5, log__every=2)
  run(tmp_path, settings)
  rates = scalars(tmp_path)["train/learning_rate"]
  # Steps 3 and 4 fall from 1e-2 along half a cosine.
  assert list(rates) == [2, 4]
  np.testing.assert_allclose(list(rates.values()), [1e-2, 5e-3], rtol=1e-5)


def test_without_tensorflow_the_log_remains(tmp_path, monkeypatch, caplog):
  monkeypatch.setitem(sys.modules, "tensorflow", None)
  logging.get_absl_logger().propagate = True
  with caplog.at_level("INFO"):
    run(tmp_path, config(steps=4, log__every=2))
  assert caplog.text.count("pip install clu tensorflow-cpu tensorboard") == 1
  assert "[2] loss/l2=" in caplog.text and ", loss/rms=" in caplog.text
  assert "100.0% (4/4), ETA: 0h00m" in caplog.text
  assert (tmp_path / "grids/step_000004.png").exists()
  assert not (tmp_path / "tensorboard").exists()
