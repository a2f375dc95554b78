"""What configs share."""

from ml_collections import ConfigDict

_MEANINGS = {
    "official": "the release's values",
    "smoke": "minutes on a CPU",
}
VARIANTS = ("", *_MEANINGS)
TOY_VARIANTS = ("", "smoke", *(str(2**i) for i in range(4, 11)))


def general() -> ConfigDict:
  """Sections of every stage: data, compute, log, checkpoint."""
  c = ConfigDict()
  c.stage = ""
  c.seed = 0
  c.steps = 0  # optimiser steps in all

  c.data = d = ConfigDict()
  d.source = "folder"  # folder, array_record (python -m sfe_jax.data.prepare)
  #                      or tfds
  d.path = ""  # folder, shards, or data_dir of TFDS
  d.name = ""  # data set, with source tfds
  d.split = "train"  # its split
  d.validation_path = ""  # held-out pictures; empty: some of the set
  d.validation_count = 64  # how many of the set are held out then
  d.resolution = 1024  # of the generator
  d.batch_size = 8  # of all devices together
  d.flip = True  # mirror half of the pictures
  d.threads = 4  # decoding

  c.compute = p = ConfigDict()
  p.dtype = "float32"  # bfloat16 halves memory
  p.precision = "default"  # of float32 products: highest, or default (tf32)

  c.log = l = ConfigDict()
  l.every = 50
  l.grid_every = 1000
  l.validate_every = 1000
  l.grid_count = 4  # pictures per grid
  l.profile_at = -1  # step to profile, -1 never

  c.checkpoint = k = ConfigDict()
  k.every = 1000
  k.keep = 2  # latest ones, besides the best
  k.best = "loss"  # validation metric, lower is better
  k.deploy = "best"  # checkpoint for WORKDIR/weights, init.inverter and export:
  #                    best (the last one without validation), or last
  return c


def base(variant: str = "") -> ConfigDict:
  """The paper's face model; `variant` is checked here and applied last.

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
  m.encoder_size = 256  # side of the encoders' input
  m.k = 9  # layer of F_k; 5 for the ablation F_9 -> F_5
  m.delta_k = 9  # layer of Delta; k + 2 for cars
  m.backbone_depths = (3, 4, 14, 3)  # blocks of the Inverter's stages
  m.backbone_widths = (64, 128, 256, 512)  # their channels
  m.fusion_depth = 5  # blocks of Fuser and Feature Editor
  m.fuser = True  # False for the ablation "w/o Fuser"

  c.init = i = ConfigDict()
  i.weights = "weights"  # weight folder made by python -m convert
  i.random = False  # draw the frozen networks instead (smoke tests)

  c.loss = s = ConfigDict()
  s.l2 = 1.0  # weight of the squared error
  s.lpips = 0.8  # weight of the perceptual distance
  s.perceptual_network = "lpips_vgg"  # or perception, of configs/toy_perception
  s.identity = 0.1  # weight of the identity loss
  s.identity_network = "arcface"  # moco for anything but faces, perception, or
  #                                 none
  s.adversarial = 0.01  # weight of the adversarial loss
  s.adversarial_start = 14_000  # step from which the discriminator plays
  s.r1_gamma = 10.0  # weight of the discriminator's R1, every 16th step
  s.size = 256  # side at which images are compared

  c.optimizer = o = ConfigDict()
  o.learning_rate = 2e-4  # Ranger
  o.disc_learning_rate = 1e-4  # Adam
  o.anneal = 0.0  # share of the steps, the last, in which Ranger's rate falls
  #                 to 0 along a cosine; published: it stays

  c.compute.accumulate = 1  # micro-batches per step, for small GPUs
  c.compute.remat = False  # recompute activations, for small GPUs
  return c


def cars(c: ConfigDict) -> None:
  """What differs for Stanford Cars (sections 7 and 8)."""
  c.data.source = "tfds"
  c.data.path = "~/tensorflow_datasets"
  c.data.name = "cars196"
  c.data.resolution = 512
  c.model.delta_k = 11
  c.loss.identity = 0.5
  c.loss.identity_network = "moco"


def toy_size(variant: str) -> int:
  """Side of the pictures in pixels, which a toy config's variant names.

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
  """Side at which pictures of `size` pixels are compared and perceived."""
  return min(size, 256)


def toy_r1_gamma(size: int) -> float:
  """Weight of R1 for pictures of `size` pixels.

  Three times what the ADA paper starts with; the published phases' 10 is for
  1024 px and holds a small discriminator flat.
  """
  return 0.02 * (size / 32) ** 2


def toy_data(c: ConfigDict, size: int, batch_size: int) -> None:
  """The drawn faces."""
  c.data.path = "data/faces"  # python -m sfe_jax.drawn_faces --dst data/faces
  c.data.resolution = size
  c.data.batch_size = batch_size
  c.data.threads = 1


def toy(c: ConfigDict, size: int) -> None:
  """The drawn faces, and losses by the network that was trained on them."""
  toy_data(c, size, 16)
  c.model.encoder_size = min(2 * size, 256)
  c.init.weights = "toy"  # generator, discriminator and perception
  c.loss.size = toy_loss_size(size)
  c.loss.perceptual_network = "perception"
  c.loss.identity_network = "perception"


def toy_editor(c: ConfigDict, size: int) -> None:
  """As `toy`, for both phases: sizes of the Inverter and of H."""
  toy(c, size)
  # F_k has a quarter of encoder_size, as published: k = 5 at 32 px, at most 9.
  c.model.k = c.model.delta_k = 2 * (c.model.encoder_size.bit_length() - 5) + 1
  c.model.backbone_depths = (1, 2, 2, 1)
  c.model.backbone_widths = (16, 32, 64, 64)
  c.model.fusion_depth = 3
  c.loss.lpips = 0.3  # perception's distances are some 3 times LPIPS's
  c.loss.r1_gamma = toy_r1_gamma(size)
  c.optimizer.anneal = 1 / 3


def smoke(c: ConfigDict) -> None:
  """Tiny sizes and random frozen networks: minutes on a CPU."""
  tiny(c)
  c.model.delta_k += 3 - c.model.k
  c.model.k = 3
  c.model.backbone_depths = (1, 1, 1, 1)
  c.model.backbone_widths = (8, 8, 16, 16)
  c.model.fusion_depth = 1


def tiny(c: ConfigDict) -> None:
  """As `smoke`, of what any stage with frozen networks has."""
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
  """Few steps, all of which can be seen."""
  c.steps = 4
  c.log.every = 1
  c.log.grid_every = 2
  c.log.validate_every = 2
  c.log.grid_count = 4
  c.checkpoint.every = 2
