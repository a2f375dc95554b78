"""The type of one batch of pictures."""

from typing import Any

import flax.struct


class Batch(flax.struct.PyTreeNode):
  """Pictures of one training or validation step.

  Attributes:
    image: (n, resolution, resolution, 3) uint8, numpy or JAX array.
    label: (n, outputs) float32, columns as in `labels.Table.values`; None for
      pictures without labels.
  """

  image: Any
  label: Any = None
