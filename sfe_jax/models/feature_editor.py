"""Feature Editor H and the Inverter's Fuser, which share one architecture."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers
from sfe_jax.models.iresnet import IResNetBlock


class FeatureFusion(nn.Module):
  """Merges two feature maps.

  A 1x1 convolution maps their concatenation to `features` channels; residual
  blocks follow.

  Attributes:
    features: channels of the output.
    depth: number of residual blocks.
    dtype: dtype of the computation.
    axis_name: device axis over which batch norms average in training.
  """

  features: int = 512
  depth: int = 5
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
      self, a: jax.Array, b: jax.Array, train: bool = False
  ) -> jax.Array:
    """Merges (n, h, w, c) and (n, h, w, c') into (n, h, w, features)."""
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
  """H: edits F_k by Delta (paper, equation 6 and section 8).

  Attributes:
    features: channels of F_k.
    size: height and width of F_k.
    depth: number of residual blocks.
    delta_features: None if Delta has the shape of F_k.  Otherwise Delta has
      twice the height and width of F_k and this number of channels (cars: F_11,
      paper, section 8), and a residual block with stride 2 first maps it to the
      shape of F_k.
    dtype: dtype of the computation.
    axis_name: device axis over which batch norms average in training.
  """

  features: int = 512
  size: int = 64
  depth: int = 5
  delta_features: int | None = None
  dtype: Any = jnp.float32
  axis_name: str | None = None

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    f_k = (1, self.size, self.size, self.features)
    delta = f_k
    if self.delta_features is not None:
      delta = (1, 2 * self.size, 2 * self.size, self.delta_features)
    return tuple(jax.ShapeDtypeStruct(s, jnp.float32) for s in (f_k, delta))

  @nn.compact
  def __call__(
      self, f_k: jax.Array, delta: jax.Array, train: bool = False
  ) -> jax.Array:
    """Computes the edited features F_k'.

    Args:
      f_k: (n, size, size, features).
      delta: (n, size, size, features), or as `delta_features` says.
      train: whether batch norms use and record statistics of the batch.

    Returns:
      An array of the shape of F_k.
    """
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
