"""Phase 2 on faces: trains the Feature Editor.

  python -m sfe_jax.train --config=configs/ffhq_phase2.py --workdir=W2 \
      --config.init.inverter=W1

W1 is the workdir of phase 1, or a weight folder.  Needs in `weights` what phase
1 needs but iresnet50, and the edit directions.  The paper reaches LPIPS 0.019
and L2 0.0017 for inversion on CelebA-HQ (table 3).

":official" has the release's values, ":smoke" runs minutes on a CPU.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 2 (sections 3.4 and 7)."""
  c = common.base(variant)
  c.stage = "phase2"
  c.steps = 20_000
  c.init.inverter = ""  # workdir of phase 1 or weight folder
  c.edits = e = ConfigDict()
  e.domain = "faces"  # table of directions
  e.set = "release"  # the set D: release, paper, small (ablation), fitted or
  #                    user, see sfe_jax/directions/training_sets.py
  e.user = ()  # with set user: "NAME=POWER,POWER,..." each; with set fitted:
  #              names of the directions to use, none for all
  e.inversion = True  # False for the ablation "w/o inv loss"
  e.encoder = True  # False for "w/o E": Delta from the Inverter's w
  if variant == "official":
    c.steps = 500_000
    c.loss.adversarial_start = 45_000
    c.optimizer.learning_rate = 1e-4
  if variant == "smoke":
    common.smoke(c)
    e.set = "user"
    e.user = ("random1=-2,2", "random2=1,3")
  return c
