"""What a training step changes, and what it only reads."""

from typing import Any

import flax.struct
import jax


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


@flax.struct.dataclass
class Frozen:
  """Variables of networks that training reads; None where a stage has none.

  Attributes:
    generator: G.
    e4e: E.
    inverter: I, in phase 2.
    lpips: perceptual loss.
    identity: identity loss.
    directions: the edits of phase 2, see `stages.phase2`.
  """

  generator: Any = None
  e4e: Any = None
  inverter: Any = None
  lpips: Any = None
  identity: Any = None
  directions: Any = None
