"""What can be trained: each stage module has build(config) -> Stage."""

import importlib

from ml_collections import ConfigDict

from sfe_jax.errors import UserError
from sfe_jax.training.stages.stage import Stage

STAGES = ("generator", "perception", "e4e", "phase1", "phase2")


def build(config: ConfigDict) -> Stage:
  """Builds the stage that `config.stage` names.

  Raises:
    UserError: no such stage, or what it needs is missing.
  """
  if config.stage not in STAGES:
    raise UserError(
        f"stage must be one of {', '.join(STAGES)}, got {config.stage!r}"
    )
  module = importlib.import_module(f"{__name__}.{config.stage}")
  return module.build(config)
