"""Some hundred steps on faces make every stage better at its task."""

import importlib.util
import re

import jax
import numpy as np
import pytest

from sfe_jax import drawn_faces
from sfe_jax.measures.frechet import Moments, frechet_distance
from sfe_jax.models import layers
from sfe_jax.storage import images, weights
from sfe_jax.storage import runs as run_files
from tests import golden_data
from tests.runs import Runs

# Minutes each; test_perception has a short training for the quick suite.
pytestmark = pytest.mark.slow

FACES = golden_data.SHARED / "data/celeba64"
UNPACK = golden_data.SHARED / "data/unpack.py"
COUNT = 256


def faces():
  """uint8 (n, size, size, 3): photographs where at hand, else drawings."""
  if not FACES.exists():
    faces = (drawn_faces.sample(0, i) for i in range(COUNT))
    return [drawn_faces.draw(face, 32) for face in faces]
  spec = importlib.util.spec_from_file_location("unpack", UNPACK)
  unpack = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(unpack)
  return unpack.load(str(FACES), "val")[:COUNT]


def validation(text):
  """{step: {loss: value}} of a run's log."""
  lines = re.findall(r"^\[(\d+)\] (.*validation/loss=.*)$", text, re.M)
  return {
      int(step): {
          name: float(value)
          for name, value in re.findall(r"validation/(\w+)=([^,\s]+)", line)
      }
      for step, line in lines
  }


def test_200_steps_lower_the_validation_losses(tmp_path):
  runs = Runs(tmp_path, faces())
  own = {
      "phase1": ["--config.loss.blend_rate=0.02"],
      "phase2": [f"--config.init.inverter={tmp_path / 'phase1'}"],
  }
  rates = {"phase1": 2e-3, "phase2": 1e-2}
  for phase, rate in rates.items():
    process = runs.start(
        f"ffhq_{phase}",
        phase,
        f"--config.optimizer.learning_rate={rate}",
        "--config.data.validation_count=32",
        "--config.data.batch_size=8",
        "--config.steps=200",
        "--config.loss.adversarial=0",  # compiles half as long
        "--config.log.every=100",
        "--config.log.grid_every=200",
        "--config.log.validate_every=200",
        "--config.checkpoint.every=200",
        *own[phase],
    )
    scores = validation(runs.finish(process))
    before, after = scores[0], scores[200]
    for name in ("l2", "lpips", "identity", "loss"):
      assert after[name] < 0.95 * before[name], (phase, name, before, after)
    assert after["ms_ssim"] > before["ms_ssim"], (phase, before, after)


def moments(pictures):
  """Of the shipped perception network's features of uint8 pictures."""
  network, variables = weights.read(weights.locate("toy") / "perception")
  look = jax.jit(
      lambda v, x: network.apply(v, layers.to_float(x), method="pooled")
  )
  found = Moments(network.widths[-1])
  for batch in np.split(pictures, len(pictures) // 64):
    found.update(look(variables, batch))
  return found


def samples(generator, variables, count):
  """uint8 pictures of a generator."""
  make = jax.jit(lambda v, z: generator.apply(v, z))
  z = np.random.default_rng(0).standard_normal((count, generator.w_dim))
  return np.concatenate([
      images.to_uint8(make(variables, batch))
      for batch in np.split(np.float32(z), count // 64)
  ])


def test_a_generator_learns_the_drawn_faces(tmp_path):
  faces = (drawn_faces.sample(0, i) for i in range(512))
  drawn = np.stack([drawn_faces.draw(face, 32) for face in faces])
  runs = Runs(tmp_path, drawn)
  process = runs.start(
      "toy_generator",
      "run",
      "--config.data.resolution=32",
      "--config.data.batch_size=16",
      "--config.model.max_width=32",
      "--config.loss.path=0",  # compiles half as long
      "--config.optimizer.ema_images=500",
      "--config.steps=200",
      "--config.log.every=50",
      "--config.log.grid_every=0",
      "--config.log.validate_every=0",
      "--config.checkpoint.every=200",
  )
  runs.finish(process)
  generator, variables = run_files.read(tmp_path / "run", "generator")
  untrained = weights.init(generator, jax.random.key(0))
  real = moments(drawn)
  before, after = (
      frechet_distance(real, moments(samples(generator, v, 512)))
      for v in (untrained, variables)
  )
  assert after < 0.85 * before, (before, after)
