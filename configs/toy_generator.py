"""A small StyleGAN2 for the drawn faces, or for any folder of pictures.

  python -m sfe_jax.drawn_faces --dst data/faces --count 50000 --size 32
  python -m sfe_jax.train --config=toy_generator.py --workdir=G

Hardware: 2 CPU cores, about 2 hours at 32 px.  Result: G/weights/generator (the
moving average) and G/weights/discriminator, from which the other stages start.

Other pictures: --config.data.path=FOLDER.  Sets of fewer than a few thousand
pictures need --config.augment.target=0.6.

Variants: ":64" is for 64 px, likewise other powers of two from 16 to 1024;
":smoke" runs for a minute on a CPU.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common


def get_config(variant: str = "") -> ConfigDict:
  """StyleGAN2 (Karras et al. 2020).

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.general()
  c.stage = "generator"
  c.steps = 20_000  # of data.batch_size pictures each
  common.toy_data(c, size, batch_size=32)  # must be a multiple of 4

  c.model = m = ConfigDict()
  m.width = 24  # channels at data.resolution; they double at every half of it
  m.max_width = min(4 * size, 512)  # largest number of channels
  m.w_dim = m.max_width  # length of the latents z and w
  m.mapping_layers = 4  # layers of the mapping network

  c.loss = s = ConfigDict()
  s.r1_gamma = common.toy_r1_gamma(size)  # weight of R1 on every 16th step
  s.path = 2.0  # weight of the path-length regulariser on every 4th step
  s.mixing = 0.9  # probability that an image mixes the styles of two latents

  c.optimizer = o = ConfigDict()
  o.learning_rate = 2.5e-3  # of Adam, for both networks
  o.ema_images = 10_000.0  # half-life of the generator's average, in images

  c.augment = a = ConfigDict()
  a.target = 0.0  # wanted mean of sign(D(real)): 0.6 for small sets; 0 trains
  #                 without augmentation
  a.images = 500_000  # images in which its probability may go from 0 to 1

  c.log.grid_count = 16
  c.checkpoint.best = ""  # no validation metric says how good samples are, so
  #                         the last checkpoint is used
  if variant == "smoke":
    common.short(c)
    c.data.resolution = 16
    c.data.batch_size = 4
    c.data.validation_count = 4
    c.model.width = 8
    c.model.max_width = 16
    c.model.w_dim = 16
    c.model.mapping_layers = 2
  return c
