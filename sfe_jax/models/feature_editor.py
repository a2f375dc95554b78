"""Feature Editor and Fuser: one architecture (paper, section 8)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers
from sfe_jax.models.iresnet import IResNetBlock


class FeatureFusion(nn.Module):
  """Merges two feature maps: conv1x1 on their concatenation, then blocks.

  The Inverter's Fuser merges F_pred and F_w (equation 2).

  Attributes:
    features: channels of each input and of the output.
    depth: number of residual blocks.
    dtype: compute dtype.
    axis_name: device axis of the batch statistics.
  """

  features: int = 512
  depth: int = 5
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
      self, a: jax.Array, b: jax.Array, train: bool = False
  ) -> jax.Array:
    """(n, h, w, c), (n, h, w, c') -> (n, h, w, features)."""
    x = jnp.concatenate([a, b.astype(a.dtype)], -1)
    x = layers.conv(
        self.features, 1, use_bias=True, dtype=self.dtype, name="conv"
    )(x)
    for i in range(self.depth):
      x = IResNetBlock(
          self.features,
          dtype=self.dtype,
          axis_name=self.axis_name,
          name=f"block{i}",
      )(x, train)
    return x


class FeatureEditor(nn.Module):
  """H: edits F_k by Delta (equation 6).

  Attributes:
    features: channels of F_k.
    size: height and width of F_k.
    depth: number of residual blocks.
    delta_features: channels of Delta where it is taken at twice the
      resolution of F_k (cars: F_11, section 8); a further trained block then
      halves it first.  None: Delta has the shape of F_k.
    dtype: compute dtype.
    axis_name: device axis of the batch statistics.
  """

  features: int = 512
  size: int = 64
  depth: int = 5
  delta_features: int | None = None
  dtype: Any = jnp.float32
  axis_name: str | None = None

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Inputs of `__call__`, for initialisation."""
    f_k = (1, self.size, self.size, self.features)
    delta = f_k
    if self.delta_features is not None:
      delta = (1, 2 * self.size, 2 * self.size, self.delta_features)
    return tuple(jax.ShapeDtypeStruct(s, jnp.float32) for s in (f_k, delta))

  @nn.compact
  def __call__(
      self, f_k: jax.Array, delta: jax.Array, train: bool = False
  ) -> jax.Array:
    """F_k (n, h, w, c) and Delta -> F_k' (n, h, w, c)."""
    if self.delta_features is not None:
      delta = IResNetBlock(
          self.features,
          stride=2,
          downsample=True,
          dtype=self.dtype,
          axis_name=self.axis_name,
          name="delta_block",
      )(delta, train)
    return FeatureFusion(
        self.features,
        self.depth,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name="fusion",
    )(f_k, delta, train)
