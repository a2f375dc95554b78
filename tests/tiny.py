"""An editor that is small enough for any test."""

import functools

import numpy as np

from sfe_jax.architecture import Architecture, Models
from sfe_jax.directions import Registry
from sfe_jax.editor import Editor
from sfe_jax.storage import weights

ARCHITECTURE = Architecture(
    resolution=64,
    channels=(16, 16, 16, 16, 8),
    w_dim=512,
    mapping_layers=2,
    encoder_size=64,
    k=5,
    delta_k=5,
    backbone_depths=(1, 1, 2, 1),
    backbone_widths=(8, 8, 16, 16),
    fusion_depth=1,
    e4e_depths=(1, 1, 1, 1),
    e4e_widths=(8, 8, 16, 16),
)


fill = weights.random


def networks(architecture: Architecture = ARCHITECTURE, seed: int = 0):
  """Returns (models, {network name: variables})."""
  models = architecture.build()
  return models, {
      name: fill(network, seed) for name, network in vars(models).items()
  }


def editor(
    architecture: Architecture = ARCHITECTURE, folder: str = "none", **options
) -> Editor:
  """An editor with random weights."""
  models, variables = networks(architecture)
  offered = Registry.of_weights(folder, models.generator)
  return Editor(models, variables, offered, **options)


@functools.cache
def shared() -> Editor:
  """One editor for tests that do not change it."""
  return editor()


def pictures(n: int, size: int = 64) -> np.ndarray:
  """Smooth uint8 pictures (n, size, size, 3), each different."""
  y, x = np.mgrid[0:size, 0:size] / size
  waves = [
      np.sin(2 * np.pi * (i + 1 + c) * (x + 0.3 * i * y))
      for i in range(n)
      for c in range(3)
  ]
  waves = np.reshape(waves, (n, 3, size, size)).transpose(0, 2, 3, 1)
  return np.uint8(127.5 * (1 + 0.9 * waves))


def write_weights(folder, architecture: Architecture = ARCHITECTURE) -> Models:
  """Writes a weight folder."""
  models, variables = networks(architecture)
  for name, network in vars(models).items():
    weights.write(folder / name, network, variables[name])
  return models
