"""e4e (Tov et al. 2021) and pSp (Richardson et al. 2021): images to w+."""

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
    features: output features.
    hidden: channels of the convolutions.
    dtype: dtype of the convolutions; the linear layer is float32.
  """

  features: int
  hidden: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps (n, s, s, c), s a power of two, to (n, features) float32."""
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
  """Feature pyramid on an IR-SE trunk with one head per row of w+.

  Attributes:
    styles: rows of w+.
    w_dim: length of a row.
    input_size: height and width of the images, a power of two from 32.
    depths: number of blocks in each stage of the trunk.
    widths: channels of each stage; the pyramid has the last width.
    head_features: channels of the heads' convolutions; None is `w_dim`, as in
      the published networks.
    residual: True (e4e): head 0 predicts row 0, the other heads the differences
      of their rows to row 0.  False (pSp): each head predicts its row.
    axis_name: device axis over which batch norms average in training.
    dtype: dtype of the computation; latents are float32.
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
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    shape = (1, self.input_size, self.input_size, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """Computes w_E.

    Args:
      images: (n, input_size, input_size, 3) in [-1, 1].
      train: whether batch norms use and record statistics of the batch.

    Returns:
      (n, styles, w_dim) float32, the mean latent included.

    Raises:
      ValueError: `input_size` or the shape of the images is not supported.
    """
    size = self.input_size
    if size < 32 or size & (size - 1):
      raise ValueError(
          f"input_size must be a power of two from 32, got {size}; the"
          " published networks have 256"
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
    """Resizes `upper` to the size of `lower` and adds a projected `lower`."""
    lateral = layers.conv(
        self.widths[-1], 1, use_bias=True, dtype=self.dtype, name=name
    )(lower)
    upper = layers.resize_bilinear(upper, lower.shape[1], align_corners=True)
    return upper + lateral
