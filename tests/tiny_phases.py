"""Both phases' stages, small enough for any test."""

import functools
import importlib
from unittest import mock

from sfe_jax import parallel, stages
from sfe_jax import weights as weight_files
from sfe_jax.stages import networks
from sfe_jax.steps import Variant
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
ALL = Variant(adversarial=True, penalty=True)


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
  models = networks._architecture(config).build(axis_name=parallel.AXIS)
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
