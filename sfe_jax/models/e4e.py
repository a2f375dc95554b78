"""e4e and pSp encoders: image to one latent per style (section 3)."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers
from sfe_jax.models.iresnet import check_size
from sfe_jax.models.irse import IRTrunk


class StyleHead(nn.Module):
  """Strided convolutions down to one pixel, then a linear layer.

  Attributes:
    features: output width.
    hidden: width of the convolutions.
    dtype: of the convolutions; the linear layer is float32.
  """

  features: int
  hidden: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(n, s, s, c), s a power of two -> (n, features) float32."""
    for i in range(int(math.log2(x.shape[1]))):
      x = layers.conv(
          self.hidden,
          stride=2,
          use_bias=True,
          dtype=self.dtype,
          name=f"conv{i}",
      )(x)
      x = layers.leaky_relu(x, 0.01)
    x = x[:, 0, 0].astype(jnp.float32)
    return layers.EqualLinear(self.features, name="linear")(x)


class E4E(nn.Module):
  """IR-SE feature pyramid with one head per style.

  Attributes:
    styles: latents per image.
    w_dim: width of a latent.
    input_size: side of the square input images, a power of two from 32.
    depths: blocks per stage.
    widths: features per stage; the pyramid has the last.
    head_features: width of the heads' convolutions; None for w_dim, as
      published.
    residual: heads after the first give differences to the first (e4e), else
      every head gives its own latent (pSp).
    axis_name: device axis of the batch norms in training.
    dtype: compute dtype; latents are float32.
  """

  styles: int = 18
  w_dim: int = 512
  input_size: int = 256
  depths: tuple[int, int, int, int] = (3, 4, 14, 3)
  widths: tuple[int, int, int, int] = (64, 128, 256, 512)
  head_features: int | None = None
  residual: bool = True
  axis_name: str | None = None
  dtype: Any = jnp.float32

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Inputs of `__call__` for one image."""
    shape = (1, self.input_size, self.input_size, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """(n, size, size, 3) in [-1, 1] -> w_E (n, styles, w_dim) float32."""
    size = self.input_size
    if size < 32 or size & (size - 1):
      raise ValueError(
          f"input_size must be a power of two from 32, got {size}; 256 is the"
          " official one"
      )
    check_size(images, size, "E4E")
    w_avg = self.variable(
        "buffers", "w_avg", jnp.zeros, (self.styles, self.w_dim)
    )
    _, fine, medium, coarse = IRTrunk(
        self.depths,
        self.widths,
        axis_name=self.axis_name,
        dtype=self.dtype,
        name="trunk",
    )(images, train)
    medium = self._merge("lateral_medium", coarse, medium)
    fine = self._merge("lateral_fine", medium, fine)

    levels = 3 * [coarse] + 4 * [medium] + self.styles * [fine]
    hidden = self.head_features or self.w_dim
    rows = [
        StyleHead(self.w_dim, hidden, self.dtype, name=f"head{i}")(levels[i])
        for i in range(self.styles)
    ]
    if self.residual:
      rows[1:] = [rows[0] + row for row in rows[1:]]
    return jnp.stack(rows, axis=1) + w_avg.value

  def _merge(self, name: str, upper: jax.Array, lower: jax.Array) -> jax.Array:
    """One step down the pyramid: doubles `upper`, adds a view of `lower`."""
    lateral = layers.conv(
        self.widths[-1], 1, use_bias=True, dtype=self.dtype, name=name
    )(lower)
    upper = layers.resize_bilinear(upper, lower.shape[1], align_corners=True)
    return upper + lateral
