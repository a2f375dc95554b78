"""Multi-scale structural similarity (MS-SSIM), Wang et al. (2003)."""

import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax.errors import UserError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2  # for a data range of 1


def _blur(x: jax.Array) -> jax.Array:
  """Gaussian-weighted means over all 11x11 windows: (n, h - 10, w - 10, c)."""
  offset = np.arange(WINDOW) - WINDOW // 2
  taps = np.exp(-(offset**2) / (2 * _SIGMA**2))
  taps = (taps / taps.sum()).astype(np.float32)
  _, h, w, _ = x.shape
  h, w = h - WINDOW + 1, w - WINDOW + 1
  rows = [t * x[:, i : i + h] for i, t in enumerate(taps)]
  x = sum(rows[1:], rows[0])
  columns = [t * x[:, :, i : i + w] for i, t in enumerate(taps)]
  return sum(columns[1:], columns[0])


def _halve(x: jax.Array) -> jax.Array:
  """2x2 means; an odd last row or column is left out."""
  n, h, w, c = x.shape
  x = x[:, : h // 2 * 2, : w // 2 * 2]
  return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _similarities(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
  """SSIM and its contrast-structure part: (n, c) means over windows."""
  # One blur of all five maps compiles five times fewer operations.
  maps = jnp.concatenate([x, y, x * x, y * y, x * y], -1)
  mean_x, mean_y, mean_xx, mean_yy, mean_xy = jnp.split(_blur(maps), 5, -1)
  var_x = mean_xx - mean_x**2
  var_y = mean_yy - mean_y**2
  cov = mean_xy - mean_x * mean_y
  cs = (2 * cov + _C2) / (var_x + var_y + _C2)
  luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
  return (luminance * cs).mean((1, 2)), cs.mean((1, 2))


def scales_for(size: int) -> int:
  """Returns how many of the five scales images of `size` px allow.

  Every scale halves the image, and the last must still hold one window of
  11 px: 5 scales from 176 px, 4 from 88, 3 from 44, 2 from 22, 1 from 11.
  Below 11 px the result is 0: MS-SSIM is not defined, callers leave it out.
  """
  return sum(size >= WINDOW * 2**i for i in range(len(WEIGHTS)))


def ms_ssim(x: jax.Array, y: jax.Array, scales: int = 5) -> jax.Array:
  """Computes MS-SSIM of pairs of images.

  Args:
    x: (n, h, w, c) float32 in [0, 1].
    y: (n, h, w, c) float32 in [0, 1].
    scales: number of scales, see `scales_for`.  With fewer than five, the first
      weights are rescaled to sum 1; values for different numbers of scales
      cannot be compared.

  Returns:
    (n,) float32; 1 for equal images.

  Raises:
    UserError: the shapes differ, or the images are too small for the scales.
  """
  if x.shape != y.shape:
    raise UserError(
        f"MS-SSIM compares images of one shape, got {x.shape} and {y.shape}"
    )
  _, h, w, _ = x.shape
  possible = scales_for(min(h, w))
  if not possible:
    raise UserError(
        f"MS-SSIM needs images of at least {WINDOW} pixels a side, got {h}x{w};"
        " leave it out at this size"
    )
  if not 1 <= scales <= len(WEIGHTS):
    raise UserError(f"scales must be 1 to {len(WEIGHTS)}, got {scales}")
  if scales > possible:
    raise UserError(
        f"MS-SSIM at {scales} scales needs images of at least"
        f" {WINDOW * 2 ** (scales - 1)} pixels a side, got {h}x{w}; use"
        f" {possible} scales"
    )
  weights = np.array(WEIGHTS[:scales])
  if scales < len(WEIGHTS):  # the five published weights sum to 1.0001
    weights /= weights.sum()
  result = jnp.ones((x.shape[0], x.shape[-1]), x.dtype)
  for scale, weight in enumerate(weights, 1):
    ssim, cs = _similarities(x, y)
    result *= jax.nn.relu(ssim if scale == scales else cs) ** weight
    x, y = _halve(x), _halve(y)
  return result.mean(-1)
