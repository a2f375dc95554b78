"""IR and IR-SE face networks (reference.md sections 3 and 7).

The trunk of e4e, and the embedders that measure identity: ArcFace's IR-SE50
in the loss, CurricularFace's IR-101 in the metrics.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers
from sfe_jax.models.iresnet import EmbeddingHead, check_size

_SE_REDUCTION = 16


class SqueezeExcite(nn.Module):
  """Weighs every channel by a function of all channel means."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(n, h, w, c) -> the same shape."""
    c = x.shape[-1]
    y = jnp.mean(x, axis=(1, 2))
    y = nn.Dense(
        max(1, c // _SE_REDUCTION),
        use_bias=False,
        dtype=self.dtype,
        name="squeeze",
    )(y)
    y = nn.Dense(c, use_bias=False, dtype=self.dtype, name="excite")(nn.relu(y))
    return x * nn.sigmoid(y)[:, None, None]


class Bottleneck(nn.Module):
  """Residual block of IR and IR-SE networks.

  The shortcut subsamples x, through a convolution where the width changes.

  Attributes:
    features: output width.
    stride: of the second convolution.
    squeeze_excite: IR-SE rather than IR.
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype.
  """

  features: int
  stride: int = 1
  squeeze_excite: bool = True
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """(n, h, w, c) -> (n, h / stride, w / stride, features)."""

    def norm(name, x):
      return layers.BatchNorm(
          axis_name=self.axis_name, dtype=self.dtype, name=name
      )(x, train)

    def conv(name, x, kernel_size=3, stride=1):
      return layers.conv(
          self.features, kernel_size, stride, dtype=self.dtype, name=name
      )(x)

    y = conv("conv1", norm("bn1", x))
    y = layers.PReLU(name="prelu")(y)
    y = norm("bn2", conv("conv2", y, stride=self.stride))
    if self.squeeze_excite:
      y = SqueezeExcite(dtype=self.dtype, name="se")(y)
    if x.shape[-1] == self.features:
      x = x[:, :: self.stride, :: self.stride]
    else:
      x = conv("shortcut_conv", x, 1, self.stride)
      x = norm("shortcut_bn", x)
    return x + y


class IRTrunk(nn.Module):
  """Stem and stages of bottlenecks, each stage halving the resolution.

  Attributes:
    depths: blocks per stage.
    widths: features per stage; the stem has the first.
    squeeze_excite: IR-SE rather than IR.
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype.
  """

  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  squeeze_excite: bool = True
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> list[jax.Array]:
    """(n, h, w, 3) in [-1, 1] -> the output of every stage, in order."""
    x = layers.conv(self.widths[0], dtype=self.dtype, name="stem_conv")(x)
    x = layers.BatchNorm(
        axis_name=self.axis_name, dtype=self.dtype, name="stem_bn"
    )(x, train)
    x = layers.PReLU(name="stem_prelu")(x)
    outputs, block = [], 0
    for depth, width in zip(self.depths, self.widths, strict=True):
      for j in range(depth):
        x = Bottleneck(
            width,
            2 if j == 0 else 1,
            self.squeeze_excite,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=f"block{block}",
        )(x, train)
        block += 1
      outputs.append(x)
    return outputs


class ArcFace(nn.Module):
  """Face embedder on the IR trunk; embeddings have unit length.

  The defaults are ArcFace's IR-SE50; CurricularFace's IR-101 has depths
  (3, 13, 30, 3), no squeeze-excite and no affine output.

  Attributes:
    depths: blocks per stage.
    widths: features per stage; the stem has the first.
    squeeze_excite: IR-SE rather than IR.
    output_affine: the last batch norm learns a scale and a bias.
    embedding: length of the embedding.
    input_size: side of the square input images.
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype; embeddings are float32.
  """

  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  squeeze_excite: bool = True
  output_affine: bool = True
  embedding: int = 512
  input_size: int = 112
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Inputs of `__call__` for one image."""
    shape = (1, self.input_size, self.input_size, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """(n, size, size, 3) in [-1, 1] -> (n, embedding) float32, unit length."""
    check_size(images, self.input_size, "ArcFace")
    x = IRTrunk(
        self.depths,
        self.widths,
        self.squeeze_excite,
        axis_name=self.axis_name,
        dtype=self.dtype,
        name="trunk",
    )(images, train)[-1]
    x = EmbeddingHead(
        self.embedding,
        self.output_affine,
        axis_name=self.axis_name,
        dtype=self.dtype,
        name="head",
    )(x, train)
    return layers.l2_normalize(x)


def identity_crop(images: jax.Array, size: int = 112) -> jax.Array:
  """The face of an aligned image, as the identity loss sees it (section 7).

  Args:
    images: (n, 256, 256, 3).
    size: side of the result, averaged down from 188 pixels.

  Returns:
    (n, size, size, 3) in the range of `images`.

  Raises:
    ValueError: the crop is defined on 256 pixels only.
  """
  check_size(images, 256, "identity_crop")
  return layers.adaptive_avg_pool(images[:, 35:223, 32:220], size)
