"""Learning rates over a training."""

import jax.numpy as jnp
import numpy as np
import pytest

from sfe_jax.training import optim


def test_without_annealing_the_rate_stays_a_number():
  assert optim.annealed(0.1, 100, 0.0) == 0.1


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (60, 0.1), (80, 0.05), (100, 0.0)]
)
def test_the_rate_falls_at_the_end(step, rate):
  schedule = optim.annealed(0.1, 100, 0.4)
  np.testing.assert_allclose(schedule(step), rate, atol=1e-9)
  assert optim.annealed(0.1, 1, 0.1)(0) == np.float32(0.1), "one step falls"


def test_ranger_follows_the_rate():
  """To the first lookahead, updates are proportional to the rate."""
  params = {"kernel": jnp.ones((3, 2))}
  grads = {"kernel": jnp.arange(6.0).reshape(3, 2)}
  moved = []
  for rate in (0.1, optim.annealed(0.1, 4, 1.0)):
    tx = optim.ranger(rate)
    state, updates = tx.init(params), []
    for _ in range(5):
      update, state = tx.update(grads, state, params)
      updates.append(np.asarray(update["kernel"]))
    moved.append(updates)
  shares = [1, 0.5 + 0.5 * np.cos(np.pi / 4), 0.5, None, 0]
  for constant, annealed, share in zip(*moved, shares):
    if share is not None:
      np.testing.assert_allclose(annealed, share * constant, atol=1e-7)
