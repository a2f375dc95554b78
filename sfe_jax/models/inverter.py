"""Inverter I: Feature-Style-like backbone and Fuser (paper, 3.2 and 8)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers
from sfe_jax.models.feature_editor import FeatureFusion
from sfe_jax.models.iresnet import IResNetTrunk

_POOLED = 3


class Backbone(nn.Module):
  """I_fse: image -> (w, F_pred), equation 1.

  Attributes: see `Inverter`.
  """

  styles: int
  w_dim: int
  features: int
  depths: tuple[int, ...]
  widths: tuple[int, ...]
  strides: tuple[int, ...]
  content_stride: int
  dtype: Any
  axis_name: str | None

  @nn.compact
  def __call__(
      self, images: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    stages = IResNetTrunk(
        self.depths,
        self.widths,
        self.strides,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name="trunk",
    )(images.astype(self.dtype), train)
    w_avg = self.variable(
        "buffers", "w_avg", jnp.zeros, (self.styles, self.w_dim)
    )
    w = w_avg.value + self._latents(stages)
    return w, self._content(stages[2], train)

  def _latents(self, stages: list[jax.Array]) -> jax.Array:
    pooled = [
        layers.adaptive_avg_pool(x.astype(jnp.float32), _POOLED)
        for x in stages
    ]
    x = jnp.concatenate(pooled, -1)
    # The official linear layers read C, H, W order.
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    rows = [
        nn.Dense(self.w_dim, name=f"style{i}")(x) for i in range(self.styles)
    ]
    return jnp.stack(rows, 1)

  def _content(self, x: jax.Array, train: bool) -> jax.Array:
    def norm(x, name):
      return layers.BatchNorm(
          axis_name=self.axis_name, dtype=self.dtype, name=name
      )(x, train)

    x = norm(x, "content_bn1")
    x = layers.conv(
        self.features,
        stride=self.content_stride,
        dtype=self.dtype,
        name="content_conv1",
    )(x)
    x = norm(x, "content_bn2")
    x = layers.PReLU(name="content_prelu")(x)
    x = layers.conv(self.features, dtype=self.dtype, name="content_conv2")(x)
    return norm(x, "content_bn3")


class Inverter(nn.Module):
  """I: backbone and Fuser (equations 1-3).

  Attributes:
    styles: rows of w+.
    w_dim: width of a row.
    features: channels of F_k.
    input_size: side of the input images.
    depths: residual blocks of each backbone stage.
    widths: channels of each backbone stage.
    strides: stride of each stage; the third is 1 instead of 2 so that F_pred
      has a quarter of the input's side (section 8, figure 8b).
    content_stride: further stride of the feature predictor; the side of F_k is
      input_size / (product of the first three strides * content_stride).
    fuser_depth: residual blocks of the Fuser; None trains without Fuser
      (ablation, table 3): F_k = F_pred.
    dtype: compute dtype; w is float32.
    axis_name: device axis of the batch statistics.

  Variables: collection "buffers" holds `w_avg` (styles, w_dim), which the
  backbone adds to its latents.
  """

  styles: int = 18
  w_dim: int = 512
  features: int = 512
  input_size: int = 256
  depths: tuple[int, ...] = (3, 4, 14, 3)
  widths: tuple[int, ...] = (64, 128, 256, 512)
  strides: tuple[int, ...] = (2, 2, 1, 2)
  content_stride: int = 1
  fuser_depth: int | None = 5
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @property
  def feature_size(self) -> int:
    """Side of F_k."""
    a, b, c, _ = self.strides
    return self.input_size // (a * b * c * self.content_stride)

  def setup(self):
    self.backbone = Backbone(
        self.styles,
        self.w_dim,
        self.features,
        self.depths,
        self.widths,
        self.strides,
        self.content_stride,
        self.dtype,
        self.axis_name,
    )
    if self.fuser_depth is not None:
      self.fuser = FeatureFusion(
          self.features,
          self.fuser_depth,
          dtype=self.dtype,
          axis_name=self.axis_name,
      )

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Inputs of `__call__`, for initialisation."""
    images = (1, self.input_size, self.input_size, 3)
    f_w = (1, self.feature_size, self.feature_size, self.features)
    return tuple(jax.ShapeDtypeStruct(s, jnp.float32) for s in (images, f_w))

  def __call__(
      self, images: jax.Array, f_w: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Both parts with a given F_w: (w, F_k)."""
    w, f_pred = self.encode(images, train)
    return w, self.fuse(f_pred, f_w, train)

  def encode(
      self, images: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Equation 1: images (n, input_size, input_size, 3) in [-1, 1] to latents.

    Returns:
      w (n, styles, w_dim) float32, the mean latent included, and F_pred
      (n, feature_size, feature_size, features).
    """
    return self.backbone(images, train)

  def fuse(
      self, f_pred: jax.Array, f_w: jax.Array, train: bool = False
  ) -> jax.Array:
    """Equation 2: F_k from F_pred and F_w = G(w)'s features at k."""
    if self.fuser_depth is None:
      return f_pred
    return self.fuser(f_pred, f_w, train)
