"""IR and IR-SE face networks (Deng et al. 2019; Hu et al. 2018).

They are the trunk of e4e and the face embedders that measure identity:
ArcFace's IR-SE50 in the loss, CurricularFace's IR-101 in the metrics.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers
from sfe_jax.models.iresnet import EmbeddingHead, ResidualBlock, check_size

_SE_REDUCTION = 16


class SqueezeExcite(nn.Module):
  """Multiplies each channel by a factor computed from all channel means.

  Attributes:
    dtype: dtype of the computation.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps (n, h, w, c) to the same shape."""
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


class Bottleneck(ResidualBlock):
  """Residual block of IR and IR-SE networks.

  The shortcut is a strided 1x1 convolution with batch norm where the number of
  channels changes; elsewhere it takes every `stride`-th row and column.

  Attributes:
    features, stride, axis_name, dtype: see `ResidualBlock`.
    squeeze_excite: True for IR-SE, False for IR.
  """

  squeeze_excite: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps (n, h, w, c) to (n, h / stride, w / stride, features)."""
    y = self.conv("conv1", self.norm("bn1", x, train))
    y = layers.PReLU(name="prelu")(y)
    y = self.conv("conv2", y, stride=self.stride)
    y = self.norm("bn2", y, train)
    if self.squeeze_excite:
      y = SqueezeExcite(dtype=self.dtype, name="se")(y)
    if x.shape[-1] == self.features:
      x = x[:, :: self.stride, :: self.stride]
    else:
      x = self.conv("shortcut_conv", x, 1, self.stride)
      x = self.norm("shortcut_bn", x, train)
    return x + y


class IRTrunk(nn.Module):
  """First layer and stages of bottlenecks; each stage halves the resolution.

  Attributes:
    depths: number of blocks in each stage.
    widths: channels of each stage; the first layer has the first width.
    squeeze_excite: True for IR-SE, False for IR.
    axis_name: device axis over which batch norms average in training.
    dtype: dtype of the computation.
  """

  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  squeeze_excite: bool = True
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> list[jax.Array]:
    """Maps images (n, h, w, 3) in [-1, 1] to the outputs of all stages."""
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
            squeeze_excite=self.squeeze_excite,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=f"block{block}",
        )(x, train)
        block += 1
      outputs.append(x)
    return outputs


class ArcFace(nn.Module):
  """Face embedder on the IR or IR-SE trunk; embeddings have unit norm.

  The defaults are those of ArcFace's IR-SE50.  CurricularFace's IR-101 has
  depths (3, 13, 30, 3), no squeeze-excite and no affine output.

  Attributes:
    depths: number of blocks in each stage.
    widths: channels of each stage; the first layer has the first width.
    squeeze_excite: True for IR-SE, False for IR.
    output_affine: whether the last batch norm has a learned scale and bias.
    embedding: length of the embedding.
    input_size: height and width of the images.
    axis_name: device axis over which batch norms average in training.
    dtype: dtype of the computation; embeddings are float32.
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
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    shape = (1, self.input_size, self.input_size, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """Maps images (n, input_size, input_size, 3) in [-1, 1] to embeddings.

    Returns:
      (n, embedding) float32 of unit norm.

    Raises:
      ValueError: the images have another shape.
    """
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
  """Crops the face of aligned images, as the identity loss does.

  The crop takes rows 35 to 222 and columns 32 to 219 (docs/numerics.md);
  adaptive average pooling reduces it.

  Args:
    images: (n, 256, 256, 3).
    size: height and width of the result.

  Returns:
    (n, size, size, 3) in the range of `images`.

  Raises:
    ValueError: the images have another size, for which the crop is not defined.
  """
  check_size(images, 256, "identity_crop")
  return layers.adaptive_avg_pool(images[:, 35:223, 32:220], size)
