"""A small network that perceives the drawn faces, or any folder of pictures.

  python -m sfe_jax.drawn_faces --dst data/faces --count 50000 --size 32
  python -m sfe_jax.train --config=configs/toy_perception.py --workdir=P

Hardware: 2 CPU cores, some 20 minutes.  On held-out faces it then sees glasses
(99 % right), hats (94 %) and 15 hair styles (68 %); squared errors of
standardised values are 0.03 for skin, 0.08 for yaw, 0.18 for smile and 0.33 for
age; 99.9 % of faces are found among 64 by a changed view.  Leaves
P/weights/perception, which the other stages take for
--config.loss.perceptual_network=perception and
--config.loss.identity_network=perception; its network.json names the labels.

Other pictures: --config.data.path=FOLDER, with FOLDER/labels.csv as in
sfe_jax/labels.py, or without labels --config.data.labels= .

":64" is for 64 px, 16 to 1024; ":smoke" runs in a minute on a CPU.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
  """A perceptual distance, embeddings, features and label scores.

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.general()
  c.stage = "perception"
  c.steps = 5000  # of batch_size pictures each
  # The networks' widths follow, and the losses' sizes.
  common.toy_data(c, common.toy_loss_size(size), batch_size=64)
  c.data.validation_count = 1024
  c.data.labels = "labels.csv"  # below data.path, or a whole path; "" for none
  c.data.flip = False  # only without labels

  c.model = m = ConfigDict()
  m.width = 16  # channels at data.resolution, twice as many at every half of it
  m.max_width = 128  # at most so many
  m.embedding = 128  # length

  c.loss = s = ConfigDict()
  s.contrastive = 0.2  # weight of finding a picture's other view
  s.temperature = 0.2  # of its softmax
  s.labels = 1.0  # weight of the mean of all labels' losses

  c.optimizer = o = ConfigDict()
  o.learning_rate = 1e-3  # Adam

  c.log.grid_count = 16
  c.log.validate_every = 500
  c.checkpoint.every = 500
  c.checkpoint.keep = 1
  if variant == "smoke":
    common.short(c)
    c.data.resolution = 16
    c.data.batch_size = 8
    c.data.validation_count = 8
    c.model.width = 8
    c.model.max_width = 16
    c.model.embedding = 16
  return c
