"""StyleGAN2's residual discriminator (Karras et al. 2020), config-f."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from sfe_jax.models import formulations, layers

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class EqualConv(nn.Module):
  """Convolution with equalised learning rate (Karras et al. 2018).

  The kernel is stored at unit variance and divided by sqrt(fan in) at run time.

  Attributes:
    features: output channels.
    kernel_size: height and width of the kernel.
    downsample: `formulations.conv_down2x` instead of a convolution that keeps
      height and width.
    use_bias: whether to add a learned bias.
    dtype: dtype of the computation; the parameters are float32.
  """

  features: int
  kernel_size: int = 3
  downsample: bool = False
  use_bias: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps (n, h, w, c) to (n, h', w', features)."""
    k, c = self.kernel_size, x.shape[-1]
    kernel = self.param(
        "kernel", nn.initializers.normal(1.0), (k, k, c, self.features)
    )
    kernel = (kernel / math.sqrt(c * k * k)).astype(self.dtype)
    x = x.astype(self.dtype)
    if self.downsample:
      x = formulations.conv_down2x(x, kernel)
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
    in_features: channels of the input and of the hidden layer.
    features: output channels.
    from_rgb: whether the input is an RGB image, which a 1x1 convolution first
      maps to `in_features` channels.
    dtype: dtype of the computation.
    conv_clamp: see `Discriminator`.
  """

  in_features: int
  features: int
  from_rgb: bool = False
  dtype: Any = jnp.float32
  conv_clamp: float | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps (n, h, w, in_features or 3) to (n, h / 2, w / 2, features)."""
    wide, out = self.in_features, self.features
    if self.from_rgb:
      x = EqualConv(wide, 1, dtype=self.dtype, name="from_rgb")(x)
      x = layers.clamp(layers.scaled_leaky_relu(x), self.conv_clamp)
    skip = formulations.fir_filter(x, (1, 1), stride=2)
    skip = EqualConv(
        out, 1, use_bias=False, dtype=self.dtype, name="skip"
    )(skip)
    x = EqualConv(wide, dtype=self.dtype, name="conv0")(x)
    x = layers.clamp(layers.scaled_leaky_relu(x), self.conv_clamp)
    x = formulations.fir_filter(x, (2, 2))
    x = EqualConv(out, downsample=True, dtype=self.dtype, name="conv1")(x)
    # StyleGAN2 multiplies both terms by sqrt(1/2).  In the first term this
    # cancels the gain sqrt(2) of its activation.
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
  """Appends the minibatch standard deviation (Karras et al. 2018, section 3).

  The batch is divided into groups.  For each group the standard deviations over
  its samples, averaged over positions and features, become extra channels of
  all its samples.  Groups are formed over the batch of all devices, so that the
  result does not depend on the number of devices.

  Args:
    x: (n, h, w, c).
    group: samples per group; the whole batch if it is smaller.  Sample i and
      sample i + batch / group belong to the same group.
    channels: number of extra channels, each for c / channels of the features.
    parts: number of sets of images that `x` concatenates, for example reals
      and fakes.  With several devices the batch is ordered by set, then by
      device.
    axis_name: device axis of the batch; None on one device.

  Returns:
    (n, h, w, c + channels).

  Raises:
    ValueError: the batch is not divisible by min(group, batch).
  """
  n, h, w, c = x.shape
  devices = 1
  device: jax.Array | int = 0
  everything = x[None]
  if axis_name is not None:
    everything = lax.all_gather(x, axis_name)
    devices, device = everything.shape[0], lax.axis_index(axis_name)
  # Reorders (devices, parts, n / parts, ...) to the batch of a single device.
  shape = (devices, parts, n // parts)
  batch = devices * n
  everything = everything.reshape(*shape, h, w, c).swapaxes(0, 1)
  everything = everything.reshape(batch, h, w, c)
  group = min(group, batch)
  if batch % group:
    raise ValueError(
        "the batch size n of the discriminator must be divisible by the size"
        f" of its minibatch groups, min({group}, n), got n = {batch}; change"
        " the batch size"
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
  """Maps features of 4x4 px to one logit per image, in float32.

  Attributes:
    features: channels of the convolution and of the hidden linear layer.
    mbstd_group: group size of `minibatch_std`.
    mbstd_channels: number of statistics of `minibatch_std`.
    axis_name: device axis of the batch.
    conv_clamp: see `Discriminator`.
  """

  features: int
  mbstd_group: int
  mbstd_channels: int
  axis_name: str | None = None
  conv_clamp: float | None = None

  @nn.compact
  def __call__(self, x: jax.Array, parts: int = 1) -> jax.Array:
    """Maps (n, 4, 4, c) to logits (n,) float32; parts: see `minibatch_std`."""
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
    # Official weights expect the flattened order c, h, w.
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    x = layers.EqualLinear(self.features, name="fc")(x)
    x = layers.scaled_leaky_relu(x)
    return layers.EqualLinear(1, name="out")(x)[:, 0]


class Discriminator(nn.Module):
  """StyleGAN2 discriminator: one logit per image, high for real images.

  Attributes:
    resolution: height and width of the images.
    channels: channels at the resolutions 4, 8, ... `resolution`, in the same
      order as `Generator.channels`.
    mbstd_group: group size of `minibatch_std`.
    mbstd_channels: number of statistics of `minibatch_std`.
    axis_name: device axis of the batch.
    dtype: dtype of all layers but the head, which is float32.
    conv_clamp: bound on the absolute value of the output of each convolution
      after its activation, shortcuts excepted; for the last convolution of a
      block it is multiplied by sqrt(1/2).  None sets no bound.
  """

  resolution: int
  channels: tuple[int, ...]
  mbstd_group: int = 4
  mbstd_channels: int = 1
  axis_name: str | None = None
  dtype: Any = jnp.float32
  conv_clamp: float | None = None

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    shape = (1, self.resolution, self.resolution, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  @nn.compact
  def __call__(self, images: jax.Array, parts: int = 1) -> jax.Array:
    """Computes the logits of images.

    Args:
      images: (n, resolution, resolution, 3) in [-1, 1]; the batch of all
        devices must be divisible by min(mbstd_group, batch).
      parts: number of sets of images in `images`, see `minibatch_std`.

    Returns:
      (n,) float32.

    Raises:
      ValueError: the number of widths does not fit the resolution, the images
        have another size, or the batch is not divisible.
    """
    last = len(self.channels) - 1
    if last < 1 or self.resolution != 4 << last:
      raise ValueError(
          "a discriminator needs one width for each of the resolutions 4, 8,"
          f" ..., got {len(self.channels)} for resolution {self.resolution}"
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
