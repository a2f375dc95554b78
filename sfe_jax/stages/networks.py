"""The networks that a training run starts from."""

import dataclasses
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from sfe_jax import weights, workdir
from sfe_jax.architecture import Architecture, Models
from sfe_jax.errors import UserError
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.irse import ArcFace
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.resnet import ResNet50
from sfe_jax.parallel import AXIS

# Sizes of the perceptual networks when they are random (:smoke configs).
_TINY_WIDTH = 8
IDENTITIES = ("arcface", "moco", "none")


@dataclasses.dataclass(frozen=True)
class Networks:
  """Modules and their variables before training.

  Attributes:
    models: the editing networks, built for training over devices.
    discriminator: D, None where adversarial loss is off.
    lpips: perceptual network, None where its loss is off.
    identity: identity network, None where its loss is off.
    variables: by network name; without what is trained from scratch.
  """

  models: Models
  discriminator: Discriminator | None
  lpips: nn.Module | None
  identity: nn.Module | None
  variables: dict[str, Any]


def load(config: ConfigDict) -> Networks:
  """Reads, or for smoke tests draws, every network a phase needs.

  Raises:
    UserError: a network is missing, or sizes do not fit the config.
  """
  dtype = jnp.dtype(config.compute.dtype)
  loss = config.loss
  if loss.identity_network not in IDENTITIES:
    raise UserError(
        f"loss.identity_network must be one of {', '.join(IDENTITIES)}, got"
        f" {loss.identity_network!r}"
    )
  size = min(loss.size, config.data.resolution)
  if loss.identity_network == "arcface" and loss.identity and size != 256:
    raise UserError(
        "loss.identity_network arcface sees faces of 256 px, losses are"
        f" computed at {size}; take loss.size 256 and data.resolution of at"
        " least that, or loss.identity_network moco or none"
    )
  wanted = ["generator", "e4e"]
  wanted += ["discriminator"] * bool(loss.adversarial)
  wanted += ["lpips_vgg"] * bool(loss.lpips)
  has_identity = loss.identity and loss.identity_network != "none"
  wanted += [loss.identity_network] * bool(has_identity)
  source = _random if config.init.random else _read
  found = {name: source(config, name, dtype) for name in wanted}
  modules = {name: module for name, (module, _) in found.items()}
  variables = {name: variables for name, (_, variables) in found.items()}
  generator = modules["generator"]
  if generator.resolution != config.data.resolution:
    raise UserError(
        f"data.resolution is {config.data.resolution}, the generator makes"
        f" {generator.resolution} px images"
    )
  models = _architecture(config, generator).build(dtype, AXIS)
  models = dataclasses.replace(
      models, generator=generator, e4e=modules["e4e"]
  )
  models.check()
  return Networks(
      models,
      modules.get("discriminator"),
      modules.get("lpips_vgg"),
      modules.get(loss.identity_network),
      variables,
  )


def _architecture(config: ConfigDict, generator=None) -> Architecture:
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
  folder = pathlib.Path(config.init.weights) / name
  return weights.read(folder, **fields)


def _random(config: ConfigDict, name: str, dtype: Any) -> tuple[nn.Module, Any]:
  models = _architecture(config).build(dtype)
  generator = models.generator
  module = {
      "generator": lambda: generator,
      "e4e": lambda: models.e4e,
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
  folder = pathlib.Path(config.init.weights) / "iresnet50"
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
  path = pathlib.Path(folder)
  if (path / name).is_dir():
    return weights.read(path / name, **fields)
  if not workdir.is_workdir(path):
    raise UserError(
        f"{folder} holds no {name}: give a workdir of the stage that trains"
        " it, or a weight folder made by python -m convert"
    )
  return workdir.trained(path, name, **fields)
