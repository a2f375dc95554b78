"""What a training step changes, and what it only reads."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax

# What a step reads and never changes: variables by network name ("generator",
# "e4e", "inverter"), those of the losses by role ("perceptual", "identity"),
# and in phase 2 the set of edits to learn ("directions").
Frozen = Mapping[str, Any]

# Scalars of a step, or a value per example of a validation batch, by name.
Metrics = dict[str, jax.Array]


@flax.struct.dataclass
class TrainState:
  """All that training changes and a checkpoint holds.

  Attributes:
    step: () int32, steps done.
    params: parameters of the trained network.
    model_state: its other variables, "batch_stats" and "buffers", and what else
      a stage carries along, such as e4e's "pool" of past codes.
    opt_state: of its optimiser.
    disc_params: parameters of the discriminator, None without one.
    disc_opt_state: of the discriminator's.
    ema: running average of `params`, None where a stage keeps none.
  """

  step: jax.Array
  params: Any
  model_state: Any
  opt_state: Any
  disc_params: Any
  disc_opt_state: Any
  ema: Any = None
