"""Phase 1 on Stanford Cars: trains the Inverter.

  python -m sfe_jax.train --config=cars_phase1.py --workdir=W1

Needs in `weights` (made by python -m convert): generator and discriminator
(stylegan2-car-config-f-new.pkl, 512 px), iresnet50, lpips_vgg, moco; Stanford
Cars prepared by TFDS as array_record.

Hardware: as ffhq_phase1.py, at a quarter of the pixels.  Result: with phase 2,
the paper reaches LPIPS 0.039 and L2 0.004 (table 2); we have not run it.

Variants ":official" and ":smoke" as for ffhq_phase1.py.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common, ffhq_phase1


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 1 for cars (sections 3.3, 7 and 8)."""
  c = ffhq_phase1.get_config(variant)
  if variant != "smoke":
    common.cars(c)
  return c
