"""LPIPS 0.1: the perceptual distance of Zhang et al. (2018).

VGG16 is the training loss, AlexNet the reported metric
(spec/reference.md, section 7).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers

# Mean and standard deviation of ImageNet's RGB in [0, 1], (.485, .456, .406)
# and (.229, .224, .225), carried to [-1, 1] and rounded by LPIPS itself.
_MEAN = (-0.030, -0.088, -0.188)
_STD = (0.458, 0.448, 0.450)

# Per stage: width in multiples of the first, number of convolutions.
_VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
# Per layer: width, kernel, stride, padding, whether a max-pool comes first.
_ALEXNET = (
    (1, 11, 4, 2, False),
    (3, 5, 1, 2, True),
    (6, 3, 1, 1, True),
    (4, 3, 1, 1, False),
    (4, 3, 1, 1, False),
)
# Below it the last feature map is empty.
_SMALLEST = {"vgg": 16, "alex": 31}


class VGG16Trunk(nn.Module):
  """VGG16's convolutions; returns relu1_2, 2_2, 3_3, 4_3 and 5_3."""

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
  """AlexNet's convolutions (torchvision's widths); returns all five ReLUs."""

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
  """Divides (n, h, w, c) by the norm over c plus 1e-10, in float32."""
  x = x.astype(jnp.float32)
  # Where every channel is off the gradient is NaN, but `nn.relu` below selects
  # instead of multiplying and passes 0 on.
  norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
  return x / (norm + 1e-10)


class LPIPS(nn.Module):
  """Learned perceptual distance between images.

  To compare several images with one target, call `features` once on each and
  `compare` on the pairs.

  Images must be in [-1, 1]: [0, 1] gives plausible but wrong distances, and
  compiled code cannot check values.

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
    # Learned weights are not negative, so random ones are not either.
    self.lin = [
        nn.Dense(1, use_bias=False, kernel_init=nn.initializers.uniform(1.0))
        for _ in range(5)
    ]

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return image, image

  def features(self, x: jax.Array) -> tuple[jax.Array, ...]:
    """Feature maps of (n, h, w, 3) images in [-1, 1].

    Returns:
      Five (n, h', w', c) float32 maps of unit norm over their channels.

    Raises:
      ValueError: the images are not RGB or too small for the trunk.
    """
    smallest = _SMALLEST[self.net]
    if x.ndim != 4 or x.shape[-1] != 3 or min(x.shape[1:3]) < smallest:
      raise ValueError(
          f"LPIPS ({self.net}) takes (n, h, w, 3) images of at least"
          f" {smallest} pixels a side, got shape {x.shape}"
      )
    x = (x - jnp.array(_MEAN, x.dtype)) / jnp.array(_STD, x.dtype)
    return tuple(_unit_channels(tap) for tap in self.trunk(x))

  def compare(
      self, x: Sequence[jax.Array], y: Sequence[jax.Array]
  ) -> jax.Array:
    """(n,) distances between two results of `features`."""
    # The spatial mean commutes with the linear layer and comes first: the
    # layer then sees (n, c).
    return sum(
        lin(jnp.mean(jnp.square(a - b), (1, 2)))[:, 0]
        for lin, a, b in zip(self.lin, x, y)
    )

  def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
    """(n,) float32 distances between (n, h, w, 3) images in [-1, 1]."""
    return self.compare(self.features(x), self.features(y))
