"""Random directions and the spaces that they belong to."""


import jax
import numpy as np

from sfe_jax.architecture import Architecture
from sfe_jax.directions import (
    LatentSpace,
)
from sfe_jax.models.mappers import LevelsMapper
from sfe_jax.storage import weights

FFHQ = Architecture().generator()
SMALL = LatentSpace(10, (8, 8, 4), w_dim=8)


def normal(*shape, seed=0):
  rng = np.random.RandomState(seed)
  return rng.standard_normal(shape).astype(np.float32)


def mapper_params(levels=("coarse", "medium", "fine"), w_dim=8):
  mapper = LevelsMapper(w_dim, levels)
  return weights.init(mapper, jax.random.key(1))["params"]
