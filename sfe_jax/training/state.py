"""Data types of the training steps."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax

# What a step reads and never changes: Flax variables by network name
# ("generator", "e4e", "inverter"), those of the loss networks by role
# ("perceptual", "identity"), and in phase 2 the training directions
# ("directions").
Frozen = Mapping[str, Any]

# Scalars of a training step, or one value per example of a validation batch, by
# metric name.
Metrics = dict[str, jax.Array]


class TrainState(flax.struct.PyTreeNode):
  """Everything that training changes, which is what a checkpoint holds.

  Attributes:
    step: () int32, number of steps done.
    params: parameters of the trained network.
    model_state: its other variables ("batch_stats", "buffers") and whatever
      else a stage carries along, such as e4e's "pool" of past latents.
    opt_state: state of the trained network's optimiser.
    disc_params: parameters of the discriminator; None without one.
    disc_opt_state: state of the discriminator's optimiser.
    ema: exponential moving average of `params`; None where a stage keeps none.
  """

  step: jax.Array
  params: Any
  model_state: Any
  opt_state: Any
  disc_params: Any
  disc_opt_state: Any
  ema: Any = None
