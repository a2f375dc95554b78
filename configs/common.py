"""Sections and values that several configs share."""

from ml_collections import ConfigDict

_MEANINGS = {
    "official": "values of the official code",
    "smoke": "a test of minutes on a CPU",
}
VARIANTS = ("", *_MEANINGS)
TOY_VARIANTS = ("", "smoke", *(str(2**i) for i in range(4, 11)))


def general() -> ConfigDict:
  """The sections that every stage has: data, compute, log, checkpoint."""
  c = ConfigDict()
  c.stage = ""  # what is trained; every config sets it
  c.seed = 0  # random seed of initial values, order of pictures and noise
  c.steps = 0  # number of optimiser steps of the whole run

  c.data = d = ConfigDict()
  d.source = "folder"  # folder, array_record (shards that python -m
  #                      sfe_jax.data.prepare writes) or tfds
  d.path = ""  # folder of pictures, folder of shards, or data_dir of TFDS
  d.name = ""  # name of the data set, for source tfds
  d.split = "train"  # split of the data set, for source tfds
  d.validation_path = ""  # folder of validation pictures (tfds: a split); empty
  #                         holds out some of the training pictures
  d.validation_count = 64  # pictures held out if there is no path
  d.resolution = 1024  # height and width of the pictures in pixels
  d.batch_size = 8  # number of pictures per step, on all devices together
  d.flip = True  # mirror pictures left to right with probability 1/2
  d.threads = 4  # number of decoding threads

  c.compute = p = ConfigDict()
  p.dtype = "float32"  # of activations; bfloat16 halves their memory
  p.precision = "default"  # of float32 matrix products: highest (float32),
  #                          high, or default (tf32 on GPUs, bfloat16 on TPUs)

  c.log = l = ConfigDict()
  l.every = 50  # steps between two log lines; 0 logs the last step alone
  l.grid_every = 1000  # steps between two grids of held-out pictures
  l.validate_every = 1000  # steps between two validations
  l.grid_count = 4  # number of pictures per grid
  l.profile_at = -1  # step at which a profile is taken; -1 takes none

  c.checkpoint = k = ConfigDict()
  k.every = 1000  # steps between two checkpoints
  k.keep = 2  # number of last checkpoints to keep, besides the best one
  k.best = "loss"  # validation metric that chooses the best checkpoint, lower
  #                  is better.  "loss" is the weighted sum of the L2,
  #                  perceptual and identity losses; unlike the training loss
  #                  it has no regulariser and no adversarial loss
  k.deploy = "best"  # checkpoint for WORKDIR/weights, init.inverter and export:
  #                    best (the last one without validation), or last
  return c


def base(variant: str = "") -> ConfigDict:
  """The values of the paper's face model (section 7).

  Args:
    variant: only checked here; the config applies it at its end.

  Raises:
    ValueError: `variant` is not among VARIANTS.
  """
  if variant not in VARIANTS:
    known = [f":{v} ({_MEANINGS[v]})" for v in VARIANTS if v]
    raise ValueError(
        f"unknown variant {variant!r}; write the config's path alone, or with"
        f" {' or '.join(known)}"
    )
  c = general()
  c.data.path = "data/ffhq"

  c.model = m = ConfigDict()
  m.encoder_size = 256  # height and width of the encoders' input in pixels
  m.k = 9  # generator layer of F_k; 5 for the ablation F_9 -> F_5
  m.delta_k = 9  # generator layer of Delta: k, or k + 2 for cars
  m.backbone_depths = (3, 4, 14, 3)  # residual blocks of the Inverter's stages
  m.backbone_widths = (64, 128, 256, 512)  # channels of the Inverter's stages
  m.fusion_depth = 5  # residual blocks of the Fuser and the Feature Editor
  m.fuser = True  # False for the ablation "w/o Fuser"

  c.init = i = ConfigDict()
  i.weights = "weights"  # weight folder with the pretrained networks
  i.random = False  # True draws the frozen networks at random (smoke tests)

  c.loss = s = ConfigDict()
  s.l2 = 1.0  # weight of the mean squared error
  s.lpips = 0.8  # weight of the perceptual distance
  s.perceptual_network = "lpips_vgg"  # or perception, see toy_perception.py
  s.identity = 0.1  # weight of the identity loss
  s.identity_network = "arcface"  # arcface for faces, moco for other pictures,
  #                                 perception (toy_perception.py), or none
  s.adversarial = 0.01  # weight of the adversarial loss
  s.adversarial_start = 14_000  # first step with the adversarial loss
  s.r1_gamma = 10.0  # weight of R1 on every 16th step; 0 leaves it out
  s.size = 256  # height and width in pixels at which images are compared

  c.optimizer = o = ConfigDict()
  o.learning_rate = 2e-4  # of Ranger, for the trained network
  o.disc_learning_rate = 1e-4  # of Adam, for the discriminator
  o.anneal = 0.0  # share of the steps, at the end, in which Ranger's learning
  #                 rate falls to 0 along a cosine; the paper keeps it constant

  c.compute.accumulate = 1  # micro-batches per step; more need less memory
  c.compute.remat = False  # True recomputes activations, which saves memory
  return c


def cars(c: ConfigDict) -> None:
  """Sets the paper's values for Stanford Cars (sections 7 and 8)."""
  c.data.source = "tfds"
  c.data.path = "~/tensorflow_datasets"
  c.data.name = "cars196"
  c.data.resolution = 512
  c.model.delta_k = 11
  c.loss.identity = 0.5
  c.loss.identity_network = "moco"


def toy_size(variant: str) -> int:
  """Height and width of the pictures in pixels for a toy config's variant.

  All toy configs derive their sizes from it.

  Raises:
    ValueError: `variant` is not among TOY_VARIANTS.
  """
  if variant not in TOY_VARIANTS:
    raise ValueError(
        f"unknown variant {variant!r}; write the config's path alone (32 px),"
        " with a power of two from 16 to 1024, as in :64, or with :smoke"
        f" ({_MEANINGS['smoke']})"
    )
  return int(variant) if variant.isdigit() else 32


def toy_loss_size(size: int) -> int:
  """Size in pixels at which pictures of `size` pixels are compared."""
  return min(size, 256)


def toy_r1_gamma(size: int) -> float:
  """Weight of R1 for pictures of `size` pixels.

  It is three times the heuristic of the ADA paper (Karras et al. 2020).  The
  weight 10 of the published phases is for 1024 px; it keeps a small
  discriminator from learning anything.
  """
  return 0.02 * (size / 32) ** 2


def toy_data(c: ConfigDict, size: int, batch_size: int) -> None:
  """Sets section data for the drawn faces."""
  c.data.path = "data/faces"  # python -m sfe_jax.drawn_faces --dst data/faces
  c.data.resolution = size
  c.data.batch_size = batch_size
  c.data.threads = 1


def toy(c: ConfigDict, size: int) -> None:
  """Sets data and losses for the drawn faces.

  The losses use the perception network that toy_perception.py trains.
  """
  toy_data(c, size, 16)
  c.model.encoder_size = min(2 * size, 256)
  c.init.weights = "toy"  # the weights for drawn faces that ship with sfe_jax
  c.loss.size = toy_loss_size(size)
  c.loss.perceptual_network = "perception"
  c.loss.identity_network = "perception"


def toy_editor(c: ConfigDict, size: int) -> None:
  """Sets `toy` and the sizes of the Inverter and the Feature Editor."""
  toy(c, size)
  # F_k has 1/4 of encoder_size, as in the paper: k is 5 at 32 px and at most 9.
  c.model.k = c.model.delta_k = 2 * (c.model.encoder_size.bit_length() - 5) + 1
  c.model.backbone_depths = (1, 2, 2, 1)
  c.model.backbone_widths = (16, 32, 64, 64)
  c.model.fusion_depth = 3
  c.loss.lpips = 0.3  # distances of `perception` are about 3 times LPIPS's
  c.loss.r1_gamma = toy_r1_gamma(size)
  c.optimizer.anneal = 1 / 3


def smoke(c: ConfigDict) -> None:
  """Sets tiny sizes and random frozen networks for phase 1 and phase 2."""
  tiny(c)
  c.model.delta_k += 3 - c.model.k
  c.model.k = 3
  c.model.backbone_depths = (1, 1, 1, 1)
  c.model.backbone_widths = (8, 8, 16, 16)
  c.model.fusion_depth = 1


def tiny(c: ConfigDict) -> None:
  """Sets tiny sizes and random frozen networks for any stage with some."""
  short(c)
  c.data.resolution = 32
  c.data.batch_size = 4
  c.data.validation_count = 4
  c.model.resolution = 32
  c.model.channels = (16, 16, 16, 8)
  c.model.w_dim = 16
  c.model.mapping_layers = 2
  c.model.e4e_depths = (1, 1, 1, 1)
  c.model.e4e_widths = (8, 8, 16, 16)
  c.model.encoder_size = 32
  c.init.random = True
  c.loss.identity_network = "moco"
  c.loss.adversarial_start = 2
  c.loss.size = 32
  c.compute.precision = "highest"


def short(c: ConfigDict) -> None:
  """Sets four steps with a log line each, and two grids and validations."""
  c.steps = 4
  c.log.every = 1
  c.log.grid_every = 2
  c.log.validate_every = 2
  c.log.grid_count = 4
  c.checkpoint.every = 2
