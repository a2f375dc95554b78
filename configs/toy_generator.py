"""A small StyleGAN2 for the drawn faces, or for any folder of pictures.

  python -m sfe_jax.drawn_faces --dst data/faces --count 50000 --size 32
  python -m sfe_jax.train --config=configs/toy_generator.py --workdir=G

Hardware: 2 CPU cores, about 2 hours.  Leaves G/weights/generator (averaged)
and G/weights/discriminator, where the other stages start from.

Other pictures: --config.data.path=FOLDER; fewer than some thousand of them need
--config.augment.target=0.6.

"configs/toy_generator.py:64" is the same at 64 px, 16 to 1024; ":smoke" runs in
a minute on a CPU.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
  """StyleGAN2 (Karras et al. 2020).

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.general()
  c.stage = "generator"
  c.steps = 20_000  # of batch_size pictures each
  common.toy_data(c, size, batch_size=32)  # a multiple of 4

  c.model = m = ConfigDict()
  m.width = 24  # channels at data.resolution, twice as many at every half of it
  m.max_width = min(4 * size, 512)  # at most so many
  m.w_dim = m.max_width  # width of z and w
  m.mapping_layers = 4

  c.loss = s = ConfigDict()
  s.r1_gamma = common.toy_r1_gamma(size)  # weight of R1, every 16th step
  s.path = 2.0  # weight of the path-length regulariser, every 4th step
  s.mixing = 0.9  # share of images with the styles of two latents

  c.optimizer = o = ConfigDict()
  o.learning_rate = 2.5e-3  # Adam, both networks
  o.ema_images = 10_000.0  # half-life of the averaged generator

  c.augment = a = ConfigDict()
  a.target = 0.0  # of E[sign D(real)]: 0.6 for small sets; 0 is off
  a.images = 500_000  # in which the strength may go from 0 to 1

  c.log.grid_count = 16
  c.checkpoint.best = ""  # no score tells how good samples are: the last is
  #                         taken
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
