"""Phase 1 on faces: trains the Inverter.

  python -m sfe_jax.train --config=configs/ffhq_phase1.py --workdir=W1

Needs in `weights` (python -m convert): generator, e4e, discriminator,
iresnet50, lpips_vgg, arcface; pictures of 1024 px in data/ffhq.  Hardware: the
paper's batch of 8 at 1024 px; smaller GPUs take --config.compute.accumulate=4
and --config.compute.remat=True.  The paper reaches, without H, LPIPS 0.016 and
L2 0.0013 on CelebA-HQ (table 3).

":official" has the release's values, ":smoke" runs minutes on a CPU.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 1 (sections 3.3 and 7)."""
  c = common.base(variant)
  c.stage = "phase1"
  c.steps = 37_500
  c.init.backbone = True  # start from ArcFace's iresnet50
  c.loss.regulariser = 0.01  # weight of the regulariser of F_k
  c.loss.regulariser_form = "norm"  # ||F_k||_2; difference: F_k against F_w
  c.loss.blend_rate = 1e-4  # F_k enters with min(1, rate * step)
  if variant == "official":
    c.steps = 300_000
    c.loss.adversarial_start = 45_000
    c.loss.regulariser_form = "difference"
    c.optimizer.learning_rate = 1e-4
  if variant == "smoke":
    common.smoke(c)
  return c
