r"""Phase 1 on the drawn faces, or on any folder of pictures.

  python -m sfe_jax.train --config=toy_phase1.py --workdir=W1 \
      --config.init.weights=WEIGHTS

WEIGHTS holds the networks generator, discriminator and perception, which
toy_generator.py and toy_perception.py leave in WORKDIR/weights.

Hardware: 2 CPU cores, half an hour at 32 px.  Result: W1/weights/inverter, from
which phase 2 starts; it inverts held-out drawn faces with an L2 of 0.006.

Variants: ":64" is for 64 px, likewise other powers of two from 16 to 1024;
":smoke" runs for minutes on a CPU.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common


def get_config(variant: str = "") -> ConfigDict:
  """The paper's phase 1 (section 3.3) for small generators.

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.base()
  c.stage = "phase1"
  c.steps = 6_000
  c.init.backbone = False  # True starts the trunk from ArcFace's iresnet50
  c.loss.regulariser = 0.01  # weight of the regulariser of F_k
  c.loss.regulariser_form = "difference"  # mean square of F_k - F_w; norm is
  #                                         ||F_k||_2
  c.loss.blend_rate = 1e-3  # while training, F_k enters the generator with
  #                           weight min(1, blend_rate * step)
  c.loss.adversarial_start = 4_500
  c.optimizer.learning_rate = 1e-3
  common.toy_editor(c, size)
  if variant == "smoke":
    common.smoke(c)
  return c
