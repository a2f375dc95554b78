"""StyleGAN2 generator (Karras et al. 2020), config-f, cut at any layer.

Numbering used everywhere: convolution i takes latent i and makes F_{i+1};
F_0 is the learned constant.  Resolution 4 * 2^j ends with convolution 2j, whose
output toRGB j turns into an image, driven by latent 2j + 1.  The paper's F_k is
the input of convolution k; the lower half is everything below it.
"""

import math
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from sfe_jax.models import layers

_SHAPE = ("NHWC", "HWIO", "NHWC")


def default_channels(
    resolution: int, multiplier: int = 2, maximum: int = 512
) -> tuple[int, ...]:
  """Feature widths for 4, 8, ... `resolution` of config-f."""
  return tuple(
      min(maximum, 16384 * multiplier // 2**j)
      for j in range(2, int(math.log2(resolution)) + 1)
  )


@flax.struct.dataclass
class Styles:
  """Style vectors of every modulated convolution (StyleSpace).

  Attributes:
    conv: per convolution (n, input width).
    rgb: per toRGB (n, input width).
  """

  conv: tuple[jax.Array, ...]
  rgb: tuple[jax.Array, ...]


@flax.struct.dataclass
class LowerHalf:
  """Everything below a cut at k.

  Attributes:
    features: F_0 ... F_k, each (n, h, w, c).
    skip: (n, h, w, 3) float32, the RGB sum of the resolutions finished so far;
      None where none is (k = 0).
  """

  features: tuple[jax.Array, ...]
  skip: jax.Array | None


class StyleConv(nn.Module):
  """Modulated 3x3 convolution with noise, bias and activation.

  Scaling the input by the style and the output by the demodulation equals
  convolving with per-sample weights, with one shared kernel.

  Attributes:
    in_features: input width.
    features: output width.
    upsample: doubles the resolution.
    dtype: of the convolution; demodulation stays float32.
    conv_clamp: limit of the output, see `Generator`.
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
    """(n, w_dim) -> (n, in_features)."""
    return self.modulation(w)

  def __call__(
      self, x: jax.Array, style: jax.Array, noise: jax.Array | None
  ) -> jax.Array:
    """Transforms (n, h, w, in_features); noise is (1 or n, h', w', 1)."""
    style = style.astype(jnp.float32)
    kernel = self.kernel * (1.0 / math.sqrt(9 * self.in_features))
    norms = jnp.matmul(
        style * style, jnp.sum(kernel * kernel, (0, 1)), precision="highest"
    )
    demodulation = lax.rsqrt(norms + 1e-8)
    x = x.astype(self.dtype) * style[:, None, None].astype(self.dtype)
    kernel = kernel.astype(self.dtype)
    if self.upsample:
      x = layers.transposed_conv2x(x, kernel)
      x = layers.fir_filter(x, (1, 1), gain=4.0)
    else:
      x = lax.conv_general_dilated(
          x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_SHAPE
      )
    x = x * demodulation[:, None, None].astype(self.dtype)
    if noise is not None:
      x = x + (self.noise_strength * noise).astype(self.dtype)
    x = layers.scaled_leaky_relu(x + self.bias.astype(self.dtype))
    return layers.clamp(x, self.conv_clamp)


class ToRGB(nn.Module):
  """Modulated 1x1 convolution to an image, no demodulation, float32."""

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
    """(n, w_dim) -> (n, in_features)."""
    return self.modulation(w)

  def __call__(self, x: jax.Array, style: jax.Array) -> jax.Array:
    """(n, h, w, in_features) -> (n, h, w, 3) float32."""
    kernel = self.kernel * (1.0 / math.sqrt(self.in_features))
    # Modulating the tiny kernel instead of the image saves a pass over x.
    kernel = style.astype(jnp.float32)[:, :, None] * kernel
    rgb = jnp.einsum(
        "nhwi,nio->nhwo",
        x,
        kernel.astype(self.dtype),
        preferred_element_type=jnp.float32,
    )
    return layers.clamp(rgb + self.bias, self.conv_clamp)


class Generator(nn.Module):
  """StyleGAN2 generator.

  Attributes:
    resolution: output size in pixels, a power of two.
    channels: feature width of each resolution from 4 up.
    w_dim: width of z and w.
    mapping_layers: depth of the mapping network.
    dtype: compute dtype of the synthesis convolutions.
    conv_clamp: limit of the absolute output of every 3x3 convolution (after its
      activation) and of every toRGB; None does not limit.  NVIDIA's
      stylegan2-ada sets 256 where it trains in half precision.

  Variables: besides "params", collection "buffers" holds `w_avg` (styles,
  w_dim), the mean latent, and `noise_i` (h, w), the fixed noise of convolution
  i that every encoder was trained with.
  """

  resolution: int = 1024
  channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64, 32)
  w_dim: int = 512
  mapping_layers: int = 8
  dtype: Any = jnp.float32
  conv_clamp: float | None = None

  @property
  def blocks(self) -> int:
    """Number of resolutions."""
    return len(self.channels)

  @property
  def convs(self) -> int:
    """Number of 3x3 convolutions."""
    return 2 * self.blocks - 1

  @property
  def styles(self) -> int:
    """Number of w+ rows."""
    return 2 * self.blocks

  def size_of(self, k: int) -> int:
    """Resolution of F_k."""
    return 4 * 2 ** (max(k, 1) // 2)

  def width_of(self, k: int) -> int:
    """Channels of F_k."""
    return self.channels[max(k, 1) // 2]

  @property
  def style_widths(self) -> tuple[int, ...]:
    """Width of each convolution's style vector."""
    return tuple(self.width_of(i) for i in range(self.convs))

  def setup(self):
    if self.resolution != 4 * 2 ** (self.blocks - 1):
      raise ValueError(
          f"resolution {self.resolution} needs one width per power of two from"
          f" 4 up, got {self.blocks} widths"
      )
    self.mapping_fc = [
        layers.EqualLinear(self.w_dim, lr_mul=0.01, name=f"mapping_fc{i}")
        for i in range(self.mapping_layers)
    ]
    self.const = self.param(
        "const", nn.initializers.normal(1.0), (4, 4, self.channels[0])
    )
    self.conv = [
        StyleConv(
            self.width_of(i),
            self.width_of(i + 1),
            upsample=i % 2 == 1,
            dtype=self.dtype,
            conv_clamp=self.conv_clamp,
            name=f"conv{i}",
        )
        for i in range(self.convs)
    ]
    self.to_rgb = [
        ToRGB(
            width,
            dtype=self.dtype,
            conv_clamp=self.conv_clamp,
            name=f"to_rgb{j}",
        )
        for j, width in enumerate(self.channels)
    ]
    self.w_avg = self.variable(
        "buffers", "w_avg", jnp.zeros, (self.styles, self.w_dim)
    )
    self.fixed_noise = [
        self.variable("buffers", f"noise_{i}", self._init_noise, i)
        for i in range(self.convs)
    ]

  def _init_noise(self, i: int) -> jax.Array:
    size = self.size_of(i + 1)
    return jax.random.normal(self.make_rng("params"), (size, size))

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Inputs of `__call__`, for initialisation."""
    return (jax.ShapeDtypeStruct((1, self.w_dim), jnp.float32),)

  def __call__(
      self, z: jax.Array, psi: float = 1.0, random_noise: bool = False
  ) -> jax.Array:
    """Samples images (n, h, w, 3), about [-1, 1], from normal z (n, w_dim)."""
    w_plus = self.truncate(self.mapping(z), psi)
    return self.synthesize(w_plus, random_noise=random_noise)

  def mapping(self, z: jax.Array) -> jax.Array:
    """z (n, w_dim) -> w (n, w_dim)."""
    x = layers.pixel_norm(z)
    for fc in self.mapping_fc:
      x = layers.scaled_leaky_relu(fc(x))
    return x

  def truncate(self, w: jax.Array, psi: float = 1.0) -> jax.Array:
    """w (n, w_dim) or (n, styles, w_dim) -> w+ drawn towards the mean."""
    w = w if w.ndim == 3 else w[:, None]
    if psi == 1.0:
      return jnp.broadcast_to(w, (w.shape[0], self.styles, self.w_dim))
    return self.w_avg.value + psi * (w - self.w_avg.value)

  def affine(
      self, w_plus: jax.Array, style_offset: jax.Array | None = None
  ) -> Styles:
    """Style vectors of w+ (n, styles, w_dim).

    Args:
      w_plus: latents.
      style_offset: (n, sum(style_widths)) added to the convolutions' vectors.
    """
    conv = [layer.style(w_plus[:, i]) for i, layer in enumerate(self.conv)]
    if style_offset is not None:
      start = 0
      for i, width in enumerate(self.style_widths):
        conv[i] = conv[i] + style_offset[:, start : start + width]
        start += width
    rgb = [
        layer.style(w_plus[:, 2 * j + 1])
        for j, layer in enumerate(self.to_rgb)
    ]
    return Styles(tuple(conv), tuple(rgb))

  def _noise(self, i: int, n: int, random: bool) -> jax.Array:
    if not random:
      return self.fixed_noise[i].value[None, :, :, None]
    size = self.size_of(i + 1)
    return jax.random.normal(self.make_rng("noise"), (n, size, size, 1))

  def lower(
      self, styles: Styles, k: int, random_noise: bool = False
  ) -> LowerHalf:
    """Runs convolutions 0 .. k-1 and the toRGBs that follow them.

    Args:
      styles: from `affine`; only the layers below k are used.
      k: cut, 0 <= k <= `convs`.
      random_noise: draws fresh noise from rng "noise".
    """
    n = styles.conv[0].shape[0]
    x = jnp.broadcast_to(self.const, (n, *self.const.shape))
    features, skip = self._run(
        styles, x.astype(self.dtype), None, 0, k, random_noise
    )
    return LowerHalf(tuple(features), skip)

  def between(
      self, styles: Styles, f_k: jax.Array, k: int, end: int
  ) -> jax.Array:
    """F_end from F_k (n, h, w, c): convolutions k .. end-1, fixed noise."""
    features, _ = self._run(
        styles, f_k.astype(self.dtype), None, k, end, random_noise=False
    )
    return features[-1]

  def upper(
      self,
      styles: Styles,
      f_k: jax.Array,
      skip: jax.Array | None,
      k: int,
      random_noise: bool = False,
  ) -> jax.Array:
    """Finishes an image from F_k and the RGB sum below it.

    Args:
      styles: from `affine`; only the layers from k on are used.
      f_k: (n, h, w, c), input of convolution k.
      skip: the lower half's RGB sum.
      k: cut.
      random_noise: draws fresh noise from rng "noise".

    Returns:
      (n, resolution, resolution, 3) float32, about [-1, 1].
    """
    _, image = self._run(
        styles, f_k.astype(self.dtype), skip, k, self.convs, random_noise
    )
    return image

  def synthesize(
      self,
      w_plus: jax.Array,
      style_offset: jax.Array | None = None,
      *,
      f_new: jax.Array | None = None,
      k: int = 0,
      blend: jax.Array | float = 1.0,
      random_noise: bool = False,
  ) -> jax.Array:
    """Image of w+ (n, styles, w_dim), optionally with features inserted at k.

    Args:
      w_plus: latents.
      style_offset: see `affine`.
      f_new: (n, h, w, c) replaces F_k: (1 - blend) * F_k + blend * f_new.
      k: where to insert.
      blend: in [0, 1].
      random_noise: draws fresh noise from rng "noise".
    """
    styles = self.affine(w_plus, style_offset)
    return self.from_styles(
        styles, f_new=f_new, k=k, blend=blend, random_noise=random_noise
    )

  def from_styles(
      self,
      styles: Styles,
      *,
      f_new: jax.Array | None = None,
      k: int = 0,
      blend: jax.Array | float = 1.0,
      random_noise: bool = False,
  ) -> jax.Array:
    """As `synthesize`, from style vectors."""
    half = self.lower(styles, k, random_noise)
    f_k = half.features[k]
    if f_new is not None:
      f_k = (1 - blend) * f_k + blend * f_new
    return self.upper(styles, f_k, half.skip, k, random_noise)

  def _run(self, styles, x, skip, start, end, random_noise):
    """Convolutions start .. end-1: ([x, their outputs ...], RGB sum)."""
    outputs = [x]
    for i in range(start, end):
      if i % 2 == 1 and skip is not None:
        skip = layers.upsample2x(skip)
      noise = self._noise(i, x.shape[0], random_noise)
      x = self.conv[i](x, styles.conv[i], noise)
      outputs.append(x)
      if i % 2 == 0:
        rgb = self.to_rgb[i // 2](x, styles.rgb[i // 2])
        skip = rgb if skip is None else skip + rgb
    return outputs, skip
