"""LPIPS, version 0.1: the perceptual distance of Zhang et al. (2018).

The training loss uses VGG16, the reported metric AlexNet.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers

# Mean and standard deviation of ImageNet's RGB values, (.485, .456, .406) and
# (.229, .224, .225) for [0, 1], converted to [-1, 1] and rounded as LPIPS does.
_MEAN = (-0.030, -0.088, -0.188)
_STD = (0.458, 0.448, 0.450)

# For each stage: multiple of the first width, number of convolutions.
_VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
# For each layer: multiple of the first width, kernel size, stride, padding,
# whether max pooling precedes it.
_ALEXNET = (
    (1, 11, 4, 2, False),
    (3, 5, 1, 2, True),
    (6, 3, 1, 1, True),
    (4, 3, 1, 1, False),
    (4, 3, 1, 1, False),
)
# Smallest image size for which the last feature map is not empty.
_SMALLEST = {"vgg": 16, "alex": 31}


class VGG16Trunk(nn.Module):
  """VGG16's convolutions; returns relu1_2, 2_2, 3_3, 4_3 and 5_3.

  Attributes:
    width: channels of the first convolution.
    dtype: dtype of the computation.
  """

  width: int = 64
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> list[jax.Array]:
    taps = []
    for stage, (multiple, depth) in enumerate(_VGG16, 1):
      if stage > 1:
        x = nn.max_pool(x, (2, 2), (2, 2))
      for i in range(1, depth + 1):
        x = nn.relu(
            layers.conv(
                multiple * self.width,
                use_bias=True,
                dtype=self.dtype,
                name=f"conv{stage}_{i}",
            )(x)
        )
      taps.append(x)
    return taps


class AlexNetTrunk(nn.Module):
  """AlexNet's convolutions as in torchvision; returns all five ReLU outputs.

  Attributes:
    width: channels of the first convolution.
    dtype: dtype of the computation.
  """

  width: int = 64
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> list[jax.Array]:
    taps = []
    for i, (multiple, kernel, stride, pad, pooled) in enumerate(_ALEXNET, 1):
      if pooled:
        x = nn.max_pool(x, (3, 3), (2, 2))
      x = nn.relu(
          nn.Conv(
              multiple * self.width,
              (kernel, kernel),
              stride,
              padding=pad,
              dtype=self.dtype,
              name=f"conv{i}",
          )(x)
      )
      taps.append(x)
    return taps


_TRUNKS = {"vgg": VGG16Trunk, "alex": AlexNetTrunk}


def _unit_channels(x: jax.Array) -> jax.Array:
  """Divides (n, h, w, c) by (norm over c + 1e-10), in float32."""
  x = x.astype(jnp.float32)
  # Where all channels are zero, the gradient of the norm is NaN.  It does not
  # spread: the gradient of the `nn.relu` that made x selects 0 there.
  norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
  return x / (norm + 1e-10)


class LPIPS(nn.Module):
  """Learned perceptual distance between images.

  To compare several images with one target, call `features` once for each image
  and `compare` for each pair.

  Images must be in [-1, 1].  Images in [0, 1] give plausible but wrong
  distances, and compiled code cannot check values.

  Attributes:
    net: "vgg" or "alex".
    width: channels of the first convolution, 64 in the published networks.
    dtype: dtype of the convolutions; distances are float32.
  """

  net: str = "vgg"
  width: int = 64
  dtype: Any = jnp.float32

  def setup(self):
    if self.net not in _TRUNKS:
      raise ValueError(
          f"LPIPS net must be one of {sorted(_TRUNKS)}, got {self.net!r}"
      )
    self.trunk = _TRUNKS[self.net](self.width, self.dtype)
    # Published weights are not negative, so random ones are not either.
    self.lin = [
        nn.Dense(1, use_bias=False, kernel_init=nn.initializers.uniform(1.0))
        for _ in range(5)
    ]

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return image, image

  def features(self, x: jax.Array) -> tuple[jax.Array, ...]:
    """Computes the feature maps that `compare` takes.

    Args:
      x: images (n, h, w, 3) in [-1, 1].

    Returns:
      Five maps (n, h', w', c) float32 with unit norm over the channels.

    Raises:
      ValueError: the images are not RGB or too small for the trunk.
    """
    smallest = _SMALLEST[self.net]
    if x.ndim != 4 or x.shape[-1] != 3 or min(x.shape[1:3]) < smallest:
      raise ValueError(
          f"LPIPS ({self.net}) takes images (n, h, w, 3) with h and w of at"
          f" least {smallest}, got shape {x.shape}"
      )
    x = (x - jnp.array(_MEAN, x.dtype)) / jnp.array(_STD, x.dtype)
    return tuple(_unit_channels(tap) for tap in self.trunk(x))

  def compare(
      self, x: Sequence[jax.Array], y: Sequence[jax.Array]
  ) -> jax.Array:
    """Distances (n,) float32 between two results of `features`."""
    # Spatial mean and linear layer commute; the mean comes first because it
    # makes the layer's input small.
    distances = [
        lin(jnp.mean(jnp.square(a - b), (1, 2)))[:, 0]
        for lin, a, b in zip(self.lin, x, y, strict=True)
    ]
    return functools.reduce(jnp.add, distances)

  def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
    """Distances (n,) float32 between images (n, h, w, 3) in [-1, 1]."""
    return self.compare(self.features(x), self.features(y))
