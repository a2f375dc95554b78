"""Latents with labels, which attribute directions are fitted to.

There are two kinds: pictures with true labels, encoded by E; and samples of the
generator, labelled with the scores of a perception network.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any, cast

import jax
import numpy as np
import tqdm

from sfe_jax import pipeline
from sfe_jax.directions import ranges
from sfe_jax.directions.ranges import Probe
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.e4e import E4E
from sfe_jax.models.perception import Perception
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import images, labels

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Samples:
  """Latents with a label for each.

  Attributes:
    latents: (n, w_dim) of w, or (n, styles, w_dim) of w+.
    schema: the labels.
    scores: (n, outputs) labels, or scores as `ranges.log_odds` gives them;
      None where there are no labels.
    true: whether the scores are true labels.
  """

  latents: np.ndarray
  schema: labels.Schema = ()
  scores: np.ndarray | None = None
  true: bool = False


@dataclasses.dataclass(frozen=True)
class LabelledPictures:
  """Pictures with true labels, and the encoder that finds their latents.

  Attributes:
    e4e: E.
    variables: its variables.
    folder: folder of the pictures.
    table: their labels.
  """

  e4e: E4E
  variables: Any
  folder: str
  table: labels.Table


def codes(probe: Probe, count: int, seed: int) -> np.ndarray:
  """Draws (count, w_dim) latents w: the mapping of normal z."""
  generator = probe.generator
  rng = np.random.default_rng(seed)
  chunks = [
      _mapping(
          generator,
          probe.variables["generator"],
          rng.standard_normal((n, generator.w_dim)),
      )
      for n in np.diff([*range(0, count, 1000), count])
  ]
  return np.concatenate(jax.device_get(chunks))


def classified(probe: Probe, count: int, seed: int) -> Samples:
  """Draws samples of the generator and scores their pictures."""
  latents = codes(probe, count, seed)
  if not probe.schema:
    return Samples(latents)
  scores = [
      _scores(
          probe.perception,
          probe.variables["perception"],
          probe.pictures(latents[rows]),
      )
      for rows in _batches(count)
  ]
  logits = np.concatenate(jax.device_get(scores))
  return Samples(latents, probe.schema, ranges.log_odds(probe.schema, logits))


def labelled(
    probe: Probe, source: LabelledPictures, count: int, seed: int
) -> Samples:
  """Encodes at most `count` pictures with E; their labels are the true ones.

  Pictures that cannot be read are skipped.

  Raises:
    UserError: a picture has no label, or none can be read.
  """
  paths = images.find_below(source.folder)
  order = np.random.default_rng(seed).permutation(len(paths))[:count]
  paths = [paths[i] for i in order]
  source.table.of(paths)
  pictures = images.Pictures(paths, probe.generator.resolution)
  found, readable = [], iter(pictures)
  while batch := list(itertools.islice(readable, _BATCH)):
    found.append(_encode(source.e4e, source.variables, np.stack(batch)))
  if not found:
    raise UserError(
        f"{source.folder}: none of its {len(paths)} pictures can be read"
    )
  latents = np.concatenate(jax.device_get(found))
  skipped = set(pictures.skipped)
  values = source.table.of([path for path in paths if path not in skipped])
  return Samples(latents, source.table.schema, values, true=True)


def _batches(count: int) -> Iterator[slice]:
  """Slices of at most _BATCH samples, with a progress bar."""
  with tqdm.tqdm(
      total=count, unit="picture", desc="sampling", disable=None
  ) as bar:
    for start in range(0, count, _BATCH):
      stop = min(start + _BATCH, count)
      yield slice(start, stop)
      bar.update(stop - start)


@functools.partial(jax.jit, static_argnums=0)
def _mapping(generator: Generator, variables: Any, z: jax.Array) -> jax.Array:
  w = generator.apply(variables, z, method="mapping")
  return cast(jax.Array, w)


@functools.partial(jax.jit, static_argnums=0)
def _scores(
    perception: Perception, variables: Any, made: jax.Array
) -> jax.Array:
  return cast(Any, perception.apply(variables, made))[1]


@functools.partial(jax.jit, static_argnums=0)
def _encode(e4e: E4E, variables: Any, batch: jax.Array) -> jax.Array:
  return pipeline.encode(e4e, variables, layers.to_float(batch))[0]
