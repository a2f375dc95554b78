"""A small perception network for the drawn faces, or any folder of pictures.

  python -m sfe_jax.drawn_faces --dst data/faces --count 50000 --size 32
  python -m sfe_jax.train --config=toy_perception.py --workdir=P

Hardware: 2 CPU cores, about 20 minutes at 32 px.  Result: P/weights/perception,
which the other stages use with --config.loss.perceptual_network=perception and
--config.loss.identity_network=perception; its network.json names the labels.
On held-out drawn faces it recognises glasses (99 % right), hats (94 %) and 15
hair styles (68 %).  Squared errors of standardised values are 0.03 for skin,
0.08 for yaw, 0.18 for smile and 0.33 for age.  It finds 99.9 % of the faces
among 64 by a changed view.

Other pictures: --config.data.path=FOLDER, with labels in FOLDER/labels.csv (see
sfe_jax/storage/labels.py), or without labels: --config.data.labels= .

Variants: ":64" is for 64 px, likewise other powers of two from 16 to 1024;
":smoke" runs for a minute on a CPU.
"""

from ml_collections import ConfigDict

from sfe_jax.configs import common


def get_config(variant: str = "") -> ConfigDict:
  """A network for distances, embeddings, features and label scores.

  Raises:
    ValueError: unknown variant.
  """
  size = common.toy_size(variant)
  c = common.general()
  c.stage = "perception"
  c.steps = 5000  # of data.batch_size pictures each
  # At the size at which the losses of the other stages compare images.
  common.toy_data(c, common.toy_loss_size(size), batch_size=64)
  c.data.validation_count = 1024  # pictures held out
  c.data.labels = "labels.csv"  # CSV file, relative to data.path; "" for none
  c.data.flip = False  # mirroring is allowed without labels only

  c.model = m = ConfigDict()
  m.width = 16  # channels at data.resolution; they double at every half of it
  m.max_width = 128  # largest number of channels
  m.embedding = 128  # length of the embedding

  c.loss = s = ConfigDict()
  s.contrastive = 0.2  # weight of the contrastive loss of two views
  s.temperature = 0.2  # temperature of the contrastive loss
  s.labels = 1.0  # weight of the mean loss of all labels

  c.optimizer = o = ConfigDict()
  o.learning_rate = 1e-3  # of Adam

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
