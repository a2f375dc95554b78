"""The stages that can be trained, one module each.

Every module has three functions:
  check(config): raises UserError if the config contradicts itself.  Looks at no
    file and at no device.
  requirements(config) -> [Requirement]: what the stage reads besides pictures.
  build(config) -> Stage.
"""

import importlib
from types import ModuleType

from ml_collections import ConfigDict

from sfe_jax.errors import UserError
from sfe_jax.training.requirements import Requirement
from sfe_jax.training.stage import Stage

STAGES = ("generator", "perception", "e4e", "phase1", "phase2")


def check(config: ConfigDict) -> None:
  """Raises UserError if the stage is unknown or its config contradictory."""
  _module(config).check(config)


def requirements(config: ConfigDict) -> list[Requirement]:
  """Looks for everything that the stage reads besides pictures."""
  return _module(config).requirements(config)


def build(config: ConfigDict) -> Stage:
  """Builds the stage that `config.stage` names.

  Raises:
    UserError: there is no such stage, its config contradicts itself, or
      something that it needs is missing or does not fit.
  """
  check(config)
  return _module(config).build(config)


def _module(config: ConfigDict) -> ModuleType:
  if config.stage not in STAGES:
    raise UserError(
        f"stage must be one of {', '.join(STAGES)}, got {config.stage!r}"
    )
  return importlib.import_module(f"{__name__}.{config.stage}")
