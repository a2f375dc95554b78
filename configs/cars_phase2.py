"""Phase 2 on cars: trains the Feature Editor, with Delta from F_11.

  python -m sfe_jax.train --config=configs/cars_phase2.py --workdir=W2 \
      --config.init.inverter=W1

Needs in `weights` what phase 1 needs but iresnet50, and cars_pca.pt.
"""

from ml_collections import ConfigDict

from configs import common, ffhq_phase2


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 2 for cars."""
  c = ffhq_phase2.get_config(variant)
  c.edits.domain = "cars"
  if variant != "smoke":
    c.edits.set = "paper"
    common.cars(c)
  else:
    c.model.delta_k = c.model.k + 2
  return c
