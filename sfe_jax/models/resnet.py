"""ResNet-50 for the MoCo v2 loss, which stands in for ID where faces are not.

He et al. (2016), He et al. (2020); spec/reference.md, section 7.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax.models import layers


def resize_nearest(x: jax.Array, size: int) -> jax.Array:
  """PyTorch's nearest resize of (n, h, w, c) to (n, size, size, c).

  Output pixel i is source pixel floor(i * h / size); `jax.image.resize` takes
  pixel centres instead and differs.
  """
  _, h, w, _ = x.shape
  i = np.arange(size)
  return x[:, i * h // size][:, :, i * w // size]


class Bottleneck(nn.Module):
  """1x1, 3x3 (with the stride), 1x1 convolutions plus a shortcut.

  Attributes:
    width: channels of the 3x3 convolution; the block returns 4 * width.
    stride: of the 3x3 convolution and the shortcut.
    project: whether the shortcut is a convolution.
    dtype: dtype of the convolutions.
  """

  width: int
  stride: int
  project: bool
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    def unit(x, features, kernel, stride, suffix):
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
  """Unit-norm image features of a frozen ResNet (inference statistics only).

  MoCo's loss is 1 - <f(x), f(y)> on images brought to 224 x 224 by
  `resize_nearest`; no ImageNet normalisation, as in the release.

  Attributes:
    depths: bottleneck blocks per stage.
    width: channels after the first convolution.
    dtype: dtype of the convolutions; features are float32.
  """

  depths: tuple[int, ...] = (3, 4, 6, 3)
  width: int = 64
  dtype: Any = jnp.float32

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    return (jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32),)

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps (n, h, w, 3) images in [-1, 1] to (n, 32 * width) features."""
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
