"""Phase 1 on cars: trains the Inverter.

  python -m sfe_jax.train --config=configs/cars_phase1.py --workdir=W1

Needs in `weights`: generator (stylegan2-car-config-f-new.pkl, 512 px), e4e,
discriminator, iresnet50, lpips_vgg, moco; Stanford Cars prepared by TFDS.  The
paper reaches, with phase 2, LPIPS 0.039 and L2 0.004 (table 2).
"""

from ml_collections import ConfigDict

from configs import common, ffhq_phase1


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 1 for cars."""
  c = ffhq_phase1.get_config(variant)
  if variant != "smoke":
    common.cars(c)
  return c
