"""IResNet-50, ArcFace's face embedder (reference.md section 4).

The Inverter's backbone has the same trunk and starts from ArcFace's weights.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers


class IResNetBlock(nn.Module):
  """Basic block: x + BN(conv(PReLU(BN(conv(BN(x)))))).

  Attributes:
    features: output width.
    stride: of the second convolution.
    downsample: passes x through a strided 1x1 convolution and BN; needed
      wherever the stride or the width changes.
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype.
  """

  features: int
  stride: int = 1
  downsample: bool = False
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

    y = norm("bn1", x)
    y = norm("bn2", conv("conv1", y))
    y = layers.PReLU(name="prelu")(y)
    y = norm("bn3", conv("conv2", y, stride=self.stride))
    if self.downsample:
      x = conv("downsample_conv", x, 1, self.stride)
      x = norm("downsample_bn", x)
    return x + y


class IResNetTrunk(nn.Module):
  """Stem and stages of basic blocks.

  Attributes:
    depths: blocks per stage.
    widths: features per stage; the stem has the first.
    strides: stride of each stage's first block.
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype.
  """

  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  strides: tuple[int, ...] = (2, 2, 2, 2)
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
  """Trunk output to embedding: BN, flatten, linear, BN.

  Attributes:
    features: length of the embedding.
    affine: the last batch norm learns a scale and a bias.
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype; the embedding is float32.
  """

  features: int
  affine: bool = True
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """(n, h, w, c) -> (n, features) float32."""
    n, _, _, _ = x.shape
    x = layers.BatchNorm(
        axis_name=self.axis_name, dtype=self.dtype, name="input_bn"
    )(x, train)
    # Official linear weights expect the order C, H, W.
    x = x.transpose(0, 3, 1, 2).reshape(n, -1)
    x = nn.Dense(self.features, dtype=self.dtype, name="linear")(x)
    return layers.BatchNorm(
        axis_name=self.axis_name, affine=self.affine, name="output_bn"
    )(x, train)


def check_size(images: jax.Array, size: int, what: str) -> None:
  """Refuses images that are not `size` x `size` RGB.

  Raises:
    ValueError: names the shape needed and the one received.
  """
  if images.ndim != 4 or images.shape[1:] != (size, size, 3):
    raise ValueError(
        f"{what} takes images of shape (n, {size}, {size}, 3), got"
        f" {images.shape}; resize them first"
    )


class IResNet(nn.Module):
  """Face embedder: trunk, BN, flatten, linear, BN; not normalised.

  Attributes:
    depths: blocks per stage.
    widths: features per stage; the stem has the first.
    strides: stride of each stage's first block.
    embedding: length of the embedding.
    input_size: side of the square input images.
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype; embeddings are float32.
  """

  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  strides: tuple[int, ...] = (2, 2, 2, 2)
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
    """(n, size, size, 3) in [-1, 1] -> (n, embedding) float32."""
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
