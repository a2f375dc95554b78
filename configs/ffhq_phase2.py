r"""Phase 2 on FFHQ faces: trains the Feature Editor.

  python -m sfe_jax.train --config=ffhq_phase2.py --workdir=W2 \
      --config.init.inverter=W1

W1 is the workdir of phase 1, or a weight folder.  Needs in `weights` (made by
python -m convert): generator, e4e, lpips_vgg, arcface, the edit directions, and
the discriminator unless W1 holds the one that phase 1 trained; pictures of
1024 px in data/ffhq.  --dry_run lists what is missing.

Hardware: GPUs or TPUs for the paper's batch of 8 at 1024 px; a step with one
picture needs about 8 GB.  Result: the paper reaches LPIPS 0.019 and L2 0.0017
for inversion on CelebA-HQ (table 3); we have not run it.

Variants: ":official" has the values of the official code, ":smoke" runs for
minutes on a CPU with random networks.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 2 (sections 3.4 and 7)."""
  c = common.base(variant)
  c.stage = "phase2"
  c.steps = 20_000
  c.init.inverter = ""  # workdir of phase 1, or a weight folder
  c.edits = e = ConfigDict()
  e.domain = "faces"  # table of published directions: faces, cars or none
  e.set = "release"  # set of training directions: release, paper, small
  #                    (ablation), fitted or user, see
  #                    sfe_jax/directions/training_sets.py
  e.user = ()  # for set user: one text "NAME=POWER,POWER,..." per direction;
  #              for set fitted: names of the directions to use, or () for all
  e.inversion = True  # False for the ablation "w/o inv loss"
  e.encoder = True  # False for the ablation "w/o E": Delta from w, not E's w
  if variant == "official":
    # The official run goes from step 300 001, where phase 1 ends, to 500 000.
    c.steps = 200_000
    c.loss.adversarial_start = 0
    c.optimizer.learning_rate = 1e-4
  if variant == "smoke":
    common.smoke(c)
    e.set = "user"
    e.user = ("random1=-2,2", "random2=1,3")
  return c
