"""A small network that learns how pictures of one domain look.

Trained on the domain's own images (`stages.perception`), it measures where
official networks know nothing of the domain or are not at hand: a perceptual
distance like LPIPS's, embeddings that tell individuals apart, features for
Frechet distances, and scores of the labels that it learned.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from sfe_jax.models import layers

_LAST = 4  # side of the last feature map in pixels


def unit(x: jax.Array) -> jax.Array:
  """Scales x to unit norm over its last axis, in float32; zeros stay zeros."""
  x = x.astype(jnp.float32)
  # Unlike that of a norm its gradient is finite at zero.
  return x * lax.rsqrt(jnp.sum(jnp.square(x), -1, keepdims=True) + 1e-12)


class Trunk(nn.Module):
  """Two 3x3 convolutions at every resolution; 2x2 means halve it.

  Attributes:
    widths: channels at every resolution, from full size down.
    dtype: of the convolutions.
  """

  widths: tuple[int, ...]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> list[jax.Array]:
    """(n, h, h, 3) -> (n, h / 2**i, h / 2**i, widths[i]) for every i."""
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

  All methods take (n, h, h, 3) images in [-1, 1] of any size; they are averaged
  to the network's own.  There is no batch norm: an image's values depend on
  that image alone.

  Attributes:
    resolution: side of the images that it sees.
    widths: channels at every resolution from full size down to 4 px.
    embedding: length of the embeddings.
    outputs: label scores, see `labels.Column.outputs`; 0 without labels.
    dtype: of the convolutions; all results are float32.
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
          f"widths must lead from {self.resolution} px down to {_LAST} px by"
          f" halves, got {self.widths}, which end at {last:g} px"
      )
    self.trunk = Trunk(self.widths, self.dtype)
    self.hidden = nn.Dense(self.widths[-1])
    self.identity = nn.Dense(self.embedding)
    if self.outputs:
      self.labels = nn.Dense(self.outputs)

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Inputs of `__call__` for one image."""
    shape = (1, self.resolution, self.resolution, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Embeddings (n, embedding) of unit norm, label scores (n, outputs).

    Scores are logits of binary labels and of each category, and standardised
    values of continuous ones.
    """
    pooled = self.pooled(images)
    scores = self.labels(pooled) if self.outputs else pooled[:, :0]
    return unit(self.identity(pooled)), scores

  def embed(self, images: jax.Array) -> jax.Array:
    """(n, embedding) unit vectors: near for pictures of one individual."""
    return unit(self.identity(self.pooled(images)))

  def pooled(self, images: jax.Array) -> jax.Array:
    """(n, widths[-1]) of all places at once, for Frechet distances."""
    last = self._taps(images)[-1].astype(jnp.float32)
    return layers.scaled_leaky_relu(
        self.hidden(last.reshape(last.shape[0], -1))
    )

  def features(self, images: jax.Array) -> tuple[jax.Array, ...]:
    """One (n, h', h', c) map per resolution, of unit norm over channels."""
    return tuple(unit(tap) for tap in self._taps(images))

  def compare(
      self, x: Sequence[jax.Array], y: Sequence[jax.Array]
  ) -> jax.Array:
    """(n,) distances between two results of `features`: LPIPS of equal weights.

    The mean over layers of the squared differences, summed over channels and
    averaged over space (Zhang et al. 2018, equation 1).
    """
    distances = [
        jnp.mean(jnp.sum(jnp.square(a - b), -1), (1, 2)) for a, b in zip(x, y)
    ]
    return sum(distances) / len(distances)

  def _taps(self, images: jax.Array) -> list[jax.Array]:
    if images.shape[1] != self.resolution:
      images = layers.adaptive_avg_pool(images, self.resolution)
    return self.trunk(images)
