"""Optimisers: Ranger for encoders, Adam for the other networks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

_B1, _B2, _EPSILON = 0.95, 0.999, 1e-5
_LOOKAHEAD_STEPS, _LOOKAHEAD_RATE = 6, 0.5


def centralize() -> optax.GradientTransformation:
  """Gradient centralisation (Yong et al. 2020).

  Subtracts from every kernel gradient its mean over all axes but the output
  axis, which is the last one in Flax.  `optax.centralize` keeps the first axis,
  which is PyTorch's output axis.
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
  """State of `ranger`.

  Attributes:
    slow: slow weights of Lookahead.
    inner: state of the optimiser of the fast weights.
  """

  slow: Any
  inner: Any


def ranger(
    learning_rate: optax.ScalarOrSchedule,
) -> optax.GradientTransformation:
  """Ranger: gradient centralisation, RAdam and Lookahead.

  The constants are those of the official code (docs/numerics.md): betas
  (0.95, 0.999), epsilon 1e-5, rectification threshold 5, Lookahead with k = 6
  and alpha = 0.5.  The parameters are the fast weights; the slow weights are
  part of the optimiser's state.

  Args:
    learning_rate: a number, or a schedule over the steps.
  """
  # The official RAdam adds epsilon to the uncorrected sqrt(v), optax adds it to
  # the corrected one.  Dividing epsilon by the correction makes both equal.
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
  """Learning rate that falls to 0 along a cosine at the end of the training.

  Args:
    learning_rate: learning rate before the fall.
    steps: number of steps of the whole training.
    share: share of the steps, the last ones, in which the rate falls; 0 keeps
      it constant.

  Returns:
    `learning_rate` itself if it stays constant, else a schedule.
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


def rate_at(learning_rate: optax.ScalarOrSchedule, step: int) -> float:
  """Learning rate of step number `step`, counted from 0."""
  rate = learning_rate(step) if callable(learning_rate) else learning_rate
  return float(rate)


def adam(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
  """Adam with PyTorch's defaults: betas (0.9, 0.999), epsilon 1e-8."""
  return optax.adam(learning_rate)


def lazy_adam(learning_rate: float, every: int) -> optax.GradientTransformation:
  """StyleGAN2's Adam, betas (0, 0.99), under lazy regularisation.

  A regulariser that makes its own update after every `every`-th step turns
  `every` updates into `every` + 1.  Learning rate and betas are adjusted to
  keep the pace (Karras et al. 2020, appendix B).

  Args:
    learning_rate: rate without lazy regularisation.
    every: number of steps between two updates of the regulariser.
  """
  c = every / (every + 1)
  return optax.adam(learning_rate * c, b1=0.0, b2=0.99**c)
