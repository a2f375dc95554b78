"""Phase 2 on the drawn faces, or on any folder of pictures.

  python -m sfe_jax.train --config=configs/toy_phase2.py --workdir=W2 \
      --config.init.weights=WEIGHTS --config.init.inverter=W1

WEIGHTS holds generator, discriminator, perception and e4e, as their stages left
them in WORKDIR/weights, and the directions that python -m sfe_jax.directions
found.  W1 is the workdir of phase 1, or a weight folder.  Hardware: 2 CPU
cores, half an hour.  Leaves in W2/weights all that the editor needs.

":64" is for 64 px, 16 to 1024; ":smoke" runs in minutes on a CPU.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 2 (section 3.4) for small generators.

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.base()
  c.stage = "phase2"
  c.steps = 5_000
  c.init.inverter = "toy"  # workdir of phase 1 or weight folder
  c.edits = e = ConfigDict()
  e.domain = "none"  # table of directions
  e.set = "fitted"  # the set D: what sfe_jax.directions found; or user, see
  #                   sfe_jax/directions/training_sets.py
  e.user = ()  # with set fitted: names of the directions to use, none for all;
  #              with set user: "NAME=POWER,POWER,..." each
  e.inversion = True  # False for the ablation "w/o inv loss"
  e.encoder = True  # False for "w/o E": Delta from the Inverter's w
  c.loss.adversarial_start = 4_000
  c.optimizer.learning_rate = 1e-2
  common.toy_editor(c, size)
  if variant == "smoke":
    common.smoke(c)
    c.init.inverter = ""
    e.set = "user"
    e.user = ("random1=-2,2", "random2=1,3")
  return c
