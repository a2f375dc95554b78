"""StyleGAN2 discriminator (Karras et al. 2020), config-f, residual."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from sfe_jax.models import layers

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_TAPS = tuple((i, j) for i in range(3) for j in range(3))


def _strided_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return lax.conv_general_dilated(
      x, kernel, (2, 2), "VALID", dimension_numbers=_DIMENSIONS
  )


def _strided_matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The same as one matrix product over gathered 3x3 patches."""
  h, w = x.shape[1] // 2, x.shape[2] // 2
  # Even and odd rows and columns first: the gradients of slices with a stride
  # are zeros over the whole image, one image per tap.
  phases = [_even_odd(rows, 2) for rows in _even_odd(x, 1)]
  patches = [
      phases[i % 2][j % 2][:, i // 2 : i // 2 + h, j // 2 : j // 2 + w]
      for i, j in _TAPS
  ]
  return jnp.concatenate(patches, -1) @ kernel.reshape(-1, kernel.shape[-1])


def _even_odd(x: jax.Array, axis: int) -> list[jax.Array]:
  """The even and, padded to as many, the odd elements of an odd axis."""
  padding = [(0, 0)] * x.ndim
  padding[axis] = (0, 1)
  shape = list(x.shape)
  shape[axis : axis + 1] = [x.shape[axis] // 2 + 1, 2]
  pairs = jnp.pad(x, padding).reshape(shape)
  halves = lax.split(pairs, (1, 1), axis + 1)
  return [half.squeeze(axis + 1) for half in halves]


def conv_down2x(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """3x3 convolution, stride 2, no padding.

  Args:
    x: (n, 2h + 1, 2w + 1, c).
    kernel: (3, 3, c, o).

  Returns:
    (n, h, w, o).
  """
  # R1 differentiates the input gradient by the weights: a convolution that XLA
  # runs 30 times slower on CPUs than matrix products, which cost memory.
  return lax.platform_dependent(
      x, kernel, cpu=_strided_matmul, default=_strided_conv
  )


class EqualConv(nn.Module):
  """Square convolution with equalised learning rate.

  Attributes:
    features: output width.
    kernel_size: height and width of the kernel.
    downsample: `conv_down2x` in place of a convolution that keeps the size.
    use_bias: adds a learned bias (not scaled).
    dtype: of the computation; the parameters are float32.
  """

  features: int
  kernel_size: int = 3
  downsample: bool = False
  use_bias: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(n, h, w, c) -> (n, h', w', features)."""
    k, c = self.kernel_size, x.shape[-1]
    kernel = self.param(
        "kernel", nn.initializers.normal(1.0), (k, k, c, self.features)
    )
    kernel = (kernel / math.sqrt(c * k * k)).astype(self.dtype)
    x = x.astype(self.dtype)
    if self.downsample:
      x = conv_down2x(x, kernel)
    else:
      x = lax.conv_general_dilated(
          x, kernel, (1, 1), "SAME", dimension_numbers=_DIMENSIONS
      )
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      x = x + bias.astype(self.dtype)
    return x


class DiscriminatorBlock(nn.Module):
  """Residual block that halves the resolution.

  Attributes:
    in_features: input width, and width of the hidden layer.
    features: output width.
    from_rgb: the input is an image; the first layer widens it.
    dtype: of the computation.
    conv_clamp: see `Discriminator`.
  """

  in_features: int
  features: int
  from_rgb: bool = False
  dtype: Any = jnp.float32
  conv_clamp: float | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(n, h, w, in_features or 3) -> (n, h / 2, w / 2, features)."""
    wide, out = self.in_features, self.features
    if self.from_rgb:
      x = EqualConv(wide, 1, dtype=self.dtype, name="from_rgb")(x)
      x = layers.clamp(layers.scaled_leaky_relu(x), self.conv_clamp)
    skip = layers.fir_filter(x, (1, 1), stride=2)
    skip = EqualConv(
        out, 1, use_bias=False, dtype=self.dtype, name="skip"
    )(skip)
    x = EqualConv(wide, dtype=self.dtype, name="conv0")(x)
    x = layers.clamp(layers.scaled_leaky_relu(x), self.conv_clamp)
    x = layers.fir_filter(x, (2, 2))
    x = EqualConv(out, downsample=True, dtype=self.dtype, name="conv1")(x)
    # The sum is scaled by sqrt(1/2), which cancels this layer's gain sqrt(2).
    half = math.sqrt(0.5)
    limit = None if self.conv_clamp is None else half * self.conv_clamp
    return layers.clamp(layers.leaky_relu(x), limit) + skip * half


def minibatch_std(
    x: jax.Array,
    group: int,
    channels: int,
    parts: int = 1,
    axis_name: str | None = None,
) -> jax.Array:
  """Appends how much samples differ within their group (Karras et al. 2018).

  Groups are formed over the batch of all devices, so that they do not depend
  on how many devices share it.

  Args:
    x: (n, h, w, c).
    group: samples per group, at most the batch; members lie batch / group
      apart.
    channels: statistics per group, each over c / channels of the features.
    parts: x is this many sets of images one after another; over several
      devices each set stays together.
    axis_name: device axis.

  Returns:
    (n, h, w, c + channels).

  Raises:
    ValueError: the batch is not divisible by min(group, batch).
  """
  n, h, w, c = x.shape
  devices, device = 1, 0
  everything = x[None]
  if axis_name is not None:
    everything = lax.all_gather(x, axis_name)
    devices, device = everything.shape[0], lax.axis_index(axis_name)
  # (devices, parts, n / parts, ...) -> the batch as one device would hold it.
  shape = (devices, parts, n // parts)
  batch = devices * n
  everything = everything.reshape(*shape, h, w, c).swapaxes(0, 1)
  everything = everything.reshape(batch, h, w, c)
  group = min(group, batch)
  if batch % group:
    raise ValueError(
        "the batch of the discriminator must be divisible by its minibatch"
        f" group min({group}, n), got n = {batch}; change the batch size"
    )
  grouped = everything.reshape(
      group, batch // group, h, w, channels, c // channels
  )
  std = jnp.sqrt(jnp.var(grouped, axis=0) + 1e-8)
  std = jnp.mean(std, (1, 2, 4))  # (batch / group, channels)
  std = jnp.tile(std, (group, 1)).reshape(parts, devices, -1, channels)
  std = std[:, device].reshape(n, 1, 1, channels)
  return jnp.concatenate(
      [x, jnp.broadcast_to(std, (n, h, w, channels))], axis=-1
  )


class DiscriminatorHead(nn.Module):
  """From 4x4 features to one logit per image; float32 throughout."""

  features: int
  mbstd_group: int
  mbstd_channels: int
  axis_name: str | None = None
  conv_clamp: float | None = None

  @nn.compact
  def __call__(self, x: jax.Array, parts: int = 1) -> jax.Array:
    """(n, 4, 4, c) -> (n,) float32."""
    axis_name = None if self.is_initializing() else self.axis_name
    x = minibatch_std(
        x.astype(jnp.float32),
        self.mbstd_group,
        self.mbstd_channels,
        parts,
        axis_name,
    )
    x = EqualConv(self.features, name="conv")(x)
    x = layers.clamp(layers.scaled_leaky_relu(x), self.conv_clamp)
    # The official weights flatten in the order c, h, w.
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    x = layers.EqualLinear(self.features, name="fc")(x)
    x = layers.scaled_leaky_relu(x)
    return layers.EqualLinear(1, name="out")(x)[:, 0]


class Discriminator(nn.Module):
  """Judges whether images are real: one logit each, high for real.

  Attributes:
    resolution: height and width of the images.
    channels: feature widths at 4, 8, ... `resolution`, as the generator's.
    mbstd_group: group size of the minibatch statistic.
    mbstd_channels: how many such statistics.
    axis_name: device axis over which the batch is spread.
    dtype: of all but the head, which is float32.
    conv_clamp: limit of the absolute output of every convolution after its
      activation, without skip connections; a block's last convolution has
      sqrt(1/2) of it.  None does not limit.
  """

  resolution: int
  channels: tuple[int, ...]
  mbstd_group: int = 4
  mbstd_channels: int = 1
  axis_name: str | None = None
  dtype: Any = jnp.float32
  conv_clamp: float | None = None

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """One image."""
    shape = (1, self.resolution, self.resolution, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  @nn.compact
  def __call__(self, images: jax.Array, parts: int = 1) -> jax.Array:
    """Logits of images.

    Args:
      images: (n, resolution, resolution, 3) in [-1, 1]; the batch of all
        devices divisible by min(mbstd_group, batch).
      parts: sets of images that `images` is made of, see `minibatch_std`.

    Returns:
      (n,) float32.

    Raises:
      ValueError: images of another size, or n not divisible.
    """
    last = len(self.channels) - 1
    if last < 1 or self.resolution != 4 << last:
      raise ValueError(
          "a discriminator needs one width for each of 4, 8, ... resolution,"
          f" got {len(self.channels)} for resolution {self.resolution}"
      )
    if images.shape[1:] != (self.resolution, self.resolution, 3):
      raise ValueError(
          f"this discriminator takes images (n, {self.resolution},"
          f" {self.resolution}, 3), got {images.shape}"
      )
    x = images
    for i in range(last, 0, -1):
      x = DiscriminatorBlock(
          self.channels[i],
          self.channels[i - 1],
          from_rgb=i == last,
          dtype=self.dtype,
          conv_clamp=self.conv_clamp,
          name=f"block{4 << i}",
      )(x)
    return DiscriminatorHead(
        self.channels[0],
        self.mbstd_group,
        self.mbstd_channels,
        self.axis_name,
        self.conv_clamp,
        name="block4",
    )(x, parts)
