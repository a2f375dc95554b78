"""The set D of directions that phase 2 learns edits from, as arrays."""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from sfe_jax import directions
from sfe_jax.directions import DirectionData


@flax.struct.dataclass
class DirectionSet:
  """The set D of training directions as arrays.

  Attributes:
    data: every array of the directions with a leading axis (directions, ...).
    powers: (directions, most powers) float32, strengths of each direction,
      repeated to fill the rows.
    counts: (directions,) int32, number of strengths of each direction.
  """

  data: DirectionData
  powers: ArrayLike
  counts: ArrayLike


def direction_set(
    data: Sequence[DirectionData], powers: dict[str, tuple[float, ...]]
) -> DirectionSet:
  """Stacks directions of any families.

  Args:
    data: the directions.
    powers: their strengths by name, in the same order.
  """
  if any(d.mapper is not None for d in data):
    data = [directions.with_zero_mapper(d) for d in data]
  counts = [len(p) for p in powers.values()]
  rows = [np.resize(p, max(counts)) for p in powers.values()]
  return DirectionSet(
      jax.tree.map(lambda *x: np.stack(x), *data),
      np.array(rows, np.float32),
      np.array(counts, np.int32),
  )


def sample(
    edits: DirectionSet, rng: jax.Array
) -> tuple[DirectionData, jax.Array]:
  """Draws a direction uniformly, then one of its strengths () uniformly."""
  counts, powers = jnp.asarray(edits.counts), jnp.asarray(edits.powers)
  which, power = jax.random.split(rng)
  i = jax.random.randint(which, (), 0, counts.shape[0])
  j = jax.random.randint(power, (), 0, counts[i])
  return jax.tree.map(lambda x: x[i], edits.data), powers[i, j]
