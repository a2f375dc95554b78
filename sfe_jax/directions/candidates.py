"""Directions of a generator, before it is measured how far they are useful.

Attributes come from true labels of pictures, whose latents E finds, or from the
scores of a perception network that was trained with labels, on samples of the
generator.  GANSpace and SeFa need neither.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import tqdm

from sfe_jax import pipeline
from sfe_jax.directions import fit, ranges
from sfe_jax.directions.ranges import Networks
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.e4e import E4E
from sfe_jax.models.perception import Perception
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import images, labels

METHODS = ("regression", "boundary")
CONDITIONING = ("projection", "none")
_CODES = 100_000
_BATCH = 64
_LEAST_SHARE = 0.01  # of the samples in a class
_LEAST_KNOWN = 0.3  # of a label's standard deviation, in the scores
_LEAST_ACCURACY = 0.65  # of boundaries; 0.5 is chance
_FAMILIES = {"regression": "regression", "boundary": "InterFaceGAN"}


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A direction before its range is known.

  Attributes:
    name: of its file and for users.
    family: how it was found.
    offset: (w_dim,) or (styles, w_dim), one standard deviation of the latents.
    effect: what + and - do; empty where only measuring tells.
    label: of its attribute, if it is one's.
    accuracy: of its boundary on held-out samples, if it has one.
  """

  name: str
  family: str
  offset: np.ndarray
  effect: str = ""
  label: str = ""
  accuracy: float | None = None


@dataclasses.dataclass(frozen=True)
class Samples:
  """Latents with a label for each.

  Attributes:
    latents: (n, w_dim) of w, or (n, styles, w_dim).
    schema: what the scores mean.
    scores: (n, outputs): see `ranges.log_odds`, or true labels.
    true: whether they are true labels.
  """

  latents: np.ndarray
  schema: labels.Schema = ()
  scores: np.ndarray | None = None
  true: bool = False


def words(label: str) -> str:
  """A label for people: "hair_style=long" -> "hair style long"."""
  return re.sub(r"[_=]+", " ", label)


def _batches(count: int, unit: str, text: str) -> Iterator[slice]:
  """Slices of at most _BATCH, with a progress bar."""
  with tqdm.tqdm(total=count, unit=unit, desc=text) as bar:
    for start in range(0, count, _BATCH):
      stop = min(start + _BATCH, count)
      yield slice(start, stop)
      bar.update(stop - start)


@functools.partial(jax.jit, static_argnums=0)
def _mapping(generator: Generator, variables: Any, z: jax.Array) -> jax.Array:
  return generator.apply(variables, z, method="mapping")


def codes(networks: Networks, count: int, seed: int) -> np.ndarray:
  """(count, w_dim) latents w of normal z."""
  generator, variables = networks.generator, networks.variables[0]
  rng = np.random.default_rng(seed)
  chunks = [
      _mapping(
          generator, variables, rng.standard_normal((n, generator.w_dim))
      )
      for n in np.diff([*range(0, count, 1000), count])
  ]
  return np.concatenate(jax.device_get(chunks))


@functools.partial(jax.jit, static_argnums=0)
def _scores(perception: Perception, variables: Any, made: jax.Array):
  return perception.apply(variables, made)[1]


def classified(networks: Networks, count: int, seed: int) -> Samples:
  """Samples of the generator, with the network's scores of their pictures."""
  latents = codes(networks, count, seed)
  if not networks.schema:
    return Samples(latents)
  n, scores = networks, []
  for rows in _batches(count, "picture", "sampling"):
    made = ranges.pictures(n.generator, n.variables[0], latents[rows])
    scores.append(_scores(n.perception, n.variables[1], made))
  scores = ranges.log_odds(n.schema, np.concatenate(jax.device_get(scores)))
  return Samples(latents, n.schema, scores)


@functools.partial(jax.jit, static_argnums=0)
def _encode(e4e: E4E, variables: Any, batch: jax.Array) -> jax.Array:
  return pipeline.encode(e4e, variables, layers.to_float(batch))


def labelled(
    networks: Networks,
    e4e: E4E,
    variables: Any,
    folder: str,
    table: labels.Table,
    count: int,
    seed: int,
) -> Samples:
  """At most `count` pictures: what E makes of them, and their true labels.

  Pictures that cannot be read are skipped.

  Raises:
    UserError: a picture has no label, or none can be read.
  """
  paths = images.find_below(folder)
  order = np.random.default_rng(seed).permutation(len(paths))[:count]
  paths = [paths[i] for i in order]
  table.of(paths)
  size = networks.generator.resolution
  pictures = images.Pictures(paths, size, "encoding")
  latents, readable = [], iter(pictures)
  while batch := list(itertools.islice(readable, _BATCH)):
    latents.append(_encode(e4e, variables, np.stack(batch)))
  if not latents:
    raise UserError(f"{folder}: none of its {len(paths)} pictures can be read")
  latents = np.concatenate(jax.device_get(latents))
  skipped = set(pictures.skipped)
  values = table.of([path for path in paths if path not in skipped])
  return Samples(latents, table.schema, values, true=True)


def attributes(
    samples: Samples, method: str, conditioning: str
) -> tuple[list[Candidate], dict[str, str]]:
  """A direction for every label that can be told apart.

  Args:
    samples: with scores.
    method: "regression" or "boundary", see `fit`.
    conditioning: of boundaries: "projection", see `fit.condition`, or "none".

  Returns:
    Directions, and why others are left out by name.
  """
  flat = samples.latents.reshape(len(samples.latents), -1)
  schema = samples.schema
  names = dict(zip(labels.outputs(schema), labels.edit_names(schema)))
  chosen, left_out = {}, {}  # by label: its column's name, its scores
  for column, span in labels.spans(schema):
    for label, scores in zip(column.outputs, samples.scores[:, span].T):
      if reason := _unfit(column, scores, samples.true):
        left_out[names[label]] = reason
      else:
        chosen[label] = column.name, scores
  accuracies = {}
  if method == "boundary":
    found = {k: fit.boundary(flat, scores) for k, (_, scores) in chosen.items()}
    accuracies = {label: boundary.accuracy for label, boundary in found.items()}
    for label, accuracy in accuracies.items():
      if accuracy < _LEAST_ACCURACY:
        del chosen[label]
        left_out[names[label]] = (
            f"latents tell it with an accuracy of only {accuracy:.2f}"
        )
  if not chosen:
    return [], left_out
  columns, scores = zip(*chosen.values())
  if method == "regression":
    rows = fit.regression(flat, np.stack(scores, 1))
  else:
    rows = np.stack([found[label].normal for label in chosen])
    if conditioning == "projection":
      rows = fit.condition(rows, columns)
  offsets = fit.scaled(rows, flat).reshape(-1, *samples.latents.shape[1:])
  return [
      Candidate(
          names[label],
          _FAMILIES[method],
          offset,
          f"+ more {words(label)}, - less {words(label)}",
          label,
          accuracies.get(label),
      )
      for label, offset in zip(chosen, offsets)
  ], left_out


def _unfit(column: labels.Column, scores: np.ndarray, true: bool) -> str:
  """Why no direction can be fitted to scores, or nothing."""
  n, known = len(scores), scores.std()
  if column.kind != labels.CONTINUOUS:
    count = int((scores > 0).sum())
    if min(count, n - count) < max(_LEAST_SHARE * n, fit.LEAST):
      return f"{count} of {n} samples have it"
    p = 0.5 * (1 + np.tanh(0.5 * scores))
    known = p.std() / np.sqrt(p.mean() * (1 - p.mean()))
  elif n < 2 * fit.LEAST:
    return f"there are only {n} samples"
  if not true and known < _LEAST_KNOWN:
    return (
        "the classifier hardly sees it: its scores vary by"
        f" {known:.2f} of what labels do"
    )
  return "" if scores.std() else "all samples have the same value"


def unsupervised(
    networks: Networks, components: int, sefa: int, seed: int
) -> list[Candidate]:
  """GANSpace's directions, "pca1", ..., and SeFa's, "sefa1", ..."""
  latents = codes(networks, _CODES, seed)
  found = fit.principal_components(latents, components)
  params = networks.variables[0]["params"]
  kernels = [
      params[f"conv{i}"]["affine"]["kernel"]
      for i in range(networks.generator.convs)
  ]
  rows = fit.scaled(fit.sefa(kernels, sefa), latents)
  pcs = found.directions * found.stds[:, None]
  return [
      Candidate(f"pca{i}", "GANSpace", row) for i, row in enumerate(pcs, 1)
  ] + [Candidate(f"sefa{i}", "SeFa", row) for i, row in enumerate(rows, 1)]
