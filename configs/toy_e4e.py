r"""The encoder E for the drawn faces, or for any generator with its pictures.

  python -m sfe_jax.train --config=toy_e4e.py --workdir=E \
      --config.init.weights=WEIGHTS

WEIGHTS holds the networks generator and perception, which toy_generator.py and
toy_perception.py leave in WORKDIR/weights.

Hardware: 2 CPU cores, half an hour at 32 px.  Result: E/weights/e4e, which
phase 2 needs.

Variants: ":64" is for 64 px, likewise other powers of two from 16 to 1024;
":smoke" runs for a minute on a CPU.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common


def get_config(variant: str = "") -> ConfigDict:
  """e4e (Tov et al. 2021) with fewer steps than published.

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.base()
  c.stage = "e4e"
  c.steps = 8_000
  c.model = m = ConfigDict()
  m.e4e_depths = (1, 2, 2, 1)  # bottlenecks of the trunk's stages
  m.e4e_widths = (16, 32, 64, 64)  # channels of the trunk's stages
  m.e4e_head_features = 32  # channels of the heads' convolutions
  c.latent = l = ConfigDict()
  l.row_start = 1_000  # step from which the second row of w+ has its own value
  l.row_every = 500  # steps from one row's turn to the next row's
  l.pool = 50  # number of past latents in the discriminator's pool
  l.disc_widths = (512, 512, 512, 512)  # hidden layers of the discriminator
  c.loss.adversarial = 0.1
  c.loss.adversarial_start = 0
  c.loss.regulariser = 2e-4  # weight of the distances of w+'s rows to the first
  # The published rates are 1e-4 and 2e-5, for ten times as many steps.
  c.optimizer.learning_rate = 1e-3
  c.optimizer.disc_learning_rate = 2e-4
  common.toy(c, size)
  if variant == "smoke":
    common.tiny(c)
    m.e4e_head_features = 8
    l.row_start = 1
    l.row_every = 1
    l.pool = 4
    l.disc_widths = (16, 16)
  return c
