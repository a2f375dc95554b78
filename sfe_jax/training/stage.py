"""The interface between the training loop and the things it can train."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import flax.linen as nn
import jax

from sfe_jax.data.batch import Batch
from sfe_jax.training.state import Frozen, Metrics, TrainState


@dataclasses.dataclass(frozen=True)
class Stage:
  """What one training run trains: pure functions and their starting values.

  The functions are written for one device.  They may reduce over the device
  axis `devices.AXIS`; `devices.pmap` maps them over the devices.

  Attributes:
    trained: {network name: module} of the networks that training changes.  The
      variables of the first one are `state.params` (or `state.ema`) and
      `state.model_state`; those of "discriminator" are `state.disc_params`.
    given: {network name: (module, variables)} of the networks that an editor
      needs besides the trained ones.
    state: training state at step 0, on the host, not replicated.
    frozen: second argument of every function; the loop replicates it once.
    variant: maps a step number (from 0) to the variant of `step` to run.  Each
      variant is compiled separately.
    learning_rate: maps a step number (from 0) to the learning rate of the main
      network's optimiser.
    step: (variant, state, frozen, batch, rng) -> (state, metrics).  Metrics are
      scalars averaged over all devices, with names like "loss/lpips".  `rng` is
      the key of the run; the step folds its step number into it.
    validate: (state, frozen, batch) -> {metric name: (n,)}, one value per
      example, computed with the network that will be deployed.
    grid: (state, frozen, batch) -> {column title: (n, h, w, 3) in [-1, 1]}.
    info: {network name: JSON-serialisable facts stored with its weights}.
  """

  trained: Mapping[str, nn.Module]
  given: Mapping[str, tuple[nn.Module, Any]]
  state: TrainState
  frozen: Frozen
  variant: Callable[[int], Hashable]
  learning_rate: Callable[[int], float]
  step: Callable[
      [Any, TrainState, Frozen, Batch, jax.Array], tuple[TrainState, Metrics]
  ]
  validate: Callable[[TrainState, Frozen, Batch], Metrics]
  grid: Callable[[TrainState, Frozen, Batch], Mapping[str, jax.Array]]
  info: Mapping[str, Mapping[str, Any]] = dataclasses.field(
      default_factory=dict
  )
