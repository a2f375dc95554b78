"""Finds the networks in the contents of an official file.

Files are recognised by the names of their tensors, not by their own names;
only direction files, which hold a bare array, are named by the file.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np
from absl import logging

from sfe_jax.errors import UserError
from sfe_jax.storage import weights

from .family import Family, Unsupported
from .mapping import Converted
from .rules import (
  directions,
  discriminator,
  e4e,
  inception,
  inverter,
  iresnet,
  irse,
  lpips,
  mappers,
  resnet,
  stylegan2,
)

# The order matters: where signatures overlap, the first family is taken.
FAMILIES: tuple[Family, ...] = (
    stylegan2.FAMILY,
    stylegan2.NVIDIA_FAMILY,
    discriminator.FAMILY,
    discriminator.ROSINALITY_FAMILY,
    inverter.INVERTER_FAMILY,
    e4e.E4E_FAMILY,
    irse.ARCFACE_FAMILY,
    irse.CURRICULARFACE_FAMILY,
    iresnet.FAMILY,
    resnet.FAMILY,
    lpips.VGG,
    lpips.ALEX,
    inception.FAMILY,
    mappers.DELTA_FAMILY,
    mappers.STYLECLIP_FAMILY,
    inverter.FEATURE_EDITOR_FAMILY,
)

# First parts of tensor names under which checkpoints hold whole networks.
_PREFIXES = (
    "decoder",
    "discriminator",
    "e4e_encoder",
    "encoder",
    "encoder_q",
    "inverter",
    "mapper",
    "module",
)
_DROPPED = {
    "args": "options of a training run",
    "arch": "options of a training run",
    "augment_pipe": "augmentation of a training run",
    "disc_opt": "optimiser state",
    "d_optim": "optimiser state",
    "encoder_k": "MoCo's momentum encoder is used in its training only",
    "encoder_opt": "optimiser state",
    "epoch": "options of a training run",
    "g_optim": "optimiser state",
    "optimizer": "optimiser state",
    "opts": "options of a training run",
    "queue": "MoCo's queue is used in its training only",
    "queue_ptr": "MoCo's queue is used in its training only",
    "training_set_kwargs": "options of a training run",
}
# Entries of training checkpoints that hold the generator without averaging.
_RAW = {"g": "generator_raw", "G": "generator_raw"}
_MEAN_LATENT_SAMPLES = 10_000

# Our exports describe their networks in this entry: {name: class and fields}.
# It holds what tensors do not show.
OURS = "sfe_jax"

# Fields that .pt layouts do not hold, with the values that they imply.
ASSUMED: Mapping[str, Any] = {"conv_clamp": None, "mbstd_group": 4}

# LPIPS' lin weights of VGG, AlexNet and SqueezeNet differ in this tensor.
LAST_LIN = "lin4.model.1.weight"

State = dict[str, np.ndarray]


@dataclasses.dataclass
class Part:
  """A network found in a file.

  Attributes:
    name: its name in our weight folders.
    family: its layout.
    state: its official tensors.
    options: fields of its module that the tensors do not show.
    latent_avg: the mean latent that belongs to it, as the file has it.
    module: its module if one of our exports describes it, else None.
  """

  name: str
  family: Family
  state: State
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  latent_avg: np.ndarray | None = None
  module: nn.Module | None = None


@dataclasses.dataclass
class Found:
  """All that one file holds.

  Attributes:
    parts: networks.
    features: torchvision's convolutions, one half of an LPIPS network.
    lin: LPIPS' own weights, the other half.
    arrays: the arrays of a direction file.
    dropped: entries that are left out, with the reason.
    unsupported: networks of a variant that we do not have, with the reason.
  """

  parts: list[Part] = dataclasses.field(default_factory=list)
  features: State | None = None
  lin: State | None = None
  arrays: dict[str, np.ndarray] | None = None
  dropped: dict[str, str] = dataclasses.field(default_factory=dict)
  unsupported: dict[str, str] = dataclasses.field(default_factory=dict)


def find(contents: Any, stem: str) -> Found | None:
  """Everything in a file that can be converted; None if there is nothing.

  Args:
    contents: the result of `reader.read`.
    stem: name of the file, which names a direction or a StyleCLIP mapper.

  Raises:
    UserError: some entries are known and some are not, the file is damaged, or
      none of its networks is supported.
  """
  found = Found(arrays=directions.recognise(contents, stem))
  if found.arrays is not None:
    return found
  if not isinstance(contents, Mapping):
    return None
  unknown = list(_walk(contents, "", found))
  if not found.parts and found.features is None and found.lin is None:
    if found.unsupported:
      reasons = dict.fromkeys(found.unsupported.values())
      raise Unsupported("; ".join(reasons))
    return None
  if unknown:
    raise UserError(
        f"{len(unknown)} unknown entries beside the known ones:"
        f" {', '.join(sorted(unknown)[:3])}; the file is damaged or of another"
        " project"
    )
  _describe(found, contents, stem)
  return found


def _walk(node: Mapping[str, Any], where: str, found: Found) -> Iterator[str]:
  """Collects the networks at or below `node`; yields unknown entries.

  Args:
    node: a level of the file's nested dicts.
    where: path of `node` in the file.
    found: gets the networks and the entries that are left out.
  """
  state = _take_network(node, where, found)
  grouped: dict[str, State] = {}
  for key, value in state.items():
    head, _, rest = key.partition(".")
    reason = _DROPPED.get(key) or _DROPPED.get(head)
    if reason:
      found.dropped[where + key] = reason
    elif rest and head in _PREFIXES:
      grouped.setdefault(head, {})[rest] = value
    else:
      yield where + key
  for key, value in node.items():
    if key in _DROPPED:
      found.dropped[where + key] = _DROPPED[key]
    elif isinstance(value, Mapping):
      yield from _walk(value, f"{where}{key}/", found)
    elif isinstance(value, list | tuple):
      yield where + key
  for head, group in grouped.items():
    yield from _walk(group, f"{where}{head}.", found)


def _take_network(node: Mapping[str, Any], where: str, found: Found) -> State:
  """Adds the network whose tensors lie in `node`; returns other tensors."""
  state = {k: v for k, v in node.items() if isinstance(v, np.ndarray)}
  latent_avg = state.pop("latent_avg", None)
  family = next((f for f in FAMILIES if f.recognises(state)), None)
  if family is not None:
    average = state.pop("mapping.w_avg", latent_avg)
    name = _RAW.get(where.rstrip("/"), family.name)
    try:
      options = family.options(node)
    except Unsupported as error:
      found.unsupported[where.rstrip("./") or "the file"] = str(error)
    else:
      found.parts.append(Part(name, family, state, options, average))
    return {}
  if "features.0.weight" in state:
    found.features = state
    return {}
  if LAST_LIN in state:
    found.lin = state
    return {}
  return state


def _describe(found: Found, contents: Mapping[str, Any], stem: str) -> None:
  """Completes the networks with what other entries of the file say of them."""
  options = contents.get("opts")
  options = options if isinstance(options, Mapping) else {}
  latent_avg = contents.get("latent_avg")
  modules = _modules(contents)
  is_psp = options.get("encoder_type") == "GradualStyleEncoder"
  starts_at_zero = not options.get("start_from_latent_avg", True)
  for part in found.parts:
    is_encoder = part.family is e4e.E4E_FAMILY
    if is_encoder and is_psp:
      part.name, part.family = e4e.PSP_FAMILY.name, e4e.PSP_FAMILY
    if part.family is mappers.STYLECLIP_FAMILY:
      part.name = f"mappers/{stem}"
    if part.latent_avg is None and isinstance(latent_avg, np.ndarray):
      part.latent_avg = latent_avg
    if part.latent_avg is None and is_encoder and starts_at_zero:
      part.latent_avg = np.zeros((1, 512), np.float32)
    part.module = modules.get(part.name)


def _modules(contents: Mapping[str, Any]) -> dict[str, nn.Module]:
  """Modules by name that one of our exports describes."""
  where = f'entry "{OURS}"'
  try:
    documents = json.loads(str(contents.get(OURS, "{}")))
    return {n: weights.build(d, where) for n, d in documents.items()}
  except UserError:
    raise
  except (AttributeError, ValueError) as error:
    raise UserError(f"{where} is damaged: {error}") from error


def hidden_fields(module: nn.Module) -> dict[str, Any]:
  """Fields of a module that .pt layouts would lose."""
  fields = {key: getattr(module, key, x) for key, x in ASSUMED.items()}
  return {key: x for key, x in fields.items() if x != ASSUMED[key]}


def lpips_part(
    features: State, lin: Mapping[Any, State]
) -> tuple[Part, Any] | None:
  """The LPIPS network of torchvision's convolutions and fitting lin weights.

  Args:
    features: tensors of a torchvision file.
    lin: candidates for the lin weights, by any key.

  Returns:
    The network and the key of its lin weights; None if none fits.
  """
  for family, last_tap in (
      (lpips.VGG, "features.28.weight"),
      (lpips.ALEX, "features.10.weight"),
  ):
    for key, half in lin.items():
      state = features | half
      if (
          family.recognises(state)
          and last_tap in state
          and state[last_tap].shape[:1] == half[LAST_LIN].shape[1:2]
      ):
        return Part(family.name, family, state), key
  return None


def convert(part: Part) -> tuple[nn.Module, Converted]:
  """Our module and variables of a network found in a file.

  Raises:
    UserError: names the tensor that does not fit.
  """
  family = part.family
  module = part.module or family.module(part.state).clone(**part.options)
  if not family.with_w_avg:
    return family.convert(part.state, module)
  if part.latent_avg is not None:
    return module, _with_average(part, module, part.latent_avg)
  if not part.name.startswith("generator"):
    raise UserError(
        f"{part.name}: the file lacks latent_avg, which is added to this"
        " encoder's outputs"
    )
  logging.info(
      "%s: the file has no latent_avg; computing it from %d samples",
      part.name, _MEAN_LATENT_SAMPLES,
  )
  zeros = np.zeros((module.styles, module.w_dim), np.float32)
  converted = _with_average(part, module, zeros)
  mean = _mean_latent(module, converted.variables)
  converted.variables["buffers"]["w_avg"] = np.broadcast_to(mean, zeros.shape)
  return module, converted


def _with_average(part: Part, module: Any, average: np.ndarray) -> Converted:
  """Variables of a network whose file has the mean latent `average`."""
  if average.dtype.kind != "f" or not np.isfinite(average).all():
    raise UserError(
        f"{part.name}: latent_avg must hold finite numbers; the file is damaged"
    )
  shape = (module.styles, module.w_dim)
  if average.shape not in (shape, (1, shape[1]), (shape[1],)):
    raise UserError(
        f"{part.name}: latent_avg has shape {average.shape}, expected {shape}"
    )
  average = average.astype(np.float32)
  state = part.state | {"latent_avg": np.broadcast_to(average, shape)}
  _, converted = part.family.convert(state, module)
  if average.shape != shape:
    converted.kept["latent_avg"] = average
  return converted


def _mean_latent(module: nn.Module, variables: Any) -> np.ndarray:
  """Mean of the mapping network over normal z: (w_dim,)."""
  z = jax.random.normal(
      jax.random.key(0), (_MEAN_LATENT_SAMPLES, module.w_dim)
  )
  with jax.default_matmul_precision("highest"):
    w = module.apply(variables, z, method="mapping")
  return np.mean(cast(jax.Array, w), 0)
