"""Operations that are written differently for different platforms.

XLA compiles the same arithmetic well or badly depending on how it is written
and on the platform.  Each operation below exists in two forms that agree up to
rounding, in their values and their first and second derivatives
(tests/test_formulations.py).  `lax.platform_dependent` chooses one of them when
a program is lowered for a platform, so XLA compiles only that one.

The `_by_conv` form is the direct one, a single `lax.conv_general_dilated`.  The
other form was written for CPUs.  Forms in use:

  operation          CPU        TPU        other platforms
  fir_filter         adds       conv       conv
  upsample2x         polyphase  polyphase  conv
  transposed_conv2x  taps       conv       conv
  conv_down2x        patches    conv       conv

CPU: time of `_by_conv` divided by the time of the other form, measured with
jax 0.10.2 in float32 on two x86 cores, batch 1, best of seven runs.  dx and dk
are the gradients by the input and by the kernel; R1 is the gradient by the
kernel of the squared norm of dx.

  operation (input, widths)                 forward   dx    dk    R1
  fir_filter, gain 4 (257 px, 64)                30   10
  fir_filter, stride 2 (256 px, 64)              11   26
  upsample2x (256 px, 3)                        132   13
  transposed_conv2x (128 px, 64 -> 64)          1.0  0.3    14   0.5
  transposed_conv2x (16 px, 512 -> 512)         1.5  1.5    87   1.2
  conv_down2x (129 px, 64 -> 64)                0.6  1.0   0.5    23
  conv_down2x (33 px, 512 -> 512)               1.3  2.7   1.2   157

`transposed_conv2x` is chosen for dk (the generator's training) and
`conv_down2x` for R1.  Each was chosen for the derivative that XLA compiles to a
slow convolution on CPUs.

TPU: nothing was measured.  Cycles that the compiler (libtpu 0.0.52, v5e,
bfloat16) estimates for `_by_conv`, divided by those for the other form:

  operation (batch, input, widths)           forward    dx    dk    R1
  fir_filter, gain 4 (8, 257 px, 64)             1.8   1.4
  fir_filter, stride 2 (8, 256 px, 64)           1.8   0.9
  upsample2x (8, 256 px, 3)                       21    15
  transposed_conv2x (8, 128 px, 256 -> 128)     0.26  0.13  0.11  0.14
  transposed_conv2x (8, 16 px, 512 -> 512)      0.47  0.18  0.15  0.23
  conv_down2x (8, 129 px, 128 -> 256)           0.12  0.20  0.07  0.15
  conv_down2x (8, 33 px, 512 -> 512)            0.13  0.38  0.11  0.27

`fir_filter` alone would be better as shifted adds, but it follows
`transposed_conv2x`, and of the two together (512 px, 64 -> 32, batch 1) the
direct forms take 10.7 M cycles forward, taps with adds 18.0 M, and the direct
convolution with adds 32.6 M.

GPU: nothing was measured, so the direct forms are used.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_FIR = np.array([1.0, 3.0, 3.0, 1.0]) / 8


@functools.partial(jax.jit, static_argnames=("padding", "gain", "stride"))
def fir_filter(
    x: jax.Array, padding: tuple[int, int], gain: float = 1.0, stride: int = 1
) -> jax.Array:
  """StyleGAN2's low-pass filter [1, 3, 3, 1] x [1, 3, 3, 1] / 64.

  Args:
    x: (n, h, w, c).
    padding: number of zeros before and after both spatial axes.
    gain: factor on the result; 4 after upsampling by zero insertion.
    stride: every `stride`-th output position is kept.

  Returns:
    (n, h', w', c) in the dtype of `x`, with
    h' = ceil((h + sum(padding) - 3) / stride) and w' likewise.
  """
  return lax.platform_dependent(
      x,
      cpu=functools.partial(
          fir_filter_by_adds, padding=padding, gain=gain, stride=stride
      ),
      default=functools.partial(
          fir_filter_by_conv, padding=padding, gain=gain, stride=stride
      ),
  )


@jax.jit
def upsample2x(x: jax.Array) -> jax.Array:
  """StyleGAN2's upsampling of images: zero insertion, then the filter times 4.

  Pixels outside the image count as zero.

  Args:
    x: (n, h, w, c).

  Returns:
    (n, 2h, 2w, c) in the dtype of `x`.
  """
  return lax.platform_dependent(
      x,
      cpu=upsample2x_by_polyphase,
      tpu=upsample2x_by_polyphase,
      default=upsample2x_by_conv,
  )


@jax.jit
def transposed_conv2x(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Transposed 3x3 convolution with stride 2 and no padding.

  y[2i + a, 2j + b] is the sum of x[i, j] @ kernel[a, b] over all i, j, a, b
  that lead there, as in PyTorch's `conv_transpose2d`.

  Args:
    x: (n, h, w, c).
    kernel: (3, 3, c, o).

  Returns:
    (n, 2h + 1, 2w + 1, o).
  """
  return lax.platform_dependent(
      x,
      kernel,
      cpu=transposed_conv2x_by_taps,
      default=transposed_conv2x_by_conv,
  )


@jax.jit
def conv_down2x(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """3x3 convolution with stride 2 and no padding.

  Args:
    x: (n, 2h + 1, 2w + 1, c).
    kernel: (3, 3, c, o).

  Returns:
    (n, h, w, o).
  """
  return lax.platform_dependent(
      x, kernel, cpu=conv_down2x_by_patches, default=conv_down2x_by_conv
  )


def _fir_kernel(channels: int, gain: float, dtype: DTypeLike) -> jax.Array:
  """(4, 4, 1, channels) depthwise kernel; exact in bfloat16 for gain 1 or 4."""
  kernel = gain * np.outer(_FIR, _FIR)[:, :, None, None]
  return jnp.asarray(np.tile(kernel, (1, 1, 1, channels)), dtype)


def fir_filter_by_adds(
    x: jax.Array, padding: tuple[int, int], gain: float = 1.0, stride: int = 1
) -> jax.Array:
  """`fir_filter` as sums of shifted slices, one axis after the other."""
  x = jnp.pad(x, ((0, 0), padding, padding, (0, 0)))
  for axis in (1, 2):
    size = x.shape[axis] - 3
    taps = [
        lax.slice_in_dim(x, i, i + size, stride, axis) for i in range(4)
    ]
    x = (taps[0] + taps[3]) * 0.125 + (taps[1] + taps[2]) * 0.375
  return x if gain == 1.0 else x * gain


def fir_filter_by_conv(
    x: jax.Array, padding: tuple[int, int], gain: float = 1.0, stride: int = 1
) -> jax.Array:
  """`fir_filter` as one depthwise convolution.

  The precision is the highest because accelerators otherwise round float32
  input of convolutions to fewer bits, which sums never do.
  """
  c = x.shape[-1]
  return lax.conv_general_dilated(
      x,
      _fir_kernel(c, gain, x.dtype),
      (stride, stride),
      (padding, padding),
      dimension_numbers=_DIMENSIONS,
      feature_group_count=c,
      precision=lax.Precision.HIGHEST,
  )


def upsample2x_by_polyphase(x: jax.Array) -> jax.Array:
  """`upsample2x` as sums that skip the inserted zeros, one axis at a time."""
  for axis in (1, 2):
    size = x.shape[axis]
    pad = [(0, 0)] * x.ndim
    pad[axis] = (1, 1)
    padded = jnp.pad(x, pad)
    before = lax.slice_in_dim(padded, 0, size, 1, axis)
    after = lax.slice_in_dim(padded, 2, size + 2, 1, axis)
    even, odd = 0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after
    shape = list(x.shape)
    shape[axis] = 2 * size
    x = jnp.stack([even, odd], axis + 1).reshape(shape)
  return x


def upsample2x_by_conv(x: jax.Array) -> jax.Array:
  """`upsample2x` as one depthwise convolution with input dilation.

  The precision is the highest for the reason given in `fir_filter_by_conv`.
  """
  c = x.shape[-1]
  return lax.conv_general_dilated(
      x,
      _fir_kernel(c, 4.0, x.dtype),
      (1, 1),
      ((2, 2), (2, 2)),
      lhs_dilation=(2, 2),
      dimension_numbers=_DIMENSIONS,
      feature_group_count=c,
      precision=lax.Precision.HIGHEST,
  )


def transposed_conv2x_by_taps(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`transposed_conv2x` as nine matrix products, one per kernel position.

  The products are summed separately for even and odd output rows and columns,
  then interleaved.
  """
  n, h, w, _ = x.shape
  first, last = (0, 1), (1, 0)

  def tap(i, j, rows, cols):
    y = jnp.einsum("nhwi,io->nhwo", x, kernel[i, j])
    return jnp.pad(y, ((0, 0), rows, cols, (0, 0)))

  even_even = (
      tap(0, 0, first, first)
      + tap(2, 0, last, first)
      + tap(0, 2, first, last)
      + tap(2, 2, last, last)
  )
  even_odd = tap(0, 1, first, first) + tap(2, 1, last, first)
  odd_even = tap(1, 0, first, first) + tap(1, 2, first, last)
  odd_odd = tap(1, 1, first, first)
  rows = [
      jnp.stack([even_even, even_odd], 3),
      jnp.stack([odd_even, odd_odd], 3),
  ]
  y = jnp.stack(rows, 2).reshape(n, 2 * h + 2, 2 * w + 2, -1)
  return y[:, :-1, :-1]


def transposed_conv2x_by_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`transposed_conv2x` as one convolution with input dilation."""
  return lax.conv_general_dilated(
      x,
      kernel[::-1, ::-1],
      (1, 1),
      ((2, 2), (2, 2)),
      lhs_dilation=(2, 2),
      dimension_numbers=_DIMENSIONS,
  )


def _even_odd(x: jax.Array, axis: int) -> list[jax.Array]:
  """Even and odd elements of an axis of odd length, odd ones zero-padded."""
  padding = [(0, 0)] * x.ndim
  padding[axis] = (0, 1)
  shape = list(x.shape)
  shape[axis : axis + 1] = [x.shape[axis] // 2 + 1, 2]
  pairs = jnp.pad(x, padding).reshape(shape)
  halves = lax.split(pairs, (1, 1), axis + 1)
  return [half.squeeze(axis + 1) for half in halves]


def conv_down2x_by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_down2x` as one matrix product over gathered 3x3 patches."""
  h, w = x.shape[1] // 2, x.shape[2] // 2
  # Slices with a stride would serve too, but the gradient of each is an array
  # of zeros as large as x.
  phases = [_even_odd(rows, 2) for rows in _even_odd(x, 1)]
  patches = [
      phases[i % 2][j % 2][:, i // 2 : i // 2 + h, j // 2 : j // 2 + w]
      for i in range(3)
      for j in range(3)
  ]
  return jnp.concatenate(patches, -1) @ kernel.reshape(-1, kernel.shape[-1])


def conv_down2x_by_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`conv_down2x` as one strided convolution."""
  return lax.conv_general_dilated(
      x, kernel, (2, 2), "VALID", dimension_numbers=_DIMENSIONS
  )
