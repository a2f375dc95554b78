"""Validation and picture grids during training."""

import collections
from collections.abc import Iterable

import jax
import numpy as np
from jax.experimental import multihost_utils

from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.storage import images
from sfe_jax.training.meter import require_finite
from sfe_jax.training.stage import Stage
from sfe_jax.training.state import Frozen, TrainState

# (batch, (n,) bool mask, False for padding) pairs, see
# `data.validation_batches`.
HeldOut = Iterable[tuple[Batch, np.ndarray]]


class Evaluator:
  """Scores the held-out pictures and draws a grid of the first of them."""

  def __init__(
      self, stage: Stage, frozen: Frozen, held_out: HeldOut, grid_count: int
  ):
    """Prepares the mapped functions; compiles nothing yet.

    Args:
      stage: what is trained.
      frozen: its frozen argument, replicated.
      held_out: this process' part of the held-out pictures; may be empty.
      grid_count: number of pictures per grid.
    """
    self._frozen = frozen
    self._held_out = held_out
    self._grid_count = grid_count
    self._validate = devices.pmap(stage.validate)
    self._grid = devices.pmap(stage.grid)

  def validate(
      self, state: TrainState, step: int, best: str
  ) -> dict[str, float]:
    """Averages the scores of the held-out pictures of all processes.

    Args:
      state: replicated training state.
      step: number of the step, for error messages.
      best: name of a score that must exist; "" requires none.

    Returns:
      {score name: mean in float64}; empty if there are no held-out pictures.

    Raises:
      UserError: a mean is not finite, or there is no score `best`.
    """
    parts = collections.defaultdict(list)
    for batch, real in self._held_out:
      values = self._validate(state, self._frozen, devices.split(batch))
      values, real = multihost_utils.process_allgather(
          (devices.join(values), np.asarray(real))
      )
      for name, value in values.items():
        parts[name].append(np.ravel(value)[np.ravel(real)])
    scores = {
        name: float(np.concatenate(x).mean(dtype=np.float64))
        for name, x in parts.items()
        if sum(map(len, x))
    }
    if scores and best and best not in scores:
      raise UserError(
          f"checkpoint.best must be one of {', '.join(sorted(scores))}, got"
          f" {best!r}"
      )
    named = {f"validation/{name}": x for name, x in scores.items()}
    require_finite(named, step)
    return scores

  def grid(self, state: TrainState) -> np.ndarray | None:
    """Draws the first held-out pictures of this process beside the outputs.

    Args:
      state: replicated training state.

    Returns:
      (h, w, 3) uint8, or None if there are no held-out pictures.
    """
    pictures, real = self._first_pictures()
    if not len(pictures):
      return None
    local = jax.local_device_count()
    # Every device needs as many pictures: the last one is repeated.
    padded = -(-len(pictures) // local) * local
    index = np.minimum(np.arange(padded), len(pictures) - 1)
    batch = devices.split(Batch(pictures[index]))
    columns = devices.join(dict(self._grid(state, self._frozen, batch)))
    shown = {
        title: images.to_uint8(x[: len(pictures)][real])
        for title, x in columns.items()
    }
    return images.grid(list(zip(*shown.values())), list(shown))

  def _first_pictures(self) -> tuple[np.ndarray, np.ndarray]:
    """At most `grid_count` pictures (n, h, w, 3) and which are not padding."""
    pictures: list[np.ndarray] = []
    real: list[bool] = []
    for batch, mask in self._held_out:
      pictures += list(np.asarray(batch.image))
      real += list(np.asarray(mask))
      if len(real) >= self._grid_count:
        break
    n = min(len(real), self._grid_count)
    return np.array(pictures[:n]), np.array(real[:n], bool)
