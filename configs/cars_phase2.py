r"""Phase 2 on Stanford Cars: trains the Feature Editor, with Delta at layer 11.

  python -m sfe_jax.train --config=cars_phase2.py --workdir=W2 \
      --config.init.inverter=W1

W1 is the workdir of phase 1, or a weight folder.  Needs in `weights` (made by
python -m convert): generator, e4e, lpips_vgg, moco, the discriminator unless W1
holds one, and the directions of cars_pca.pt; Stanford Cars prepared by TFDS as
array_record.

Hardware: as ffhq_phase2.py, at a quarter of the pixels.  Result: the paper
reaches LPIPS 0.039 and L2 0.004 (table 2); we have not run it.

Variants ":official" and ":smoke" as for ffhq_phase2.py.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common, ffhq_phase2


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 2 for cars (sections 3.4, 7 and 8)."""
  c = ffhq_phase2.get_config(variant)
  c.edits.domain = "cars"
  if variant != "smoke":
    c.edits.set = "paper"
    common.cars(c)
  else:
    c.model.delta_k = c.model.k + 2
  return c
