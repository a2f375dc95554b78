"""What the official files are: from a file's contents to its networks.

Files are told apart by the names of their tensors, not by their own names
(except direction files, which hold a bare array).
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from absl import logging

from convert.family import Family
from convert.mapping import Converted
from convert.rules import (
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
from sfe_jax.errors import UserError
from sfe_jax.storage import weights

# Ordered: where signatures overlap the first wins.
FAMILIES: tuple[Family, ...] = (
    stylegan2.FAMILY,
    stylegan2.NVIDIA_FAMILY,
    discriminator.FAMILY,
    *discriminator.ROSINALITY_FAMILIES,
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

# Entries of training checkpoints that hold networks below a further name.
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
    "encoder_k": "MoCo's momentum encoder serves its training",
    "encoder_opt": "optimiser state",
    "epoch": "options of a training run",
    "g_optim": "optimiser state",
    "optimizer": "optimiser state",
    "opts": "options of a training run",
    "queue": "MoCo's queue serves its training",
    "queue_ptr": "MoCo's queue serves its training",
    "training_set_kwargs": "options of a training run",
}
# The unaveraged generator of a training checkpoint.
_RAW = {"g": "generator_raw", "G": "generator_raw"}
_MEAN_LATENT_SAMPLES = 10_000

# Entry in which our exports tell what tensors do not show: a network's class
# and fields by its name.
OURS = "sfe_jax"

# LPIPS' lin weights of VGG, AlexNet and SqueezeNet differ in this one.
LAST_LIN = "lin4.model.1.weight"

State = dict[str, np.ndarray]


@dataclasses.dataclass
class Part:
  """A network found in a file.

  Attributes:
    name: of the network in our weight folders.
    family: its rules.
    state: official tensors.
    where: entry of the file, for messages.
    latent_avg: the mean latent that belongs to it, as the file has it.
    module: as one of our exports describes it, None in other files.
  """

  name: str
  family: Family
  state: State
  where: str
  latent_avg: np.ndarray | None = None
  module: nn.Module | None = None


@dataclasses.dataclass
class Found:
  """All that one file holds.

  Attributes:
    parts: networks.
    features: torchvision's convolutions, half of an LPIPS network.
    lin: the other half.
    arrays: what a direction file holds.
    dropped: entries left out, with the reason.
  """

  parts: list[Part] = dataclasses.field(default_factory=list)
  features: State | None = None
  lin: State | None = None
  arrays: dict[str, np.ndarray] | None = None
  dropped: dict[str, str] = dataclasses.field(default_factory=dict)


def find(contents: Any, stem: str) -> Found | None:
  """What a file holds; None if nothing this project knows.

  Args:
    contents: from `reader.read`.
    stem: the file's name, which names a direction or a StyleCLIP mapper.

  Raises:
    UserError: some of the file is known and some is not, or it is damaged.
  """
  found = Found(arrays=directions.recognise(contents, stem))
  if found.arrays is not None:
    return found
  if not isinstance(contents, Mapping):
    return None
  unknown = list(_walk(contents, "", found))
  if not found.parts and found.features is None and found.lin is None:
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
  """Collects networks at or below `node`; yields entries nobody knows."""
  state = {k: v for k, v in node.items() if isinstance(v, np.ndarray)}
  latent_avg = state.pop("latent_avg", None)
  family = next((f for f in FAMILIES if f.recognises(state)), None)
  if family is not None:
    average = state.pop("mapping.w_avg", latent_avg)
    name = _RAW.get(where.rstrip("/"), family.name)
    found.parts.append(Part(name, family, state, where or "file", average))
    state = {}
  elif "features.0.weight" in state:
    found.features, state = state, {}
  elif LAST_LIN in state:
    found.lin, state = state, {}
  grouped: dict[str, State] = {}
  for key, value in state.items():
    head, _, rest = key.partition(".")
    if key in _DROPPED or head in _DROPPED:
      found.dropped[where + key] = _DROPPED.get(key, _DROPPED.get(head, ""))
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


def _describe(found: Found, contents: Mapping[str, Any], stem: str) -> None:
  """Adds what the file's other entries say of its networks."""
  options = contents.get("opts")
  options = options if isinstance(options, Mapping) else {}
  latent_avg = contents.get("latent_avg")
  modules = _modules(contents)
  for part in found.parts:
    is_psp = options.get("encoder_type") == "GradualStyleEncoder"
    if part.family is e4e.E4E_FAMILY and is_psp:
      part.name, part.family = e4e.PSP_FAMILY.name, e4e.PSP_FAMILY
    if part.family is mappers.STYLECLIP_FAMILY:
      part.name = f"mappers/{stem}"
    if part.latent_avg is None and isinstance(latent_avg, np.ndarray):
      part.latent_avg = latent_avg
    is_encoder = part.family in (e4e.E4E_FAMILY, e4e.PSP_FAMILY)
    if (
        part.latent_avg is None
        and is_encoder
        and not options.get("start_from_latent_avg", True)
    ):
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


def lpips_part(
    features: State, lin: Mapping[Any, State]
) -> tuple[Part, Any] | None:
  """The LPIPS network of torchvision's convolutions and the fitting lin.

  Args:
    features: tensors of a torchvision file.
    lin: candidates by any key.

  Returns:
    The network and the key of the lin weights it took; None if none fits.
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
        return Part(family.name, family, state, "features and lin"), key
  return None


def convert(part: Part) -> tuple[nn.Module, Converted]:
  """Our network of an official part.

  Raises:
    UserError: names the tensor that does not fit.
  """
  family, state = part.family, part.state
  if not family.with_w_avg:
    return family.convert(state, part.module)
  module = part.module or family.module(state)
  shape = (module.styles, module.w_dim)
  average = part.latent_avg
  computed = average is None and part.name.startswith("generator")
  if computed:
    average = np.zeros((1, module.w_dim), np.float32)
  if average is None:
    raise UserError(
        f"{part.name}: the file has no latent_avg, which its latents are"
        " relative to"
    )
  average = np.asarray(average)
  if average.dtype.kind != "f" or not np.isfinite(average).all():
    raise UserError(
        f"{part.name}: latent_avg holds something else than finite numbers;"
        " the file is damaged"
    )
  average = average.astype(np.float32)
  if average.shape not in (shape, (1, shape[1]), (shape[1],)):
    raise UserError(
        f"{part.name}: latent_avg has shape {average.shape}, expected {shape}"
    )
  state = state | {"latent_avg": np.broadcast_to(average, shape)}
  _, converted = family.convert(state, module)
  if computed:
    logging.info(
        "%s: the file has no latent_avg; computing it from %d samples",
        part.name, _MEAN_LATENT_SAMPLES,
    )
    mean = _mean_latent(module, converted.variables)
    converted.variables["buffers"]["w_avg"] = np.broadcast_to(mean, shape)
  elif average.shape != shape:
    converted.kept["latent_avg"] = average
  return module, converted


def _mean_latent(module: nn.Module, variables: Any) -> np.ndarray:
  """Mean of the mapping network over normal z: (w_dim,)."""
  z = jax.random.normal(
      jax.random.key(0), (_MEAN_LATENT_SAMPLES, module.w_dim)
  )
  with jax.default_matmul_precision("highest"):
    return np.mean(module.apply(variables, z, method="mapping"), 0)
