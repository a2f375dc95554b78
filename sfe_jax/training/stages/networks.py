"""The networks that a training run starts from."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from sfe_jax.architecture import Architecture, Models
from sfe_jax.devices import AXIS
from sfe_jax.errors import UserError
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.irse import ArcFace
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.models.resnet import ResNet50
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import runs as trained_run
from sfe_jax.storage import weights

# Sizes of the perceptual networks when they are random (:smoke configs).
_TINY_WIDTH = 8
_DTYPES = ("float32", "bfloat16")
PERCEPTUAL = ("lpips_vgg", "perception")
IDENTITIES = ("arcface", "moco", "perception", "none")


@dataclasses.dataclass(frozen=True)
class Networks:
  """Modules and their variables before training.

  Attributes:
    models: the editing networks, built for training over devices.
    discriminator: of images or of latents, None where adversarial loss is
      off.
    lpips: perceptual network, None where its loss is off.
    identity: identity network, None where its loss is off.
    variables: by network name; without what is trained from scratch.
  """

  models: Models
  discriminator: Discriminator | LatentDiscriminator | None
  lpips: nn.Module | None
  identity: nn.Module | None
  variables: dict[str, Any]


def load(config: ConfigDict, *names: str) -> Networks:
  """Reads, or for smoke tests draws, the networks a phase needs.

  Args:
    config: of the phase.
    *names: networks beside the generator, the discriminator and the losses'.

  Raises:
    UserError: a network is missing, or sizes do not fit the config.
  """
  names += ("discriminator",) * bool(config.loss.adversarial)
  found = load_given(config, *names)
  given = found.models
  sizes = architecture(config, given.generator)
  models = sizes.build(compute_dtype(config), AXIS)
  models = dataclasses.replace(
      models, generator=given.generator, e4e=given.e4e
  )
  models.check()
  return dataclasses.replace(found, models=models)


def load_given(config: ConfigDict, *names: str) -> Networks:
  """The generator, the networks of the losses, and others by name.

  Raises:
    UserError: a network is missing, or sizes do not fit the config.
  """
  dtype = compute_dtype(config)
  loss = config.loss
  for name, known in (
      ("perceptual_network", PERCEPTUAL), ("identity_network", IDENTITIES)
  ):
    if loss[name] not in known:
      raise UserError(
          f"loss.{name} must be one of {', '.join(known)}, got {loss[name]!r}"
      )
  size = min(loss.size, config.data.resolution)
  if config.data.resolution % size:
    raise UserError(
        f"loss.size {loss.size} must divide data.resolution"
        f" {config.data.resolution}, or be at least as large"
    )
  if loss.identity_network == "arcface" and loss.identity and size != 256:
    raise UserError(
        "loss.identity_network arcface sees faces of 256 px, losses are"
        f" computed at {size}; take loss.size 256 and data.resolution of at"
        " least that, or loss.identity_network moco, perception or none"
    )
  wanted = ["generator", *names]
  wanted += [loss.perceptual_network] * bool(loss.lpips)
  has_identity = loss.identity and loss.identity_network != "none"
  wanted += [loss.identity_network] * bool(has_identity)
  source = _random if config.init.random else _read
  found = {name: source(config, name, dtype) for name in dict.fromkeys(wanted)}
  modules = {name: module for name, (module, _) in found.items()}
  variables = {name: variables for name, (_, variables) in found.items()}
  generator = modules["generator"]
  if generator.resolution != config.data.resolution:
    raise UserError(
        f"data.resolution is {config.data.resolution}, the generator makes"
        f" {generator.resolution} px images"
    )
  return Networks(
      Models(generator, None, None, modules.get("e4e")),
      modules.get("discriminator"),
      modules.get(loss.perceptual_network),
      modules.get(loss.identity_network),
      variables,
  )


def levels(resolution: int) -> int:
  """How many sizes there are from 4 px to `resolution`, each twice the last.

  Raises:
    UserError: the resolution is no power of two from 8 on.
  """
  if resolution < 8 or resolution & (resolution - 1):
    raise UserError(
        f"data.resolution must be a power of two from 8 on, got {resolution}"
    )
  return resolution.bit_length() - 2


def compute_dtype(config: ConfigDict) -> Any:
  """Of activations.

  Raises:
    UserError: compute.dtype is none that networks run in.
  """
  if config.compute.dtype not in _DTYPES:
    raise UserError(
        f"compute.dtype must be one of {', '.join(_DTYPES)}, got"
        f" {config.compute.dtype!r}"
    )
  return jnp.dtype(config.compute.dtype)


def architecture(
    config: ConfigDict, generator: Generator | None = None
) -> Architecture:
  """Sizes in the config's section model; those of a generator at hand."""
  sizes = {key: value for key, value in config.model.items()}
  if generator is not None:
    sizes |= {
        "resolution": generator.resolution,
        "channels": generator.channels,
        "w_dim": generator.w_dim,
        "mapping_layers": generator.mapping_layers,
    }
  return Architecture(**sizes)


def _read(config: ConfigDict, name: str, dtype: Any) -> tuple[nn.Module, Any]:
  fields = {"dtype": dtype}
  if name == "discriminator":
    fields["axis_name"] = AXIS
  folder = weights.locate(config.init.weights) / name
  return weights.read(folder, **fields)


def _random(config: ConfigDict, name: str, dtype: Any) -> tuple[nn.Module, Any]:
  sizes = architecture(config)
  generator = sizes.generator(dtype)
  module = {
      "generator": lambda: generator,
      "e4e": lambda: sizes.e4e(dtype),
      "discriminator": lambda: Discriminator(
          generator.resolution,
          generator.channels,
          axis_name=AXIS,
          dtype=dtype,
      ),
      "lpips_vgg": lambda: LPIPS("vgg", _TINY_WIDTH, dtype),
      "arcface": lambda: ArcFace(
          (1, 1, 1, 1), (_TINY_WIDTH,) * 4, dtype=dtype
      ),
      "moco": lambda: ResNet50((1, 1, 1, 1), _TINY_WIDTH, dtype),
      "perception": lambda: Perception(
          16, (_TINY_WIDTH,) * 3, _TINY_WIDTH, dtype=dtype
      ),
  }[name]()
  return module, weights.random(module)


def key(seed: int) -> jax.Array:
  """A key for initial values; threefry's take 3 times longer to compile."""
  return jax.random.key(seed, impl="rbg")


def new_inverter(config: ConfigDict, networks: Networks, rng: jax.Array) -> Any:
  """Initial Inverter: ArcFace's trunk where at hand, the generator's w_avg."""
  inverter = networks.models.inverter
  variables = jax.device_get(weights.init(inverter, rng))
  w_avg = networks.variables["generator"]["buffers"]["w_avg"]
  variables["buffers"]["backbone"]["w_avg"] = np.asarray(w_avg)
  folder = weights.locate(config.init.weights) / "iresnet50"
  if config.init.random or not config.init.backbone:
    return variables
  if not folder.is_dir():
    raise UserError(
        f"{folder}: the Inverter starts from ArcFace's iresnet50 (convert"
        " iresnet50-7f187506.pth), or from scratch with init.backbone=False"
    )
  _, backbone = weights.read(folder)
  for collection in ("params", "batch_stats"):
    ours = variables[collection]["backbone"]
    theirs = jax.device_get(backbone[collection]["trunk"])
    if jax.tree.map(np.shape, ours["trunk"]) != jax.tree.map(np.shape, theirs):
      raise UserError(
          f"{folder} has other sizes than model.backbone_depths and"
          " model.backbone_widths"
      )
    ours["trunk"] = theirs
  logging.info("the Inverter's trunk starts from %s", folder)
  return variables


def trained(folder: str, name: str, **fields: Any) -> tuple[nn.Module, Any]:
  """A trained network, from a weight folder or a workdir's checkpoint.

  Raises:
    UserError: neither holds it, or it holds another network.
  """
  path = weights.locate(folder)
  if (path / name).is_dir():
    return weights.read(path / name, **fields)
  if not trained_run.is_run(path):
    raise UserError(
        f"{folder} holds no {name}: give a workdir of the stage that trains"
        " it, or a weight folder made by python -m convert"
    )
  return trained_run.read(path, name, **fields)
