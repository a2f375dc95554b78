"""Layers and tensor operations that several networks use.

Images and features are NHWC, convolution kernels HWIO, linear kernels (in,
out).  Padding and resampling follow PyTorch's defaults, with which the official
weights were trained; docs/numerics.md says where JAX's differ.
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
  """Converts uint8 images in [0, 255] to float32 images in [-1, 1]."""
  return images.astype(jnp.float32) / 127.5 - 1.0


def leaky_relu(x: jax.Array, slope: float = 0.2) -> jax.Array:
  """Leaky ReLU; the default slope is StyleGAN2's."""
  return jnp.where(x >= 0, x, x * slope)


def scaled_leaky_relu(x: jax.Array) -> jax.Array:
  """StyleGAN2's activation: leaky ReLU of slope 0.2, times sqrt(2)."""
  return leaky_relu(x) * SQRT2


def clamp(x: jax.Array, limit: float | None) -> jax.Array:
  """Limits values to [-limit, limit]; None returns `x` unchanged."""
  return x if limit is None else jnp.clip(x, -limit, limit)


def pixel_norm(x: jax.Array, axis: int = -1) -> jax.Array:
  """Divides `x` by sqrt(mean(x^2) + 1e-8) over `axis`."""
  return x * lax.rsqrt(jnp.mean(x * x, axis=axis, keepdims=True) + 1e-8)


def l2_normalize(x: jax.Array) -> jax.Array:
  """Divides `x` by its Euclidean norm over the last axis; 0 gives NaN."""
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
  """Square convolution with PyTorch's `padding=kernel_size // 2`.

  Flax's padding "SAME" is asymmetric if there is a stride, so the padding is
  given in numbers.
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

  Unlike in `nn.BatchNorm`, the running variance is that of the unbiased batch
  variance, which is n / (n - 1) times the biased one.  Statistics and
  normalisation are computed in float32.

  Attributes:
    epsilon: added to the variance.
    axis_name: device axis over which training statistics are averaged; None on
      one device.
    dtype: dtype of the output.
    affine: whether there are a learned scale and bias per channel.
  """

  epsilon: float = 1e-5
  axis_name: str | None = None
  dtype: Any = jnp.float32
  affine: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Normalises each channel of (..., c) over all other axes.

    Args:
      x: (..., c).
      train: whether to use the statistics of the batch and update the running
        ones in collection "batch_stats", or to use the running ones.

    Returns:
      An array of the shape of x.
    """
    c = x.shape[-1]
    scale: jax.Array | float = 1.0
    bias: jax.Array | float = 0.0
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
      # E[x^2] - E[x]^2 would be inaccurate where the mean is large.
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
  """Leaky ReLU with one learned slope per channel, initially 0.25."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    alpha = self.param(
        "alpha", nn.initializers.constant(0.25), (x.shape[-1],)
    )
    return jnp.where(x >= 0, x, x * alpha.astype(x.dtype))


class EqualLinear(nn.Module):
  """Linear layer with equalised learning rate (Karras et al. 2018).

  y = x @ (kernel * lr_mul / sqrt(in)) + bias * lr_mul.  The initial kernel has
  standard deviation 1 / lr_mul.

  Attributes:
    features: output features.
    lr_mul: learning rate multiplier.
    bias_init: initial value of bias * lr_mul.
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
    # The results scale whole feature maps, so the product is never rounded to
    # fewer bits than float32.
    kernel = kernel * (self.lr_mul / math.sqrt(d))
    return jnp.matmul(x, kernel, precision="highest") + bias * self.lr_mul


def resize_bilinear(
    x: jax.Array, size: int, align_corners: bool = False
) -> jax.Array:
  """PyTorch's bilinear resize without antialiasing.

  Args:
    x: (n, h, w, c).
    size: height and width of the result.
    align_corners: whether the centres of the corner pixels of input and output
      coincide, instead of the outer edges.

  Returns:
    (n, size, size, c).
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
  """Matrix (out, size) that averages an axis as in `adaptive_avg_pool`."""
  matrix = np.zeros((out, size), np.float32)
  for i in range(out):
    start, end = i * size // out, -(-(i + 1) * size // out)
    matrix[i, start:end] = 1.0 / (end - start)
  return matrix


def adaptive_avg_pool(x: jax.Array, out: int) -> jax.Array:
  """PyTorch's adaptive average pooling of (n, h, w, c) to (n, out, out, c).

  Output row i is the mean of input rows floor(i * h / out) to
  ceil((i + 1) * h / out) - 1; columns likewise.
  """
  _, h, w, _ = x.shape
  rows, cols = _pool_matrix(h, out), _pool_matrix(w, out)
  return jnp.einsum("oh,nhwc,pw->nopc", rows, x, cols, precision="highest")
