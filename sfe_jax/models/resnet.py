"""ResNet-50 (He et al. 2016) for the MoCo v2 loss (Chen et al. 2020).

The MoCo loss replaces the identity loss in domains other than faces.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax.models import layers


def resize_nearest(x: jax.Array, size: int) -> jax.Array:
  """PyTorch's nearest resize of (n, h, w, c) to (n, size, size, c).

  Output pixel i is input pixel floor(i * h / size).  `jax.image.resize` rounds
  pixel centres instead.
  """
  _, h, w, _ = x.shape
  i = np.arange(size)
  return x[:, i * h // size][:, :, i * w // size]


class Bottleneck(nn.Module):
  """Residual block of 1x1, 3x3 and 1x1 convolutions.

  Attributes:
    width: channels of the 3x3 convolution; the output has 4 * width.
    stride: stride of the 3x3 convolution and of the shortcut.
    project: whether the shortcut is a 1x1 convolution, not the identity.
    dtype: dtype of the computation.
  """

  width: int
  stride: int
  project: bool
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps (n, h, w, c) to (n, h / stride, w / stride, 4 * width)."""

    def unit(
        x: jax.Array, features: int, kernel: int, stride: int, suffix: str
    ) -> jax.Array:
      x = layers.conv(
          features, kernel, stride, dtype=self.dtype, name=f"conv{suffix}"
      )(x)
      return layers.BatchNorm(dtype=self.dtype, name=f"norm{suffix}")(x)

    y = nn.relu(unit(x, self.width, 1, 1, "1"))
    y = nn.relu(unit(y, self.width, 3, self.stride, "2"))
    y = unit(y, 4 * self.width, 1, 1, "3")
    if self.project:
      x = unit(x, 4 * self.width, 1, self.stride, "_shortcut")
    return nn.relu(x + y)


class ResNet50(nn.Module):
  """Unit-norm image features of a frozen ResNet.

  Batch norms always use their running statistics.  MoCo's loss is
  1 - <f(x), f(y)> for images that `resize_nearest` brings to 224 x 224 px.
  ImageNet normalisation is not applied (docs/numerics.md).

  Attributes:
    depths: number of bottlenecks in each stage.
    width: channels of the first convolution.
    dtype: dtype of the convolutions; features are float32.
  """

  depths: tuple[int, ...] = (3, 4, 6, 3)
  width: int = 64
  dtype: Any = jnp.float32

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    return (jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32),)

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps images (n, h, w, 3) in [-1, 1] to features (n, 32 * width)."""
    x = layers.conv(self.width, 7, 2, dtype=self.dtype, name="conv1")(x)
    x = nn.relu(layers.BatchNorm(dtype=self.dtype, name="norm1")(x))
    x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    for stage, depth in enumerate(self.depths, 1):
      for i in range(depth):
        x = Bottleneck(
            width=self.width * 2 ** (stage - 1),
            stride=2 if stage > 1 and i == 0 else 1,
            project=i == 0,
            dtype=self.dtype,
            name=f"block{stage}_{i}",
        )(x)
    return layers.l2_normalize(jnp.mean(x.astype(jnp.float32), (1, 2)))
