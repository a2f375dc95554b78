"""A small StyleGAN2 for the drawn faces, or for any folder of pictures.

  python -m sfe_jax.domains --dst data/faces --count 50000 --size 32
  python -m sfe_jax.train --config=configs/toy_generator.py --workdir=G

Hardware: 2 CPU cores, about 3 hours.  Leaves G/weights/generator (averaged)
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
  c = ConfigDict()
  c.stage = "generator"
  c.seed = 0
  c.steps = 20_000  # of batch_size pictures each

  c.data = d = ConfigDict()
  d.source = "folder"  # folder, array_record (python -m sfe_jax.data.prepare)
  #                      or tfds
  d.path = "data/faces"  # folder, shards, or data_dir of TFDS
  d.name = ""  # data set, with source tfds
  d.split = "train"  # its split
  d.validation_path = ""  # held-out pictures; empty: some of the set
  d.validation_count = 64  # how many of the set are held out then
  d.resolution = size  # of the generator; its widths follow
  d.batch_size = 32  # of all devices together, a multiple of 4
  d.flip = True  # mirror half of the pictures
  d.threads = 1  # decoding

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

  c.compute = p = ConfigDict()
  p.dtype = "float32"  # bfloat16 halves memory
  p.precision = "default"  # of float32 products: highest, or default (tf32)

  c.log = l = ConfigDict()
  l.every = 50
  l.grid_every = 1000
  l.validate_every = 1000
  l.grid_count = 16  # pictures per grid
  l.profile_at = -1  # step to profile, -1 never

  c.checkpoint = k = ConfigDict()
  k.every = 1000
  k.keep = 2  # latest ones
  k.best = ""  # no score tells how good samples are: the last is taken
  if variant == "smoke":
    c.steps = 4
    c.data.resolution = 16
    c.data.batch_size = 4
    c.data.validation_count = 4
    c.model.width = 8
    c.model.max_width = 16
    c.model.w_dim = 16
    c.model.mapping_layers = 2
    c.log.every = 1
    c.log.grid_every = 2
    c.log.validate_every = 2
    c.log.grid_count = 4
    c.checkpoint.every = 2
  return c
