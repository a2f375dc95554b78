"""Loads the networks that a training run starts from."""

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
from sfe_jax.models.e4e import E4E
from sfe_jax.models.irse import ArcFace
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.models.resnet import ResNet50
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import runs, weights
from sfe_jax.training.requirements import Requirement, network

# Width of the loss networks if they are random (:smoke configs).
_TINY_WIDTH = 8
_DTYPES = ("float32", "bfloat16")
PERCEPTUAL = ("lpips_vgg", "perception")
IDENTITIES = ("arcface", "moco", "perception", "none")
_CLASSES: dict[str, type[nn.Module]] = {
    "generator": Generator,
    "e4e": E4E,
    "discriminator": Discriminator,
    "lpips_vgg": LPIPS,
    "arcface": ArcFace,
    "moco": ResNet50,
    "perception": Perception,
}


@dataclasses.dataclass(frozen=True)
class InitialNetworks:
  """Modules and variables at the start of a run.

  Attributes:
    models: the editing networks, built for training over devices.
    discriminator: discriminator of images or of latents; None without
      adversarial loss.
    lpips: network of the perceptual distance; None without that loss.
    identity: network of the identity loss; None without that loss.
    variables: {network name: Flax variables} of all networks but those that
      are trained from scratch.
  """

  models: Models
  discriminator: Discriminator | LatentDiscriminator | None
  lpips: LPIPS | Perception | None
  identity: ArcFace | ResNet50 | Perception | None
  variables: dict[str, Any]


def check(config: ConfigDict) -> None:
  """Raises UserError if sections loss, compute and data contradict each other.

  Looks at no file and at no device.
  """
  compute_dtype(config)
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
        "loss.identity_network arcface needs faces of 256 px, but the losses"
        f" are computed at {size} px; use loss.size 256 with data.resolution"
        " 256 or larger, or loss.identity_network moco, perception or none"
    )


def required(config: ConfigDict, *names: str) -> list[str]:
  """Names of all networks that are read from `init.weights`.

  Args:
    config: config of the stage.
    *names: networks besides the generator and the loss networks.
  """
  loss = config.loss
  wanted = ["generator", *names]
  if loss.lpips:
    wanted.append(loss.perceptual_network)
  if loss.identity and loss.identity_network != "none":
    wanted.append(loss.identity_network)
  return list(dict.fromkeys(wanted))


def requirements(config: ConfigDict, *names: str) -> list[Requirement]:
  """Looks for the networks that `load_given` reads, see `required`."""
  if config.init.random:
    return []
  return [
      network(config.init.weights, name, config.data.resolution)
      for name in required(config, *names)
  ]


def load(config: ConfigDict, *names: str) -> InitialNetworks:
  """Loads the networks of phase 1 or phase 2, and builds the trained ones.

  Args:
    config: config of the phase.
    *names: networks besides the generator and the loss networks.

  Raises:
    UserError: a network is missing, or sizes do not fit the config.
  """
  found = load_given(config, *names)
  given = found.models
  sizes = architecture(config, given.generator)
  models = sizes.build(compute_dtype(config), AXIS)
  models = dataclasses.replace(
      models, generator=given.generator, e4e=given.e4e
  )
  models.check()
  return dataclasses.replace(found, models=models)


def load_given(config: ConfigDict, *names: str) -> InitialNetworks:
  """Loads the generator, the loss networks, and others by name.

  With `init.random` it draws them instead, for smoke tests.

  Raises:
    UserError: a network is missing, or sizes do not fit the config.
  """
  dtype, loss = compute_dtype(config), config.loss
  source = _random if config.init.random else _read
  found = {
      name: source(config, name, dtype) for name in required(config, *names)
  }
  modules: dict[str, Any] = {
      name: module for name, (module, _) in found.items()
  }
  variables = {name: variables for name, (_, variables) in found.items()}
  generator = modules["generator"]
  if generator.resolution != config.data.resolution:
    raise UserError(
        f"data.resolution is {config.data.resolution}, the generator makes"
        f" {generator.resolution} px images"
    )
  return InitialNetworks(
      Models(generator, None, None, modules.get("e4e")),
      modules.get("discriminator"),
      modules.get(loss.perceptual_network),
      modules.get(loss.identity_network),
      variables,
  )


def levels(resolution: int) -> int:
  """Number of feature resolutions from 4 px to `resolution`, doubling.

  Raises:
    UserError: the resolution is not a power of two, or smaller than 8.
  """
  if resolution < 8 or resolution & (resolution - 1):
    raise UserError(
        "data.resolution must be a power of two of at least 8, got"
        f" {resolution}"
    )
  return resolution.bit_length() - 2


def compute_dtype(config: ConfigDict) -> Any:
  """Data type of the activations.

  Raises:
    UserError: compute.dtype is unknown.
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
  """Sizes from the config's section `model`.

  Args:
    config: config of the stage.
    generator: if given, its sizes replace those of the config.
  """
  sizes = dict(config.model.items())
  if generator is not None:
    sizes |= {
        "resolution": generator.resolution,
        "channels": generator.channels,
        "w_dim": generator.w_dim,
        "mapping_layers": generator.mapping_layers,
    }
  return Architecture(**sizes)


def fields(name: str, dtype: Any) -> dict[str, Any]:
  """Fields of a network's module that depend on the run, not on its sizes."""
  if name == "discriminator":
    return {"dtype": dtype, "axis_name": AXIS}
  return {"dtype": dtype}


def _read(config: ConfigDict, name: str, dtype: Any) -> tuple[nn.Module, Any]:
  folder = weights.locate(config.init.weights) / name
  return weights.read(folder, _CLASSES[name], **fields(name, dtype))


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
  """Random key for initial values.

  It uses "rbg" because threefry keys take three times as long to compile.
  """
  return jax.random.key(seed, impl="rbg")


def new_inverter(
    config: ConfigDict, found: InitialNetworks, rng: jax.Array
) -> Any:
  """Initial variables of the Inverter.

  Its trunk starts from ArcFace's iresnet50 if `init.backbone` says so, its
  latents from the generator's w_avg.

  Raises:
    UserError: the iresnet50 is missing or has other sizes.
  """
  inverter = found.models.inverter
  assert inverter is not None
  variables = jax.device_get(weights.init(inverter, rng))
  w_avg = found.variables["generator"]["buffers"]["w_avg"]
  variables["buffers"]["backbone"]["w_avg"] = np.asarray(w_avg)
  if config.init.random or not config.init.backbone:
    return variables
  folder = weights.locate(config.init.weights) / "iresnet50"
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


def trained(folder: str, name: str, **options: Any) -> tuple[nn.Module, Any]:
  """Reads a trained network from a weight folder or the workdir of a run.

  Args:
    folder: weight folder or workdir.
    name: name of the network.
    **options: fields of its module, such as dtype.

  Returns:
    Its module and variables.

  Raises:
    UserError: the folder does not hold it, or it is damaged.
  """
  path = weights.locate(folder)
  if (path / name).is_dir():
    return weights.read(path / name, **options)
  return runs.read(path, name, **options)
