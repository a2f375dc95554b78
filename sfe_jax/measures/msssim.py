"""Multi-scale structural similarity, Wang et al. (2003)."""

import jax
import jax.numpy as jnp
import numpy as np

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2  # for a data range of 1


def _blur(x: jax.Array) -> jax.Array:
  """Gaussian-weighted means of the 11x11 windows that fit: 10 pixels fewer."""
  offset = np.arange(_WINDOW) - _WINDOW // 2
  taps = np.exp(-(offset**2) / (2 * _SIGMA**2))
  taps = (taps / taps.sum()).astype(np.float32)
  _, h, w, _ = x.shape
  h, w = h - _WINDOW + 1, w - _WINDOW + 1
  x = sum(t * x[:, i : i + h] for i, t in enumerate(taps))
  return sum(t * x[:, :, i : i + w] for i, t in enumerate(taps))


def _halve(x: jax.Array) -> jax.Array:
  """2x2 means; an odd last row or column is left out."""
  n, h, w, c = x.shape
  x = x[:, : h // 2 * 2, : w // 2 * 2]
  return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _similarities(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(ssim, contrast-structure), each the (n, c) mean over windows."""
  # One blur of all five maps: a fifth of the operations to compile.
  maps = jnp.concatenate([x, y, x * x, y * y, x * y], -1)
  mean_x, mean_y, mean_xx, mean_yy, mean_xy = jnp.split(_blur(maps), 5, -1)
  var_x = mean_xx - mean_x**2
  var_y = mean_yy - mean_y**2
  cov = mean_xy - mean_x * mean_y
  cs = (2 * cov + _C2) / (var_x + var_y + _C2)
  luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
  return (luminance * cs).mean((1, 2)), cs.mean((1, 2))


def scales_for(size: int) -> int:
  """The most scales that images of `size` pixels a side allow."""
  return sum(size >= _WINDOW * 2**i for i in range(len(WEIGHTS)))


def ms_ssim(x: jax.Array, y: jax.Array, scales: int = 5) -> jax.Array:
  """MS-SSIM of image pairs (spec/reference.md, section 9).

  Args:
    x, y: (n, h, w, c) float32 in [0, 1].
    scales: how many of the five scales to use; fewer suit smaller images, and
      the first weights, rescaled to sum 1, then give another measure.

  Returns:
    (n,) float32; 1 for equal images.

  Raises:
    ValueError: unequal shapes, or images too small for the scales.
  """
  if not 1 <= scales <= len(WEIGHTS):
    raise ValueError(f"scales must be 1 to {len(WEIGHTS)}, got {scales}")
  if x.shape != y.shape:
    raise ValueError(
        f"MS-SSIM compares images of one shape, got {x.shape} and {y.shape}"
    )
  smallest = _WINDOW * 2 ** (scales - 1)
  if min(x.shape[1:3]) < smallest:
    raise ValueError(
        f"MS-SSIM at {scales} scales needs images of at least {smallest}"
        f" pixels a side, got {x.shape[1]}x{x.shape[2]}; use fewer scales"
    )
  weights = np.array(WEIGHTS[:scales])
  if scales < len(WEIGHTS):  # the full set, as published, sums to 1.0001
    weights /= weights.sum()
  result = 1.0
  for scale, weight in enumerate(weights, 1):
    ssim, cs = _similarities(x, y)
    result *= jax.nn.relu(ssim if scale == scales else cs) ** weight
    x, y = _halve(x), _halve(y)
  return result.mean(-1)
