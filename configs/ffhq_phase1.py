"""Phase 1 on FFHQ faces: trains the Inverter.

  python -m sfe_jax.train --config=ffhq_phase1.py --workdir=W1

Needs in `weights` (made by python -m convert): generator, discriminator,
iresnet50, lpips_vgg, arcface; pictures of 1024 px in data/ffhq.  --dry_run
lists what is missing.

Hardware: GPUs or TPUs for the paper's batch of 8 at 1024 px; a step with one
picture needs about 14 GB.  Small GPUs: --config.compute.accumulate=4 and
--config.compute.remat=True.  Result: without the Feature Editor the paper
reaches LPIPS 0.016 and L2 0.0013 on CelebA-HQ (table 3); we have not run it.

Variants: ":official" has the values of the official code, ":smoke" runs for
minutes on a CPU with random networks.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 1 (sections 3.3 and 7)."""
  c = common.base(variant)
  c.stage = "phase1"
  c.steps = 37_500
  c.init.backbone = True  # start the Inverter's trunk from ArcFace's iresnet50
  c.loss.regulariser = 0.01  # weight of the regulariser of F_k
  c.loss.regulariser_form = "norm"  # norm: ||F_k||_2; difference: mean square
  #                                   of F_k - F_w
  c.loss.blend_rate = 1e-4  # while training, F_k enters the generator with
  #                           weight min(1, blend_rate * step)
  if variant == "official":
    c.steps = 300_000
    c.loss.adversarial_start = 45_000
    c.loss.regulariser_form = "difference"
    c.optimizer.learning_rate = 1e-4
  if variant == "smoke":
    common.smoke(c)
  return c
