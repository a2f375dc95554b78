"""Ranger's trajectory against the official optimiser."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sfe_jax.training import optim
from tests import golden_data as golden

TOLERANCE = 1e-5
STEPS = 60


def _ours(x):
  """PyTorch's (out, in, ...) -> ours (..., in, out)."""
  x = np.asarray(x)
  return x.transpose(*range(2, x.ndim), 1, 0) if x.ndim > 1 else x


def test_ranger():
  want = golden.expected("ranger")
  count = sum(key.startswith("init") for key in want)
  params = [jnp.asarray(_ours(want[f"init{i}"])) for i in range(count)]
  targets = [jnp.asarray(_ours(want[f"target{i}"])) for i in range(count)]
  tx = optim.ranger(float(want["lr"]))

  @jax.jit
  def update(params, state, scale):
    grads = [(p - t) * s for p, t, s in zip(params, targets, scale)]
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state

  state = tx.init(params)
  for step in range(1, STEPS + 1):
    scale = np.float32([1 + 0.3 * np.sin(step + i) for i in range(count)])
    params, state = update(params, state, scale)
    for i, p in enumerate(params):
      if f"step{step}_{i}" in want:
        golden.check(
            f"ranger step {step} tensor {i}",
            p,
            _ours(want[f"step{step}_{i}"]),
            TOLERANCE,
        )


def test_state_does_not_alias_parameters():
  """Both are donated to the step, which a shared buffer would break."""
  params = {"kernel": jnp.ones((3, 2))}
  state = optim.ranger(1e-3).init(params)
  pointer = params["kernel"].unsafe_buffer_pointer()
  assert state.slow["kernel"].unsafe_buffer_pointer() != pointer
