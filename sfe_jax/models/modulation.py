"""StyleGAN2's modulated layers (Karras et al. 2020, section 2.2)."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from sfe_jax.models import formulations, layers

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class StyleConv(nn.Module):
  """Modulated 3x3 convolution, noise, bias and activation.

  Instead of modulating and demodulating the kernel once per sample, the input
  is multiplied by the style and the output by the demodulation factors, which
  gives the same result with one kernel for the batch.

  Attributes:
    in_features: input channels.
    features: output channels.
    upsample: whether the output has twice the resolution of the input.
    dtype: dtype of the convolution and of the output; the demodulation factors
      are computed in float32.
    conv_clamp: see `Generator`.
  """

  in_features: int
  features: int
  upsample: bool = False
  dtype: Any = jnp.float32
  conv_clamp: float | None = None

  def setup(self):
    self.modulation = layers.EqualLinear(
        self.in_features, bias_init=1.0, name="affine"
    )
    self.kernel = self.param(
        "kernel",
        nn.initializers.normal(1.0),
        (3, 3, self.in_features, self.features),
    )
    self.noise_strength = self.param(
        "noise_strength", nn.initializers.zeros, ()
    )
    self.bias = self.param("bias", nn.initializers.zeros, (self.features,))

  def style(self, w: jax.Array) -> jax.Array:
    """Maps latents (n, w_dim) to style vectors (n, in_features)."""
    return self.modulation(w)

  def __call__(
      self, x: jax.Array, style: jax.Array, noise: jax.Array | None
  ) -> jax.Array:
    """Applies the layer.

    Args:
      x: (n, h, w, in_features).
      style: (n, in_features).
      noise: (1 or n, h', w', 1), multiplied by the learned strength and added
        to all channels; None adds none.

    Returns:
      (n, h', w', features), where h' is 2h if `upsample` and h otherwise.
    """
    style = style.astype(jnp.float32)
    kernel = self.kernel * (1.0 / math.sqrt(9 * self.in_features))
    norms = jnp.matmul(
        style * style, jnp.sum(kernel * kernel, (0, 1)), precision="highest"
    )
    demodulation = lax.rsqrt(norms + 1e-8)
    x = x.astype(self.dtype) * style[:, None, None].astype(self.dtype)
    kernel = kernel.astype(self.dtype)
    if self.upsample:
      x = formulations.transposed_conv2x(x, kernel)
      x = formulations.fir_filter(x, (1, 1), gain=4.0)
    else:
      x = lax.conv_general_dilated(
          x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
      )
    x = x * demodulation[:, None, None].astype(self.dtype)
    if noise is not None:
      x = x + (self.noise_strength * noise).astype(self.dtype)
    x = layers.scaled_leaky_relu(x + self.bias.astype(self.dtype))
    return layers.clamp(x, self.conv_clamp)


class ToRGB(nn.Module):
  """Modulated 1x1 convolution from features to an RGB image.

  There is no demodulation.

  Attributes:
    in_features: input channels.
    dtype: dtype of the operands; sums and the output are float32.
    conv_clamp: see `Generator`.
  """

  in_features: int
  dtype: Any = jnp.float32
  conv_clamp: float | None = None

  def setup(self):
    self.modulation = layers.EqualLinear(
        self.in_features, bias_init=1.0, name="affine"
    )
    self.kernel = self.param(
        "kernel", nn.initializers.normal(1.0), (self.in_features, 3)
    )
    self.bias = self.param("bias", nn.initializers.zeros, (3,))

  def style(self, w: jax.Array) -> jax.Array:
    """Maps latents (n, w_dim) to style vectors (n, in_features)."""
    return self.modulation(w)

  def __call__(self, x: jax.Array, style: jax.Array) -> jax.Array:
    """(n, h, w, in_features) -> (n, h, w, 3) float32."""
    kernel = self.kernel * (1.0 / math.sqrt(self.in_features))
    # Modulating the small kernel instead of x saves a pass over x.
    kernel = style.astype(jnp.float32)[:, :, None] * kernel
    rgb = jnp.einsum(
        "nhwi,nio->nhwo",
        x,
        kernel.astype(self.dtype),
        preferred_element_type=jnp.float32,
    )
    return layers.clamp(rgb + self.bias, self.conv_clamp)
