"""Layers and tensor operations shared by several networks.

Images and features are NHWC; kernels HWIO; linear kernels (in, out).  Every
operation states the padding and resampling rule it follows, because PyTorch's
defaults (which the official weights were trained with) are not JAX's.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SQRT2 = math.sqrt(2.0)
_TORCH_NORM_MOMENTUM = 0.1


def to_float(images: jax.Array) -> jax.Array:
  """uint8 [0, 255] -> float32 [-1, 1]."""
  return images.astype(jnp.float32) / 127.5 - 1.0


def leaky_relu(x: jax.Array, slope: float = 0.2) -> jax.Array:
  """Leaky ReLU; StyleGAN2 uses slope 0.2."""
  return jnp.where(x >= 0, x, x * slope)


def scaled_leaky_relu(x: jax.Array) -> jax.Array:
  """sqrt(2) * lrelu(x), StyleGAN2's variance-preserving activation."""
  return leaky_relu(x) * SQRT2


def pixel_norm(x: jax.Array, axis: int = -1) -> jax.Array:
  """Scales `x` to unit mean square over `axis` (StyleGAN2, epsilon 1e-8)."""
  return x * lax.rsqrt(jnp.mean(x * x, axis=axis, keepdims=True) + 1e-8)


def l2_normalize(x: jax.Array) -> jax.Array:
  """Scales `x` to unit Euclidean norm over its last axis."""
  return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def conv(
    features: int,
    kernel_size: int = 3,
    stride: int = 1,
    *,
    use_bias: bool = False,
    dtype: Any = jnp.float32,
    name: str | None = None,
) -> nn.Conv:
  """A square convolution padded like PyTorch's `padding=kernel_size // 2`.

  Flax's "SAME" pads asymmetrically under a stride, so padding is explicit.
  """
  pad = kernel_size // 2
  return nn.Conv(
      features,
      (kernel_size, kernel_size),
      (stride, stride),
      padding=((pad, pad), (pad, pad)),
      use_bias=use_bias,
      dtype=dtype,
      name=name,
  )


class BatchNorm(nn.Module):
  """Batch normalisation with PyTorch's running statistics.

  Differs from `nn.BatchNorm` in one number: the running variance takes the
  unbiased batch variance, n / (n - 1), as the official weights did.  Statistics
  and normalisation are float32 whatever `dtype` is.

  Attributes:
    epsilon: added to the variance.
    axis_name: device axis over which training statistics are averaged.
    dtype: dtype of the result.
    affine: learns a scale and a bias per channel.
  """

  epsilon: float = 1e-5
  axis_name: str | None = None
  dtype: Any = jnp.float32
  affine: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Normalises (..., c) over all leading axes."""
    c = x.shape[-1]
    scale, bias = 1.0, 0.0
    if self.affine:
      scale = self.param("scale", nn.initializers.ones, (c,))
      bias = self.param("bias", nn.initializers.zeros, (c,))
    running_mean = self.variable("batch_stats", "mean", jnp.zeros, (c,))
    running_var = self.variable("batch_stats", "var", jnp.ones, (c,))
    if train:
      axes = tuple(range(x.ndim - 1))
      x32 = x.astype(jnp.float32)
      count = x.size // c
      mean = jnp.mean(x32, axes)
      if self.axis_name is not None and not self.is_initializing():
        mean = lax.pmean(mean, self.axis_name)
        count *= lax.axis_size(self.axis_name)
      # Two passes: E[x^2] - E[x]^2 loses digits when the mean is large.
      var = jnp.mean(jnp.square(x32 - mean), axes)
      if self.axis_name is not None and not self.is_initializing():
        var = lax.pmean(var, self.axis_name)
      if not self.is_initializing():
        unbiased = var * (count / max(count - 1, 1))
        m = _TORCH_NORM_MOMENTUM
        running_mean.value = (1 - m) * running_mean.value + m * mean
        running_var.value = (1 - m) * running_var.value + m * unbiased
    else:
      mean, var = running_mean.value, running_var.value
    multiplier = scale * lax.rsqrt(var + self.epsilon)
    y = x.astype(jnp.float32) * multiplier + (bias - mean * multiplier)
    return y.astype(self.dtype)


class PReLU(nn.Module):
  """Leaky ReLU with one learned slope per channel (PyTorch's PReLU(c))."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    alpha = self.param(
        "alpha", nn.initializers.constant(0.25), (x.shape[-1],)
    )
    return jnp.where(x >= 0, x, x * alpha.astype(x.dtype))


class EqualLinear(nn.Module):
  """Linear layer with equalised learning rate (Karras et al. 2018).

  Weights are stored at unit variance (divided by `lr_mul`) and scaled at run
  time: y = x @ (kernel * lr_mul / sqrt(in)) + bias * lr_mul.

  Attributes:
    features: output width.
    lr_mul: learning-rate multiplier.
    bias_init: initial value of the effective bias.
  """

  features: int
  lr_mul: float = 1.0
  bias_init: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    d = x.shape[-1]
    kernel = self.param(
        "kernel",
        nn.initializers.normal(1.0 / self.lr_mul),
        (d, self.features),
    )
    bias = self.param(
        "bias",
        nn.initializers.constant(self.bias_init / self.lr_mul),
        (self.features,),
    )
    # Small products that scale whole feature maps: always full float32.
    kernel = kernel * (self.lr_mul / math.sqrt(d))
    return jnp.matmul(x, kernel, precision="highest") + bias * self.lr_mul


def resize_bilinear(
    x: jax.Array, size: int, align_corners: bool = False
) -> jax.Array:
  """PyTorch's bilinear resize of (n, h, w, c) to (n, size, size, c).

  No antialiasing when shrinking.  `align_corners` maps the centres of the
  corner pixels onto each other.
  """
  n, h, w, c = x.shape
  shape = (n, size, size, c)
  if not align_corners:
    return jax.image.resize(x, shape, "bilinear", antialias=False)
  scale = np.array([(size - 1) / (h - 1), (size - 1) / (w - 1)])
  return jax.image.scale_and_translate(
      x,
      shape,
      (1, 2),
      jnp.asarray(scale, jnp.float32),
      jnp.asarray(0.5 - 0.5 * scale, jnp.float32),
      "bilinear",
      antialias=False,
  )


def _pool_matrix(size: int, out: int) -> np.ndarray:
  """(out, size) averaging matrix of PyTorch's adaptive pooling."""
  matrix = np.zeros((out, size), np.float32)
  for i in range(out):
    start, end = i * size // out, -(-(i + 1) * size // out)
    matrix[i, start:end] = 1.0 / (end - start)
  return matrix


def adaptive_avg_pool(x: jax.Array, out: int) -> jax.Array:
  """Averages (n, h, w, c) over PyTorch's overlapping bins: (n, out, out, c).

  Bin i covers floor(i * h / out) .. ceil((i + 1) * h / out).
  """
  _, h, w, _ = x.shape
  rows, cols = _pool_matrix(h, out), _pool_matrix(w, out)
  return jnp.einsum("oh,nhwc,pw->nopc", rows, x, cols, precision="highest")
