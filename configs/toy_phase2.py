r"""Phase 2 on the drawn faces, or on any folder of pictures.

  python -m sfe_jax.train --config=toy_phase2.py --workdir=W2 \
      --config.init.weights=WEIGHTS --config.init.inverter=W1

WEIGHTS holds the networks generator, perception and e4e, which the other toy
configs leave in WORKDIR/weights, and the directions that
python -m sfe_jax.directions found.  W1 is the workdir of phase 1, or a weight
folder.  D starts from W1's discriminator; if W1 has none, from that of WEIGHTS.
Without these two options the run starts from the weights that ship with
sfe_jax.

Hardware: 2 CPU cores, half an hour at 32 px.  Result: everything that the
editor needs, in W2/weights.

Variants: ":64" is for 64 px, likewise other powers of two from 16 to 1024;
":smoke" runs for minutes on a CPU.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 2 (section 3.4) for small generators.

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.base()
  c.stage = "phase2"
  c.steps = 5_000
  c.init.inverter = "toy"  # workdir of phase 1, or a weight folder
  c.edits = e = ConfigDict()
  e.domain = "none"  # table of published directions: none for own generators
  e.set = "fitted"  # set of training directions: fitted (found by python -m
  #                   sfe_jax.directions) or user
  e.user = ()  # for set fitted: names of the directions to use, or () for all;
  #              for set user: one text "NAME=POWER,POWER,..." per direction
  e.inversion = True  # False for the ablation "w/o inv loss"
  e.encoder = True  # False for the ablation "w/o E": Delta from w, not E's w
  c.loss.adversarial_start = 4_000
  c.optimizer.learning_rate = 1e-2
  common.toy_editor(c, size)
  if variant == "smoke":
    common.smoke(c)
    c.init.inverter = ""
    e.set = "user"
    e.user = ("random1=-2,2", "random2=1,3")
  return c
