"""Both phases' stages, small enough for any test."""

import functools
import importlib
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.storage import weights as weight_files
from sfe_jax.training import stages
from sfe_jax.training.stages import networks
from sfe_jax.training.step import EncoderVariant
from tests import tiny

PHASES = ("phase1", "phase2")
SIZES = {
    "data.resolution": 16,
    "model.resolution": 16,
    "model.channels": (8, 8, 8),
    "model.w_dim": 8,
    "model.mapping_layers": 1,
    "model.encoder_size": 32,
    "model.k": 1,
    "model.delta_k": 1,
    "model.backbone_widths": (4, 4, 8, 8),
    "model.e4e_widths": (4, 4, 8, 8),
    "loss.identity_network": "none",
}
STEP = 16
ALL = EncoderVariant(adversarial=True, penalty=True)


def config(phase, **changes):
  name = "cars_phase2" if phase == "cars" else f"ffhq_{phase}"
  config = importlib.import_module(f"configs.{name}").get_config("smoke")
  changes = {key.replace("__", "."): x for key, x in changes.items()}
  if phase == "phase1":
    changes = {"loss.blend_rate": 0.5 / STEP} | changes
  else:
    changes = {"init.inverter": "see trained()"} | changes
  config.update_from_flattened_dict(SIZES | changes)
  return config


def trained(config):
  """Stands in for an Inverter on disk."""
  models = networks.architecture(config).build(axis_name=devices.AXIS)
  return models.inverter, tiny.fill(models.inverter)


@functools.cache
def build(phase, **changes):
  """The stage of a config, with variables that need no compiling."""
  settings = config(phase, **changes)
  inverter = trained(settings)
  with (
      mock.patch.object(weight_files, "init", lambda net, _: tiny.fill(net)),
      mock.patch.object(networks, "trained", lambda *_, **__: inverter),
  ):
    return stages.build(settings)


def run(stage, n=8, size=16, variant=ALL):
  """(state, metrics) after step number STEP, on all devices."""

  def step(state, frozen, batch, seed):
    return stage.step(variant, state, frozen, batch, jax.random.key(seed))

  state = stage.state.replace(step=jnp.int32(STEP))
  out = devices.pmap(step)(
      devices.replicate(state),
      devices.replicate(stage.frozen),
      devices.split(Batch(tiny.pictures(n, size))),
      devices.replicate(np.uint32(0)),
  )
  return devices.unreplicate(out)


def close(got, want, tolerance=1e-4):
  """Equal to rounding, relative to each array's largest element."""
  assert got.keys() == want.keys()
  for name, b in want.items():
    error = np.abs(got[name] - b)
    if "disc_params" in name:  # Adam's first step is the gradient's sign
      assert np.mean(error > 1e-6) < 0.02, name
    else:
      assert error.max() <= tolerance * max(np.abs(b).max(), 1e-4), name
