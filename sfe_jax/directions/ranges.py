"""How far a direction is useful: measured on samples, strength by strength.

A strength is useful while
  (a) the edited picture stays nearer to itself than to a stranger: its mean
      perceptual distance to the unedited one is below MOST_CHANGE times the
      mean distance of two samples, and
  (b) where the direction is an attribute's, the attribute's mean score still
      rises (for negative strengths: falls) from one strength to the next, and
      before has moved less than MOST_EFFECT standard deviations: nothing beyond
      is natural.
A direction whose attribute moves less than LEAST_EFFECT on both sides is of no
use.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax.models.perception import Perception
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import labels

MOST_CHANGE = 0.5
MOST_EFFECT, LEAST_EFFECT = 3.0, 0.5
_SIDE = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12)
STRENGTHS = (*(-s for s in reversed(_SIDE)), *_SIDE)
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Networks:
  """What judges an edit, with its variables.

  Attributes:
    generator: G.
    perception: the network that compares pictures and scores attributes.
    variables: of both, in this order.
    schema: what the scores mean; empty where there are none.
  """

  generator: Generator
  perception: Perception
  variables: tuple[Any, Any]
  schema: labels.Schema = ()


@dataclasses.dataclass(frozen=True)
class Effect:
  """What a direction does at each of STRENGTHS.

  Attributes:
    distances: (strengths,) perceptual ones to the unedited picture, mean over
      samples, 1 between two samples.
    changes: (strengths, outputs) of the scores, see `log_odds`, mean over
      samples, 1 for a standard deviation of the samples.
  """

  distances: np.ndarray
  changes: np.ndarray


def log_odds(schema: labels.Schema, scores: np.ndarray) -> np.ndarray:
  """Scores (..., outputs) with categories' logits as every choice's log odds.

  So all but continuous labels are: positive is more likely than not.
  """
  scores = np.array(scores, np.float64)
  for column, span in labels.spans(schema):
    if column.kind == labels.CATEGORICAL:
      logits = scores[..., span].copy()
      for k in range(logits.shape[-1]):
        others = np.delete(logits, k, -1)
        scores[..., span.start + k] = logits[..., k] - np.logaddexp.reduce(
            others, axis=-1
        )
  return scores


class Meter:
  """Measures directions on some samples."""

  def __init__(self, networks: Networks, w_plus: np.ndarray):
    """Takes latents (n, styles, w_dim), n >= 2, as samples."""
    self._networks = networks
    self._batches = np.array_split(
        np.float32(w_plus), -(-len(w_plus) // _BATCH)
    )
    others = np.array_split(np.roll(w_plus, 1, 0), len(self._batches))
    found = [
        self._run(batch, np.float32(other - batch)[None])
        for batch, other in zip(self._batches, others)
    ]
    self._stranger = np.concatenate([x[0] for x in found], 1).mean()
    scores = np.concatenate([x[1] for x in found])
    self._std = np.maximum(scores.std(0), 1e-12)

  def effect(self, direction: np.ndarray) -> Effect:
    """Measures a direction, (w_dim,) or (styles, w_dim)."""
    direction = np.atleast_2d(np.float32(direction))
    offsets = np.multiply.outer(np.float32(STRENGTHS), direction[None])
    distances, changes = 0.0, 0.0
    n = sum(map(len, self._batches))
    for batch in self._batches:
      compared, before, after = self._run(batch, offsets)
      distances += compared.sum(1) / n
      changes += (after - before).sum(1) / n
    return Effect(distances / self._stranger, changes / self._std)

  def _run(self, w_plus, offsets):
    """Distances (m, n), scores before (n, outputs), after (m, n, outputs)."""
    n = self._networks
    compared, *scores = jax.device_get(
        _judge(n.generator, n.perception, n.variables, w_plus, offsets)
    )
    return compared, *(log_odds(n.schema, s) for s in scores)


@functools.partial(jax.jit, static_argnums=0)
def pictures(
    generator: Generator, variables: Any, w_plus: jax.Array
) -> jax.Array:
  """Images of w+ or w, with the fixed noise that editing uses."""
  if w_plus.ndim == 2:
    w_plus = jnp.repeat(w_plus[:, None], generator.styles, 1)
  return generator.apply(variables, w_plus, method="synthesize")


@functools.partial(jax.jit, static_argnums=(0, 1))
def _judge(generator, perception, variables, w_plus, offsets):
  """What m offsets do to w+ (n, styles, w_dim), see `Meter._run`.

  Offsets have a shape that broadcasts to (m, n, styles, w_dim).
  """

  def look(w_plus):
    made = pictures(generator, variables[0], w_plus)
    features = perception.apply(variables[1], made, method="features")
    return features, perception.apply(variables[1], made)[1]

  before, scores = look(w_plus)

  def one(offset):
    after, changed = look(w_plus + offset)
    compared = perception.apply(
        variables[1], before, after, method="compare"
    )
    return compared, changed

  compared, changed = jax.lax.map(one, offsets)
  return compared, scores, changed


def useful(effect: Effect, output: int | None = None) -> tuple[float, float]:
  """The useful strengths, as the module says; ends are 0 or of STRENGTHS.

  Args:
    effect: of the direction.
    output: of its attribute among the scores, if it is one's.
  """
  ends, reached = {}, 0.0
  for sign in (-1, 1):
    end, before = 0.0, 0.0
    for i in np.argsort(np.abs(STRENGTHS), kind="stable"):
      if np.sign(STRENGTHS[i]) != sign:
        continue
      if not effect.distances[i] < MOST_CHANGE:
        break
      if output is not None:
        change = sign * effect.changes[i, output]
        if not change > before or before > MOST_EFFECT:
          break
        before = change
      end = float(STRENGTHS[i])
    ends[sign], reached = end, max(reached, before)
  if output is not None and reached < LEAST_EFFECT:
    return 0.0, 0.0
  return ends[-1], ends[1]
