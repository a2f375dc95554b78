"""What the loader gives a training step."""

from typing import Any

import flax.struct
import jax


@flax.struct.dataclass
class Batch:
  """Pictures on their way to the device.

  Attributes:
    image: (n, resolution, resolution, 3) uint8.
    label: (n, outputs) float32, see `labels.Table.values`; None without.
  """

  image: jax.Array
  label: Any = None
