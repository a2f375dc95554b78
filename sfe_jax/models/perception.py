"""A small network for measurements on a domain of the user's own.

It is trained on images of the domain (training/stages/perception.py) and
replaces the official networks where those do not fit or are not installed.  It
gives a perceptual distance like LPIPS, embeddings that identify individuals,
features for Frechet distances, and scores for the labels it was trained with.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from sfe_jax.models import layers

_LAST = 4  # height and width of the last feature map


def unit(x: jax.Array) -> jax.Array:
  """Divides x by its norm over the last axis, in float32; 0 stays 0."""
  x = x.astype(jnp.float32)
  # Adding a constant under the root keeps the gradient finite at zero.
  return x * lax.rsqrt(jnp.sum(jnp.square(x), -1, keepdims=True) + 1e-12)


class Trunk(nn.Module):
  """Two 3x3 convolutions at each resolution, with 2x2 average pooling between.

  Attributes:
    widths: channels at each resolution, from full size down.
    dtype: dtype of the convolutions.
  """

  widths: tuple[int, ...]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> list[jax.Array]:
    """Maps (n, h, h, 3) to a list of (n, h / 2**i, h / 2**i, widths[i])."""
    taps = []
    for i, width in enumerate(self.widths):
      if i:
        x = nn.avg_pool(x, (2, 2), (2, 2))
      for j in range(2):
        x = layers.conv(
            width, use_bias=True, dtype=self.dtype, name=f"conv{i}_{j}"
        )(x)
        x = layers.scaled_leaky_relu(x)
      taps.append(x)
    return taps


class Perception(nn.Module):
  """Distances, embeddings, features and label scores of images.

  All methods take images (n, h, h, 3) in [-1, 1] of any size, which adaptive
  average pooling brings to `resolution`.  There is no batch norm, so the
  results for an image do not depend on the rest of the batch.

  Attributes:
    resolution: height and width at which the network sees images.
    widths: channels at each resolution, from `resolution` down to 4 px.
    embedding: length of the embeddings.
    outputs: number of label scores (see `labels.Column.outputs`); 0 without
      labels.
    dtype: dtype of the convolutions; all results are float32.
  """

  resolution: int = 32
  widths: tuple[int, ...] = (16, 32, 64, 128)
  embedding: int = 128
  outputs: int = 0
  dtype: Any = jnp.float32

  def setup(self):
    last = self.resolution / 2 ** (len(self.widths) - 1)
    if last != _LAST:
      raise ValueError(
          f"widths must have one entry for each resolution from"
          f" {self.resolution} px down to {_LAST} px, got {self.widths}, which"
          f" end at {last:g} px"
      )
    self.trunk = Trunk(self.widths, self.dtype)
    self.hidden = nn.Dense(self.widths[-1])
    self.identity = nn.Dense(self.embedding)
    if self.outputs:
      self.labels = nn.Dense(self.outputs)

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    shape = (1, self.resolution, self.resolution, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes embeddings (n, embedding) and label scores (n, outputs).

    Embeddings have unit norm.  Scores are logits for binary labels and for each
    category of categorical ones, and standardised values for continuous labels.
    """
    pooled = self.pooled(images)
    scores = self.labels(pooled) if self.outputs else pooled[:, :0]
    return unit(self.identity(pooled)), scores

  def embed(self, images: jax.Array) -> jax.Array:
    """Embeddings (n, embedding) of unit norm, similar for one individual."""
    return unit(self.identity(self.pooled(images)))

  def pooled(self, images: jax.Array) -> jax.Array:
    """Features (n, widths[-1]) of whole images, for Frechet distances."""
    last = self._taps(images)[-1].astype(jnp.float32)
    return layers.scaled_leaky_relu(
        self.hidden(last.reshape(last.shape[0], -1))
    )

  def features(self, images: jax.Array) -> tuple[jax.Array, ...]:
    """One map (n, h', h', c) per resolution, with unit norm over channels."""
    return tuple(unit(tap) for tap in self._taps(images))

  def compare(
      self, x: Sequence[jax.Array], y: Sequence[jax.Array]
  ) -> jax.Array:
    """Distances (n,) between two results of `features`.

    This is LPIPS with equal weights (Zhang et al. 2018, equation 1): squared
    differences, summed over channels, averaged over positions and over layers.
    """
    distances = [
        jnp.mean(jnp.sum(jnp.square(a - b), -1), (1, 2))
        for a, b in zip(x, y, strict=True)
    ]
    return functools.reduce(jnp.add, distances) / len(distances)

  def _taps(self, images: jax.Array) -> list[jax.Array]:
    if images.shape[1] != self.resolution:
      images = layers.adaptive_avg_pool(images, self.resolution)
    return self.trunk(images)
