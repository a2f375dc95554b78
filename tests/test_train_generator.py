"""The generator's config, and the train command on it."""

import dataclasses

import jax
import numpy as np
import pytest

from sfe_jax.errors import UserError
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import checkpoints, weights
from sfe_jax.training import stages
from sfe_jax.training.stages import generator
from sfe_jax.training.state import TrainState
from tests import runs as train_runs
from tests import tiny
from tests.test_generator_stage import SIZE, config


def test_sizes_follow_from_one_value():
  assert generator.channels(1024, 32, 512) == Generator().channels
  assert generator.channels(32, 16, 64) == (64, 64, 32, 16)
  assert generator.channels(64, 16, 64) == (64, 64, 64, 32, 16)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data.resolution": 48}, "power of two of at least 8, got 48"),
        ({"data.resolution": 4}, "power of two of at least 8, got 4"),
        ({"data.batch_size": 6}, "group of 4 pictures, got 6"),
        ({"data.batch_size": 3}, "half of .* a multiple of 2, got 3"),
        ({"compute.dtype": "bf16"}, "compute.dtype must be one of .* 'bf16'"),
        (
            {"augment.target": 0.6, "augment.images": 0},
            "augment.images must be 1 or more, got 0",
        ),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
  c = config()
  c.update_from_flattened_dict(changes)
  with pytest.raises(UserError, match=message):
    stages.build(c)


class Runs(train_runs.Runs):
  """Trains the generator."""

  def train(self, name, *args):
    process = self.start(
        "toy_generator", name, f"--config.data.resolution={SIZE}",
        "--config.model.mapping_layers=1", *args,
    )  # fmt: skip
    return self.finish(process)

  def state(self, name):
    names = [field.name for field in dataclasses.fields(TrainState)]
    return checkpoints.read_state(self.root / name, names=names)


def test_two_and_two_steps_are_four(tmp_path):
  runs = Runs(tmp_path, tiny.pictures(12, SIZE))
  whole = runs.train("whole")
  cut = runs.train("cut", "--config.steps=2") + runs.train("cut")
  assert "going on from step 2" in cut
  assert list(train_runs.losses(whole)) == [1, 2, 3, 4]
  assert train_runs.losses(cut) == train_runs.losses(whole)
  states = [runs.state(name) for name in ("whole", "cut")]
  jax.tree.map(np.testing.assert_array_equal, *states)
  assert states[0]["step"] == 4
  network, found = weights.read(
      tmp_path / "whole/weights/generator", Generator
  )
  assert network.resolution == SIZE
  jax.tree.map(
      np.testing.assert_array_equal,
      dict(found),
      {"params": states[0]["ema"], **states[0]["model_state"]},
  )
  _, found = weights.read(tmp_path / "whole/weights/discriminator")
  jax.tree.map(
      np.testing.assert_array_equal,
      dict(found["params"]),
      states[0]["disc_params"],
  )
