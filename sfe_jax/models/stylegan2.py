"""StyleGAN2 generator (Karras et al. 2020), config-f, with access to layers.

Numbering: F_0 is the learned constant.  Convolution i reads F_i, is modulated
by row i of w+ and returns F_{i+1}, so the paper's F_k is the input of
convolution k.  The last convolution of resolution 4 * 2^j is number 2j; toRGB
layer j turns its output into an image and is modulated by row 2j + 1.  A cut at
k divides the generator into a lower half, convolutions 0 to k - 1, and an upper
half, the rest.
"""

import math
from typing import Any, cast

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from sfe_jax.models import formulations, layers
from sfe_jax.models.modulation import StyleConv, ToRGB


def default_channels(
    resolution: int, multiplier: int = 2, maximum: int = 512
) -> tuple[int, ...]:
  """Channels at each resolution in config-f.

  Args:
    resolution: image size in pixels, a power of two from 4.
    multiplier: factor on the widths at 64 px and above; 2 in the published
      models.
    maximum: upper bound of every width.

  Returns:
    One width for each of the resolutions 4, 8, ... `resolution`.
  """
  return tuple(
      min(maximum, 16384 * multiplier // 2**j)
      for j in range(2, int(math.log2(resolution)) + 1)
  )


@flax.struct.dataclass
class Styles:
  """Style vectors of all modulated convolutions (StyleSpace, Wu et al. 2021).

  Attributes:
    conv: for each 3x3 convolution (n, input channels).
    rgb: for each toRGB layer (n, input channels).
  """

  conv: tuple[jax.Array, ...]
  rgb: tuple[jax.Array, ...]


@flax.struct.dataclass
class LowerHalf:
  """What the layers below a cut at k compute.

  Attributes:
    features: F_0 to F_k, each (n, h, w, c).
    skip: (n, h, w, 3) float32, sum of the toRGB images so far; None if k = 0,
      where there is none.
  """

  features: tuple[jax.Array, ...]
  skip: jax.Array | None


class Generator(nn.Module):
  """StyleGAN2 generator.

  Besides "params" there is a collection "buffers" with `w_avg` (styles, w_dim),
  the mean latent, and `noise_i` (h, w), the fixed noise of convolution i.  All
  encoders are trained with the fixed noise.

  Attributes:
    resolution: output size in pixels, a power of two.
    channels: channels at each resolution from 4 px up, see `default_channels`.
    w_dim: length of z and of w.
    mapping_layers: number of layers of the mapping network.
    dtype: dtype of the synthesis convolutions; images are float32.
    conv_clamp: bound on the absolute value of the output of each 3x3
      convolution (after its activation) and of each toRGB layer; None sets no
      bound.  NVIDIA's stylegan2-ada sets 256 if it trains in half precision.
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
    """Number of rows of w+."""
    return 2 * self.blocks

  def size_of(self, k: int) -> int:
    """Height and width of F_k in pixels."""
    return 4 * 2 ** (max(k, 1) // 2)

  def width_of(self, k: int) -> int:
    """Channels of F_k."""
    return self.channels[max(k, 1) // 2]

  @property
  def style_widths(self) -> tuple[int, ...]:
    """Length of the style vector of each 3x3 convolution."""
    return tuple(self.width_of(i) for i in range(self.convs))

  def setup(self):
    if self.resolution != 4 * 2 ** (self.blocks - 1):
      raise ValueError(
          f"resolution {self.resolution} needs one width per power of two from"
          f" 4 to {self.resolution}, got {self.blocks} widths"
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
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    return (jax.ShapeDtypeStruct((1, self.w_dim), jnp.float32),)

  def __call__(
      self, z: jax.Array, psi: float = 1.0, random_noise: bool = False
  ) -> jax.Array:
    """Samples images.

    Args:
      z: (n, w_dim), standard normal.
      psi: truncation factor; 1 does not truncate.
      random_noise: whether to draw the noise from rng "noise" instead of taking
        the fixed one.

    Returns:
      (n, resolution, resolution, 3) float32, about [-1, 1].
    """
    w_plus = self.truncate(self.mapping(z), psi)
    return self.synthesize(w_plus, random_noise=random_noise)

  def mapping(self, z: jax.Array) -> jax.Array:
    """Mapping network: z (n, w_dim) to w (n, w_dim)."""
    x = layers.pixel_norm(z)
    for fc in self.mapping_fc:
      x = layers.scaled_leaky_relu(fc(x))
    return x

  def truncate(self, w: jax.Array, psi: float = 1.0) -> jax.Array:
    """Truncation trick: moves latents towards the mean latent.

    Args:
      w: (n, w_dim) or (n, styles, w_dim).
      psi: 1 keeps w, 0 gives the mean.

    Returns:
      w+ (n, styles, w_dim), equal to w_avg + psi * (w - w_avg).
    """
    w = w if w.ndim == 3 else w[:, None]
    if psi == 1.0:
      return jnp.broadcast_to(w, (w.shape[0], self.styles, self.w_dim))
    return self.w_avg.value + psi * (w - self.w_avg.value)

  def affine(
      self, w_plus: jax.Array, style_offset: jax.Array | None = None
  ) -> Styles:
    """Computes the style vectors of all layers.

    Args:
      w_plus: (n, styles, w_dim).
      style_offset: (n, sum(style_widths)), added to the style vectors of the
        3x3 convolutions, concatenated in order.
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
    """Noise (1 or n, h, w, 1) of convolution i."""
    if not random:
      return self.fixed_noise[i].value[None, :, :, None]
    size = self.size_of(i + 1)
    return jax.random.normal(self.make_rng("noise"), (n, size, size, 1))

  def lower(
      self, styles: Styles, k: int, random_noise: bool = False
  ) -> LowerHalf:
    """Runs convolutions 0 to k - 1 and the toRGB layers between them.

    Args:
      styles: style vectors; those of layers below k are used.
      k: position of the cut, 0 <= k <= `convs`.
      random_noise: whether to draw the noise from rng "noise".
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
    """Runs convolutions k to end - 1 with fixed noise.

    Args:
      styles: style vectors.
      f_k: (n, h, w, c), input of convolution k.
      k: first convolution.
      end: first convolution that is not run.

    Returns:
      F_end (n, h', w', c').
    """
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
    """Runs convolutions k to the last and the toRGB layers between them.

    Args:
      styles: style vectors; those of layers from k on are used.
      f_k: (n, h, w, c), input of convolution k.
      skip: `LowerHalf.skip` of a cut at k.
      k: position of the cut.
      random_noise: whether to draw the noise from rng "noise".

    Returns:
      (n, resolution, resolution, 3) float32, about [-1, 1].
    """
    _, image = self._run(
        styles, f_k.astype(self.dtype), skip, k, self.convs, random_noise
    )
    return cast(jax.Array, image)

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
    """Generates images, optionally with features inserted at k.

    Args:
      w_plus: (n, styles, w_dim).
      style_offset: see `affine`.
      f_new: (n, h, w, c); F_k is replaced by (1 - blend) * F_k + blend * f_new.
        None inserts nothing.
      k: position of the cut where `f_new` is inserted.
      blend: in [0, 1].
      random_noise: whether to draw the noise from rng "noise".

    Returns:
      (n, resolution, resolution, 3) float32, about [-1, 1].
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
    """Does what `synthesize` does, from style vectors instead of w+."""
    half = self.lower(styles, k, random_noise)
    f_k = half.features[k]
    if f_new is not None:
      f_k = (1 - blend) * f_k + blend * f_new
    return self.upper(styles, f_k, half.skip, k, random_noise)

  def _run(
      self,
      styles: Styles,
      x: jax.Array,
      skip: jax.Array | None,
      start: int,
      end: int,
      random_noise: bool,
  ) -> tuple[list[jax.Array], jax.Array | None]:
    """Runs convolutions start to end - 1 and the toRGB layers between them.

    Returns:
      [F_start, ..., F_end] and the RGB sum.
    """
    outputs = [x]
    for i in range(start, end):
      if i % 2 == 1 and skip is not None:
        skip = formulations.upsample2x(skip)
      noise = self._noise(i, x.shape[0], random_noise)
      x = self.conv[i](x, styles.conv[i], noise)
      outputs.append(x)
      if i % 2 == 0:
        rgb = self.to_rgb[i // 2](x, styles.rgb[i // 2])
        skip = rgb if skip is None else skip + rgb
    return outputs, skip
