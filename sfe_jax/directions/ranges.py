"""The useful range of a direction, measured on samples at many strengths.

A strength is useful while
  (a) the edited picture stays nearer to the unedited one than to another
      picture: the mean perceptual distance to the unedited picture is below
      MOST_CHANGE times the mean distance of two samples, and
  (b) for the direction of an attribute, the attribute's mean score still rises
      (falls, for negative strengths) from one strength to the next, and at the
      strength before it had moved by less than MOST_EFFECT standard deviations,
      beyond which pictures look unnatural.
A direction whose attribute moves by less than LEAST_EFFECT standard deviations
on both sides is useless.
"""

import dataclasses
import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from sfe_jax.architecture import Variables
from sfe_jax.models.perception import Perception
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import labels

MOST_CHANGE = 0.5
MOST_EFFECT, LEAST_EFFECT = 3.0, 0.5
_SIDE = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12)
STRENGTHS = (*(-s for s in reversed(_SIDE)), *_SIDE)
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Probe:
  """The networks that measure the effect of an edit.

  Attributes:
    generator: G.
    perception: the network that compares pictures and scores attributes.
    variables: variables of both, under "generator" and "perception".
    schema: the attributes that the perception network scores; may be empty.
  """

  generator: Generator
  perception: Perception
  variables: Variables
  schema: labels.Schema = ()

  def pictures(self, latents: ArrayLike) -> jax.Array:
    """Generates images (n, h, w, 3) of w (n, w_dim) or w+ latents."""
    return _pictures(self.generator, self.variables["generator"], latents)


@dataclasses.dataclass(frozen=True)
class Effect:
  """What a direction does at each of STRENGTHS.

  Attributes:
    distances: (strengths,) mean perceptual distance to the unedited picture;
      1 is the mean distance of two samples.
    changes: (strengths, outputs) mean change of the scores (see `log_odds`);
      1 is a standard deviation over the samples.
  """

  distances: np.ndarray
  changes: np.ndarray


def log_odds(schema: labels.Schema, scores: np.ndarray) -> np.ndarray:
  """Turns the logits of categories into log odds of each choice.

  Args:
    schema: what the scores mean.
    scores: (..., outputs) of a perception network.

  Returns:
    (..., outputs) float64.  Scores of all but continuous labels are log odds:
    a positive score says that the label is more likely than not.
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


class EffectMeter:
  """Measures the effect of directions on some samples."""

  def __init__(self, probe: Probe, w_plus: np.ndarray):
    """Takes samples: latents (n, styles, w_dim), n >= 2."""
    self._probe = probe
    self._batches = np.array_split(
        np.asarray(w_plus, np.float32), -(-len(w_plus) // _BATCH)
    )
    others = np.array_split(np.roll(w_plus, 1, 0), len(self._batches))
    found = [
        self._run(batch, np.asarray(other - batch, np.float32)[None])
        for batch, other in zip(self._batches, others)
    ]
    # Each sample is compared with the next one.
    self._other = np.concatenate([x[0] for x in found], 1).mean()
    scores = np.concatenate([x[1] for x in found])
    self._std = np.maximum(scores.std(0), 1e-12)

  def effect(self, direction: np.ndarray) -> Effect:
    """Measures a direction, (w_dim,) or (styles, w_dim)."""
    rows = np.atleast_2d(np.asarray(direction, np.float32))
    strengths = np.array(STRENGTHS, np.float32)
    offsets = np.multiply.outer(strengths, rows[None])
    distances, changes = 0.0, 0.0
    n = sum(map(len, self._batches))
    for batch in self._batches:
      compared, before, after = self._run(batch, offsets)
      distances += compared.sum(1) / n
      changes += (after - before).sum(1) / n
    return Effect(distances / self._other, changes / self._std)

  def _run(
      self, w_plus: np.ndarray, offsets: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances (m, n), scores before (n, outputs), after (m, n, outputs)."""
    probe = self._probe
    compared, before, after = jax.device_get(
        _compare(
            probe.generator, probe.perception, probe.variables, w_plus, offsets
        )
    )
    schema = probe.schema
    return compared, log_odds(schema, before), log_odds(schema, after)


@functools.partial(jax.jit, static_argnums=0)
def _pictures(
    generator: Generator, variables: Any, latents: ArrayLike
) -> jax.Array:
  """Images of w+ or w, with the constant noise that editing uses."""
  latents = jnp.asarray(latents)
  if latents.ndim == 2:
    latents = jnp.repeat(latents[:, None], generator.styles, 1)
  made = generator.apply(variables, latents, method="synthesize")
  return cast(jax.Array, made)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _compare(
    generator: Generator,
    perception: Perception,
    variables: Variables,
    w_plus: jax.Array,
    offsets: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Compares pictures before and after m offsets of w+ (`EffectMeter._run`).

  The offsets' shape broadcasts to (m, n, styles, w_dim).
  """
  judge = functools.partial(perception.apply, variables["perception"])

  def look(w_plus: jax.Array) -> tuple[Any, Any]:
    made = _pictures(generator, variables["generator"], w_plus)
    return judge(made, method="features"), judge(made)[1]

  before, scores = look(w_plus)

  def one(offset: jax.Array) -> tuple[Any, Any]:
    after, changed = look(w_plus + offset)
    return judge(before, after, method="compare"), changed

  compared, changed = jax.lax.map(one, offsets)
  return compared, scores, changed


def useful(effect: Effect, output: int | None = None) -> tuple[float, float]:
  """The useful range of a direction, by the rules at the top of this file.

  Args:
    effect: the measured effect.
    output: index of the direction's own attribute among the scores, or None.

  Returns:
    The smallest and the largest useful strength: 0 or one of STRENGTHS each.
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
