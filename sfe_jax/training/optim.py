"""Optimisers: Ranger for encoders, Adam for discriminators and StyleGAN2."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

_B1, _B2, _EPSILON = 0.95, 0.999, 1e-5
_LOOKAHEAD_STEPS, _LOOKAHEAD_RATE = 6, 0.5


def centralize() -> optax.GradientTransformation:
  """Subtracts a kernel gradient's mean over all axes but the output one.

  `optax.centralize` keeps the first axis, PyTorch's output axis; ours is last.
  """

  def update(updates, params=None):
    del params

    def one(g):
      if g.ndim < 2:
        return g
      return g - jnp.mean(g, tuple(range(g.ndim - 1)), keepdims=True)

    return jax.tree.map(one, updates)

  return optax.stateless(update)


class RangerState(NamedTuple):
  """Slow weights and the state of the fast optimiser."""

  slow: Any
  inner: Any


def ranger(
    learning_rate: optax.ScalarOrSchedule,
) -> optax.GradientTransformation:
  """Ranger: centralised gradients, RAdam, Lookahead (spec section 8).

  betas (.95, .999), epsilon 1e-5, rectification threshold 5, k 6, alpha .5.
  Parameters stay a plain tree: the fast weights; the slow ones are state.
  """
  # The official RAdam adds epsilon to the uncorrected sqrt(v), optax to the
  # corrected one: dividing it by the correction makes them equal.
  radam = optax.inject_hyperparams(optax.scale_by_radam)(
      b1=_B1,
      b2=_B2,
      eps=lambda count: _EPSILON / jnp.sqrt(1.0 - _B2 ** (count + 1.0)),
  )
  lookahead = optax.lookahead(
      optax.chain(
          centralize(), radam, optax.scale_by_learning_rate(learning_rate)
      ),
      _LOOKAHEAD_STEPS,
      _LOOKAHEAD_RATE,
  )

  def init(params):
    slow = jax.tree.map(jnp.copy, params)
    inner = lookahead.init(optax.LookaheadParams(params, slow))
    return RangerState(slow, inner)

  def update(updates, state, params):
    pair = optax.LookaheadParams(params, state.slow)
    updates, inner = lookahead.update(updates, state.inner, pair)
    slow = optax.apply_updates(state.slow, updates.slow)
    return updates.fast, RangerState(slow, inner)

  return optax.GradientTransformation(init, update)


def annealed(
    learning_rate: float, steps: int, share: float
) -> optax.ScalarOrSchedule:
  """The learning rate, which falls to 0 along a cosine at the end.

  Args:
    learning_rate: before.
    steps: of the whole training.
    share: of them, the last ones, in which it falls; 0 keeps it constant.
  """
  if not share:
    return learning_rate
  falling = max(1, round(share * steps))
  return optax.join_schedules(
      [
          optax.constant_schedule(learning_rate),
          optax.cosine_decay_schedule(learning_rate, falling),
      ],
      [steps - falling],
  )


def adam(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
  """Adam with PyTorch's defaults (.9, .999, 1e-8)."""
  return optax.adam(learning_rate)


def lazy_adam(learning_rate: float, every: int) -> optax.GradientTransformation:
  """StyleGAN2's Adam (0, .99) under lazy regularisation.

  A regulariser that is an update of its own after each `every`-th step makes
  every + 1 updates of `every`; rates shrink to keep the pace (Karras et al.
  2020, appendix B).
  """
  c = every / (every + 1)
  return optax.adam(learning_rate * c, b1=0.0, b2=0.99**c)
