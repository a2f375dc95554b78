"""Averages of the training metrics between two log lines."""

import collections
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from sfe_jax import devices
from sfe_jax.errors import UserError

_STEPS_AHEAD = 2


class Meter:
  """Averages metrics over the steps that report them.

  Values are fetched from the device two steps late, so that the device never
  waits for the host.
  """

  def __init__(self, totals: Mapping[str, Any] | None = None):
    """Starts from `totals()` of a checkpoint, or from zero."""
    self._totals: dict[str, tuple[float, int]] = {
        name: tuple(total) for name, total in (totals or {}).items()
    }
    self._pending: collections.deque[tuple[int, Mapping[str, jax.Array]]] = (
        collections.deque()
    )

  def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
    """Adds the metrics of one step.

    Args:
      step: number of the step, for error messages.
      metrics: {name: (devices,)}, replicated over the local devices.

    Raises:
      UserError: a metric of this or an earlier step is not finite.
    """
    self._pending.append((step, metrics))
    if len(self._pending) > _STEPS_AHEAD:
      self._fetch()

  def flush(self) -> None:
    """Waits for all metrics that were added and checks them.

    Raises:
      UserError: a metric is not finite.
    """
    while self._pending:
      self._fetch()

  def means(self) -> dict[str, float]:
    """Returns the means since the last call and starts new ones."""
    self.flush()
    means = {name: total / n for name, (total, n) in self._totals.items()}
    self._totals = {}
    return means

  def totals(self) -> dict[str, tuple[float, int]]:
    """Returns {name: (sum, count)}.

    A checkpoint stores them: with them a resumed run logs the same means as an
    uninterrupted one.
    """
    self.flush()
    return self._totals

  def _fetch(self) -> None:
    step, metrics = self._pending.popleft()
    values = {k: float(v) for k, v in devices.unreplicate(metrics).items()}
    require_finite(values, step)
    for name, value in values.items():
      total, n = self._totals.get(name, (0.0, 0))
      self._totals[name] = total + value, n + 1


def require_finite(values: Mapping[str, float], step: int) -> None:
  """Raises UserError if a value of step number `step` is NaN or infinite."""
  bad = [f"{k} is {v}" for k, v in values.items() if not np.isfinite(v)]
  if bad:
    raise UserError(
        f"step {step}: {', '.join(bad)}; training stopped; all checkpoints are"
        " from earlier steps"
    )
