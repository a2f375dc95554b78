"""The sheet of pictures that shows what every direction does."""

from collections.abc import Sequence

import jax
import numpy as np

from sfe_jax.directions.ranges import Probe
from sfe_jax.storage import images

_TILE = 72


def draw(
    probe: Probe,
    w_plus: np.ndarray,
    directions: Sequence[tuple[str, np.ndarray, float, float]],
) -> np.ndarray:
  """Draws a row per direction, below its name: each sample from low to high.

  Args:
    probe: holds the generator.
    w_plus: (n, styles, w_dim) samples.
    directions: name, offset, smallest and largest useful strength of each.

  Returns:
    uint8 (h, w, 3).
  """
  rows, captions = [], []
  for name, offset, low, high in directions:
    strengths = (low, low / 2, 0.0, high / 2, high)
    made = jax.device_get([
        probe.pictures(np.asarray(w_plus + s * offset, np.float32))
        for s in strengths
    ])
    pictures = images.to_uint8(np.stack(made, 1))
    rows.append(list(pictures.reshape(-1, *made[0].shape[1:])))
    captions.append(f"{name.replace('_', ' ')} {low:g} to {high:g}")
  titles = ["low", "", "0", "", "high"] * len(w_plus)
  return images.grid(rows, titles, _TILE, captions)
