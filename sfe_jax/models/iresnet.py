"""IResNet-50 (Duta et al. 2020), ArcFace's face embedder (Deng et al. 2019).

The Inverter's backbone has the same trunk and is initialised with ArcFace's
weights.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers


class ResidualBlock(nn.Module):
  """Base of the residual blocks of face networks.

  Attributes:
    features: output channels.
    stride: stride of the second convolution and of the shortcut.
    axis_name: device axis over which batch norms average in training.
    dtype: dtype of the computation.
  """

  features: int
  stride: int = 1
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def norm(self, name: str, x: jax.Array, train: bool) -> jax.Array:
    """Applies a batch norm."""
    return layers.BatchNorm(
        axis_name=self.axis_name, dtype=self.dtype, name=name
    )(x, train)

  def conv(
      self, name: str, x: jax.Array, kernel_size: int = 3, stride: int = 1
  ) -> jax.Array:
    """Applies a convolution without bias to `features` channels."""
    return layers.conv(
        self.features, kernel_size, stride, dtype=self.dtype, name=name
    )(x)


class IResNetBlock(ResidualBlock):
  """Basic block: x + BN(conv(PReLU(BN(conv(BN(x)))))).

  Attributes:
    features, stride, axis_name, dtype: see `ResidualBlock`.
    downsample: whether the shortcut is a strided 1x1 convolution with batch
      norm; required where the stride is not 1 or the number of channels
      changes.
  """

  downsample: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps (n, h, w, c) to (n, h / stride, w / stride, features)."""
    y = self.norm("bn1", x, train)
    y = self.norm("bn2", self.conv("conv1", y), train)
    y = layers.PReLU(name="prelu")(y)
    y = self.conv("conv2", y, stride=self.stride)
    y = self.norm("bn3", y, train)
    if self.downsample:
      x = self.conv("downsample_conv", x, 1, self.stride)
      x = self.norm("downsample_bn", x, train)
    return x + y


class IResNetTrunk(nn.Module):
  """First layer and stages of basic blocks.

  Attributes:
    depths: number of blocks in each stage.
    widths: channels of each stage; the first layer has the first width.
    strides: stride of the first block of each stage.
    axis_name: device axis over which batch norms average in training.
    dtype: dtype of the computation.
  """

  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  strides: tuple[int, ...] = (2, 2, 2, 2)
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
    outputs = []
    stages = zip(self.depths, self.widths, self.strides, strict=True)
    for i, (depth, width, stride) in enumerate(stages, 1):
      for j in range(depth):
        x = IResNetBlock(
            width,
            stride if j == 0 else 1,
            downsample=j == 0,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=f"stage{i}_{j}",
        )(x, train)
      outputs.append(x)
    return outputs


class EmbeddingHead(nn.Module):
  """Embedding from the trunk's output: BN, flatten, linear, BN.

  Attributes:
    features: length of the embedding.
    affine: whether the last batch norm has a learned scale and bias.
    axis_name: device axis over which batch norms average in training.
    dtype: dtype of the computation; the embedding is float32.
  """

  features: int
  affine: bool = True
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps (n, h, w, c) to (n, features) float32."""
    n, _, _, _ = x.shape
    x = layers.BatchNorm(
        axis_name=self.axis_name, dtype=self.dtype, name="input_bn"
    )(x, train)
    # Official weights expect the flattened order c, h, w.
    x = x.transpose(0, 3, 1, 2).reshape(n, -1)
    x = nn.Dense(self.features, dtype=self.dtype, name="linear")(x)
    return layers.BatchNorm(
        axis_name=self.axis_name, affine=self.affine, name="output_bn"
    )(x, train)


def check_size(images: jax.Array, size: int, what: str) -> None:
  """Checks the shape of a network's images.

  Args:
    images: must be (n, size, size, 3).
    size: height and width that the network takes.
    what: name of the network, for the message.

  Raises:
    ValueError: the images have another shape.
  """
  if images.ndim != 4 or images.shape[1:] != (size, size, 3):
    raise ValueError(
        f"{what} takes images of shape (n, {size}, {size}, 3), got"
        f" {images.shape}; resize them first"
    )


class IResNet(nn.Module):
  """Face embedder; embeddings are not normalised.

  Attributes:
    depths: number of blocks in each stage.
    widths: channels of each stage; the first layer has the first width.
    strides: stride of the first block of each stage.
    embedding: length of the embedding.
    input_size: height and width of the images.
    axis_name: device axis over which batch norms average in training.
    dtype: dtype of the computation; embeddings are float32.
  """

  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  strides: tuple[int, ...] = (2, 2, 2, 2)
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
      (n, embedding) float32.

    Raises:
      ValueError: the images have another shape.
    """
    check_size(images, self.input_size, "IResNet")
    x = IResNetTrunk(
        self.depths,
        self.widths,
        self.strides,
        axis_name=self.axis_name,
        dtype=self.dtype,
        name="trunk",
    )(images, train)[-1]
    return EmbeddingHead(
        self.embedding,
        axis_name=self.axis_name,
        dtype=self.dtype,
        name="head",
    )(x, train)
