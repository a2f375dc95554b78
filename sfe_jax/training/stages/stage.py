"""What the loop asks of anything that is trained."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import flax.linen as nn
import jax

from sfe_jax.data.batch import Batch
from sfe_jax.training.state import Frozen, Metrics, TrainState


@dataclasses.dataclass(frozen=True)
class Stage:
  """One trained thing: pure functions for one device, and what they start from.

  The functions know the device axis `devices.AXIS`; `devices.pmap` maps them.

  Attributes:
    trained: networks that training changes, by name; the first one's variables
      are `state.params` (or `state.ema`) and `state.model_state`, those of
      "discriminator" are `state.disc_params`.
    given: networks that an editor needs besides: (module, variables) by name.
    state: at step 0, on the host, not replicated.
    frozen: argument of every function, replicated once by the loop.
    variant: number of a step, from 0 -> which form of it to compile and run.
    step: (variant, state, frozen, batch, rng) -> (state, metrics): scalars
      averaged over all devices, named like "loss/lpips".  `rng` is the run's
      key; the step folds its number in.
    validate: (state, frozen, batch) -> {name: (n,)}, a value per example.
    grid: (state, frozen, batch) -> {column title: (n, h, w, 3) in [-1, 1]}.
    info: JSON-serialisable facts to keep with trained networks, by name.
  """

  trained: Mapping[str, nn.Module]
  given: Mapping[str, tuple[nn.Module, Any]]
  state: TrainState
  frozen: Frozen
  variant: Callable[[int], Hashable]
  step: Callable[
      [Any, TrainState, Frozen, Batch, jax.Array], tuple[TrainState, Metrics]
  ]
  validate: Callable[[TrainState, Frozen, Batch], Metrics]
  grid: Callable[[TrainState, Frozen, Batch], Mapping[str, jax.Array]]
  info: Mapping[str, Mapping[str, Any]] = dataclasses.field(
      default_factory=dict
  )
