"""Numbered checkpoints: whole, exact, the right ones kept."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import grain
import jax
import jax.numpy as jnp
import numpy as np
import portpicker
import pytest

from sfe_jax import devices
from sfe_jax.errors import UserError
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.storage import checkpoints, weights
from sfe_jax.storage.checkpoints import Checkpoints
from sfe_jax.training import optim
from sfe_jax.training.state import TrainState


def counting():
  """0, 1, 2, ..."""
  return iter(grain.MapDataset.source(np.arange(100)).to_iter_dataset())


def state(seed=0, width=4):
  rng = np.random.default_rng(seed)

  def array(*shape):
    return np.float32(rng.standard_normal(shape))

  params = {"conv": {"kernel": array(3, 3, 2, width), "bias": array(width)}}
  disc = {"dense": {"kernel": array(5)}}
  return jax.tree.map(
      np.asarray,
      TrainState(
          step=np.int32(seed),
          params=params,
          model_state={"batch_stats": {"mean": array(width)}, "empty": {}},
          opt_state=optim.ranger(1e-3).init(params),
          disc_params=disc,
          disc_opt_state=optim.adam(1e-3).init(disc),
      ),
  )


def same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    assert np.asarray(x).dtype == np.asarray(y).dtype
    np.testing.assert_array_equal(x, y)


def kept(workdir):
  return sorted(int(p.name) for p in (workdir / "checkpoints").iterdir())


@pytest.fixture
def saved(tmp_path):
  """A folder with checkpoints 1 and 2."""
  data = counting()
  with Checkpoints(tmp_path) as opened:
    for step in (1, 2):
      next(data)
      opened.save(step, state(step), data, {"x": step / 3})
  return tmp_path


def test_everything_comes_back(saved):
  data = counting()
  with Checkpoints(saved) as opened:
    found = opened.restore(state(), data)
  assert found.step == 2 and found.has_data
  same(found.state, state(2))
  assert all(type(x) is np.ndarray for x in jax.tree.leaves(found.state))
  assert found.meta == {"x": 2 / 3}
  assert next(data) == 2


def test_nothing_to_restore(tmp_path):
  assert checkpoints.latest_step(tmp_path) is None
  assert not list(tmp_path.iterdir())
  with Checkpoints(tmp_path) as opened:
    assert opened.restore(state(), counting()) is None


def test_last_and_best_are_kept(tmp_path):
  losses = {1: 5.0, 2: 0.5, 3: None, 4: 3.0, 5: None}
  with Checkpoints(tmp_path, keep=2) as opened:
    for step, loss in losses.items():
      metrics = loss and {"loss": loss, "other": -step}
      opened.save(step, state(), counting(), {}, metrics)
  assert kept(tmp_path) == [2, 4, 5]
  with Checkpoints(tmp_path, keep=2) as opened:
    assert not opened.is_best({"loss": 0.6})
    assert opened.is_best({"loss": 0.4})
    opened.save(6, state(), counting(), {}, {"loss": 0.6})
  assert kept(tmp_path) == [2, 5, 6]
  with Checkpoints(tmp_path, keep=1, best="other") as opened:
    opened.save(7, state(), counting(), {}, {"loss": 0.1, "other": 0})
  assert kept(tmp_path) == [2, 7]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_never_saved(saved, bad):
  broken = state(3)
  broken.params["conv"]["bias"][1] = bad
  with (
      Checkpoints(saved) as opened,
      pytest.raises(UserError, match="params/conv/bias is not .* step 3; .* 2"),
  ):
    opened.save(3, broken, counting(), {})
  assert kept(saved) == [1, 2]


def test_another_model_is_named(saved):
  with Checkpoints(saved) as opened:
    with pytest.raises(UserError) as error:
      opened.restore(state(width=8), counting())
    message = str(error.value)
    assert f"{saved}/checkpoints/2 is a checkpoint of another model" in message
    assert (
        "model_state/batch_stats/mean is float32(4,) there and float32(8,) in"
        " this run"
    ) in message
    assert "more; use the config" in message
    with pytest.raises(UserError, match="step is int32.. there and float32"):
      opened.restore(state().replace(step=np.float32(0)), counting())
    with pytest.raises(UserError, match="disc_params/dense/.* absent in"):
      opened.restore(state().replace(disc_params=None), counting())


def test_damage_is_named(saved):
  shutil.rmtree(saved / "checkpoints/2/state/d")
  os.remove(saved / "checkpoints/2/state/manifest.ocdbt")
  with (
      Checkpoints(saved) as opened,
      pytest.raises(UserError, match="checkpoints/2: damaged .*delete this"),
  ):
    opened.restore(state(), counting())
  with pytest.raises(UserError, match="checkpoints/2: damaged"):
    checkpoints.read_state(saved)
  shutil.rmtree(saved / "checkpoints/2")
  with Checkpoints(saved) as opened:
    assert opened.restore(state(), counting()).step == 1


def test_unfinished_saves_do_not_count(saved):
  (saved / "checkpoints/3.orbax-checkpoint-tmp/state").mkdir(parents=True)
  assert checkpoints.latest_step(saved) == 2
  with Checkpoints(saved) as opened:
    assert opened.restore(state(), counting()).step == 2
    opened.save(3, state(3), counting(), {})
  assert kept(saved) == [2, 3]


def test_another_number_of_processes_gets_the_state_only(saved):
  path = saved / "checkpoints/2/meta/metadata"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"processes": 2}))
  data = counting()
  with Checkpoints(saved) as opened:
    found = opened.restore(state(), data)
  same(found.state, state(2))
  assert not found.has_data and next(data) == 0


def test_parts_are_read(saved):
  found = checkpoints.read_state(saved)
  assert found.keys() == {"step", "params", "model_state"}
  assert found["step"] == 2
  same(found["params"], state(2).params)
  found = checkpoints.read_state(saved, 1, ["disc_params"])
  same(found, {"disc_params": state(1).disc_params})
  with pytest.raises(UserError, match=r"no checkpoint 7, only \[1, 2\]"):
    checkpoints.read_state(saved, 7)
  with pytest.raises(UserError, match="holds no checkpoint: train first"):
    checkpoints.read_state(saved / "checkpoints")


def test_training_may_go_on_while_it_saves(tmp_path):
  """The next step reuses the memory that is being written."""
  step = devices.pmap(lambda x: jnp.sin(x) + 1.0, donate_state=True)
  x = devices.replicate({"x": np.ones(10_000_000, np.float32)})
  with Checkpoints(tmp_path) as opened:
    x = step(x["x"])
    want = np.array(devices.unreplicate(x))
    opened.save(1, {"x": devices.unreplicate(x)}, counting(), {})
    for _ in range(3):
      x = step(x)
  assert np.ptp(np.asarray(x)) == 0 and np.asarray(x)[0, 0] != want[0]
  found = checkpoints.read_state(tmp_path, names=["x"])
  np.testing.assert_array_equal(found["x"], want)


def one_of_two(process, address, workdir):
  """Saves and restores with the other; process 0 has other weights to save."""
  devices.initialize(address, 2, int(process))
  mkdir = os.mkdir

  def slow(*args, **kwargs):
    time.sleep(0.5)
    mkdir(*args, **kwargs)

  if process == "0":
    network = LatentDiscriminator(4, (8,))
    weights.write(f"{workdir}/other", network, weights.random(network))
    os.mkdir = slow
  data = counting()
  next(data)
  with Checkpoints(workdir) as opened:
    opened.save(1, state(1), data, {})
  with Checkpoints(workdir) as opened:
    found = opened.restore(state(), data := counting())
  assert found.has_data and next(data) == 1
  same(found.state, state(1))


def test_processes_wait_for_the_folders_of_the_first(tmp_path):
  """Process 1 once wrote to folders that process 0 had not made yet."""
  address = f"127.0.0.1:{portpicker.pick_unused_port()}"
  both = [
      subprocess.Popen(
          [sys.executable, "-m", __name__, str(process), address, tmp_path],
          cwd=pathlib.Path(__file__).parents[1],
          env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
          stderr=subprocess.PIPE,
          text=True,
      )
      for process in range(2)
  ]
  with contextlib.suppress(subprocess.TimeoutExpired):
    for process in both:
      process.wait(timeout=60)
  for process in both:  # one that failed waits minutes for the other
    process.kill()
  errors = [process.communicate()[1] for process in both]
  assert [process.returncode for process in both] == [0, 0], errors


if __name__ == "__main__":
  one_of_two(*sys.argv[1:])
