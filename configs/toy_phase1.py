"""Phase 1 on the drawn faces, or on any folder of pictures.

  python -m sfe_jax.train --config=configs/toy_phase1.py --workdir=W1 \
      --config.init.weights=WEIGHTS

WEIGHTS holds generator, discriminator and perception, as their stages left them
in WORKDIR/weights.  Hardware: 2 CPU cores, half an hour; held-out faces are
then inverted with an L2 of 0.006.  Leaves W1/weights/inverter, which phase 2
starts from.

":64" is for 64 px, 16 to 1024; ":smoke" runs in minutes on a CPU.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 1 (section 3.3) for small generators.

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.base()
  c.stage = "phase1"
  c.steps = 6_000
  c.init.backbone = False  # start from ArcFace's iresnet50
  c.loss.regulariser = 0.01  # weight of the regulariser of F_k
  c.loss.regulariser_form = "difference"  # or norm, ||F_k||_2
  c.loss.blend_rate = 1e-3  # F_k enters with min(1, rate * step)
  c.loss.adversarial_start = 4_500
  c.optimizer.learning_rate = 1e-3
  common.toy_editor(c, size)
  if variant == "smoke":
    common.smoke(c)
  return c
