"""Inverter I: backbone I_fse and Fuser (paper, sections 3.2 and 8)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers
from sfe_jax.models.feature_editor import FeatureFusion
from sfe_jax.models.iresnet import IResNetTrunk

_POOLED = 3  # height and width to which the stages' features are pooled


class Backbone(nn.Module):
  """I_fse: predicts w and F_pred from an image (paper, equation 1).

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
    """See `Inverter.encode`."""
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
    """w (n, styles, w_dim) without the mean latent, from all stages."""
    pooled = [
        layers.adaptive_avg_pool(x.astype(jnp.float32), _POOLED)
        for x in stages
    ]
    x = jnp.concatenate(pooled, -1)
    # Official weights expect the flattened order c, h, w.
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    rows = [
        nn.Dense(self.w_dim, name=f"style{i}")(x) for i in range(self.styles)
    ]
    return jnp.stack(rows, 1)

  def _content(self, x: jax.Array, train: bool) -> jax.Array:
    """F_pred from the output of the third stage."""

    def norm(x: jax.Array, name: str) -> jax.Array:
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
  """I: backbone and Fuser (paper, equations 1 to 3).

  Collection "buffers" holds `w_avg` (styles, w_dim), the mean latent, which the
  backbone adds to its prediction.

  Attributes:
    styles: rows of w+.
    w_dim: length of a row.
    features: channels of F_k.
    input_size: height and width of the images.
    depths: number of residual blocks in each stage of the backbone.
    widths: channels of each stage.
    strides: stride of each stage.  The third is 1, not 2 as in IResNet, so that
      F_pred has a quarter of the image's height and width (paper, figure 8b).
    content_stride: additional stride of the layers that predict F_pred.  The
      size of F_k is input_size / (first three strides * content_stride).
    fuser_depth: number of residual blocks of the Fuser; None means no Fuser,
      F_k = F_pred (paper, ablation in table 3).
    dtype: dtype of the computation; w is float32.
    axis_name: device axis over which batch norms average in training.
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
    """Height and width of F_k."""
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
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    images = (1, self.input_size, self.input_size, 3)
    f_w = (1, self.feature_size, self.feature_size, self.features)
    return tuple(jax.ShapeDtypeStruct(s, jnp.float32) for s in (images, f_w))

  def __call__(
      self, images: jax.Array, f_w: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Runs backbone and Fuser with a given F_w; returns (w, F_k).

    The pipeline calls `encode` and `fuse` instead, because F_w depends on w.
    This method serves initialisation.
    """
    w, f_pred = self.encode(images, train)
    return w, self.fuse(f_pred, f_w, train)

  def encode(
      self, images: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Predicts w and F_pred (paper, equation 1).

    Args:
      images: (n, input_size, input_size, 3) in [-1, 1].
      train: whether batch norms use and record statistics of the batch.

    Returns:
      w (n, styles, w_dim) float32, the mean latent included, and F_pred
      (n, feature_size, feature_size, features).
    """
    return self.backbone(images, train)

  def fuse(
      self, f_pred: jax.Array, f_w: jax.Array, train: bool = False
  ) -> jax.Array:
    """Merges F_pred and F_w into F_k (paper, equation 2).

    Args:
      f_pred: (n, feature_size, feature_size, features).
      f_w: the generator's F_k for w, same shape.
      train: whether batch norms use and record statistics of the batch.

    Returns:
      F_k, same shape.
    """
    if self.fuser_depth is None:
      return f_pred
    return self.fuser(f_pred, f_w, train)
