"""Directions of a generator, before their useful ranges are measured.

Directions of attributes are fitted to labelled latents (`samples`); GANSpace
and SeFa find directions without labels.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from sfe_jax.directions import effects, fit
from sfe_jax.directions import samples as sampling
from sfe_jax.directions.effects import Words
from sfe_jax.directions.ranges import Probe
from sfe_jax.directions.samples import Samples
from sfe_jax.storage import labels

METHODS = ("regression", "boundary")
CONDITIONING = ("projection", "none")
_CODES = 100_000
_LEAST_SHARE = 0.01  # of the samples in a class
_LEAST_KNOWN = 0.3  # of a label's standard deviation, in the scores
_LEAST_ACCURACY = 0.65  # of boundaries; 0.5 is chance
_FAMILIES = {"regression": "regression", "boundary": "InterFaceGAN"}


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A direction whose useful range is not known yet.

  Attributes:
    name: name of the direction and of its file.
    family: method that found the direction.
    offset: (w_dim,) or (styles, w_dim), one standard deviation of the latents
      along the direction.
    effect: what both signs do; None for unsupervised directions, whose effect
      only measuring shows.
    label: label that the direction edits; empty for unsupervised directions.
    accuracy: accuracy of a boundary on held-out samples; None for directions
      of other families.
  """

  name: str
  family: str
  offset: np.ndarray
  effect: Words | None = None
  label: str = ""
  accuracy: float | None = None


def attributes(
    samples: Samples,
    method: str,
    conditioning: str,
    given: Mapping[str, tuple[str, str]] | None = None,
) -> tuple[list[Candidate], dict[str, str]]:
  """Fits a direction for every label that can be predicted from latents.

  Args:
    samples: latents with labels.
    method: "regression" or "boundary", see `fit`.
    conditioning: how boundaries are kept from changing other labels:
      "projection", see `fit.condition`, or "none".
    given: effects that the user describes, by label.

  Returns:
    The directions, and by name the reason why others are left out.
  """
  flat = samples.latents.reshape(len(samples.latents), -1)
  chosen, left_out = _usable(samples)
  accuracies: dict[str, float] = {}
  if method == "regression":
    rows = _regression(flat, chosen)
  else:
    rows, accuracies, inaccurate = _boundaries(flat, chosen, conditioning)
    left_out |= inaccurate
    chosen = {label: x for label, x in chosen.items() if label in accuracies}
  names = _names(samples.schema)
  reasons = {names[label]: reason for label, reason in left_out.items()}
  if not chosen:
    return [], reasons
  offsets = fit.scaled(rows, flat).reshape(-1, *samples.latents.shape[1:])
  words = effects.of_schema(samples.schema, given or {})
  found = [
      Candidate(
          names[label],
          _FAMILIES[method],
          offset,
          words[label],
          label,
          accuracies.get(label),
      )
      for label, offset in zip(chosen, offsets)
  ]
  return found, reasons


def _names(schema: labels.Schema) -> dict[str, str]:
  """Names of directions by label."""
  return dict(zip(labels.outputs(schema), labels.label_names(schema)))


@dataclasses.dataclass(frozen=True)
class _Scores:
  """The scores (n,) of one label, and the name of its column."""

  column: str
  values: np.ndarray


def _usable(samples: Samples) -> tuple[dict[str, _Scores], dict[str, str]]:
  """Scores of labels that can be fitted; reasons for the others, by label."""
  scores = samples.scores
  if scores is None:
    raise ValueError("samples without labels")
  chosen, left_out = {}, {}
  for column, span in labels.spans(samples.schema):
    for label, values in zip(column.outputs, scores[:, span].T):
      if reason := _unfit(column, values, samples.true):
        left_out[label] = reason
      else:
        chosen[label] = _Scores(column.name, values)
  return chosen, left_out


def _unfit(column: labels.Column, scores: np.ndarray, true: bool) -> str:
  """Why no direction can be fitted to scores; empty if one can."""
  n, known = len(scores), float(scores.std())
  if column.kind != labels.CONTINUOUS:
    count = int((scores > 0).sum())
    if min(count, n - count) < max(_LEAST_SHARE * n, fit.LEAST):
      return (
          f"only {count} of {n} samples have this label"
          if count < n - count
          else f"only {n - count} of {n} samples lack this label"
      )
    p = 0.5 * (1 + np.tanh(0.5 * scores))
    known = float(p.std() / np.sqrt(p.mean() * (1 - p.mean())))
  elif n < 2 * fit.LEAST:
    return f"there are only {n} samples"
  if not true and known < _LEAST_KNOWN:
    return (
        "the perception network predicts it poorly: its scores vary only"
        f" {known:.2f} times as much as the labels"
    )
  return "" if scores.std() else "all samples have the same value"


def _regression(flat: np.ndarray, chosen: dict[str, _Scores]) -> np.ndarray:
  """Directions (labels, d) by linear regression on all labels together."""
  if not chosen:
    return np.zeros((0, flat.shape[1]))
  return fit.regression(flat, np.stack([x.values for x in chosen.values()], 1))


def _boundaries(
    flat: np.ndarray, chosen: dict[str, _Scores], conditioning: str
) -> tuple[np.ndarray, dict[str, float], dict[str, str]]:
  """Normals (accurate labels, d) of boundaries.

  Returns:
    The normals; the accuracies of these labels, in the same order; and for
    each other label why it is left out.
  """
  found = {k: fit.boundary(flat, x.values) for k, x in chosen.items()}
  left_out = {
      label: (
          "a boundary predicts it with an accuracy of only"
          f" {b.accuracy:.2f}"
      )
      for label, b in found.items()
      if b.accuracy < _LEAST_ACCURACY
  }
  kept = {k: b for k, b in found.items() if k not in left_out}
  rows = np.array([b.normal for b in kept.values()])
  if kept and conditioning == "projection":
    rows = fit.condition(rows, [chosen[label].column for label in kept])
  return rows, {label: b.accuracy for label, b in kept.items()}, left_out


def unsupervised(
    probe: Probe, components: int, sefa: int, seed: int
) -> list[Candidate]:
  """Finds GANSpace directions "pca1", ... and SeFa directions "sefa1", ...

  Args:
    probe: holds the generator.
    components: number of GANSpace directions.
    sefa: number of SeFa directions.
    seed: random seed of the latents that GANSpace analyses.
  """
  latents = sampling.codes(probe, _CODES, seed)
  found = fit.principal_components(latents, components)
  params = probe.variables["generator"]["params"]
  kernels = [
      params[f"conv{i}"]["affine"]["kernel"]
      for i in range(probe.generator.convs)
  ]
  rows = fit.scaled(fit.sefa(kernels, sefa), latents)
  pcs = found.directions * found.stds[:, None]
  return [
      Candidate(f"pca{i}", "GANSpace", row) for i, row in enumerate(pcs, 1)
  ] + [Candidate(f"sefa{i}", "SeFa", row) for i, row in enumerate(rows, 1)]
