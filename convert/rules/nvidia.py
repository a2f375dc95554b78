"""Options of NVIDIA's networks (stylegan2-ada) that tensors do not show.

An NVIDIA pickle stores the arguments that a network was built with.  Options
that our networks have become fields of the module; any other option that
changes what the network computes raises `Unsupported`.
"""

import math
from collections.abc import Mapping
from typing import Any

from sfe_jax.errors import UserError

from ..family import Unsupported
from ..mapping import State

Arguments = Mapping[str, Any]

# Names of the arguments, for those that were given by position.
_GENERATOR = (
    "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels",
    "mapping_kwargs", "synthesis_kwargs",
)
_DISCRIMINATOR = (
    "c_dim", "img_resolution", "img_channels", "architecture", "channel_base",
    "channel_max", "num_fp16_res", "conv_clamp", "cmap_dim", "block_kwargs",
    "mapping_kwargs", "epilogue_kwargs",
)


def generator_options(network: State) -> dict[str, Any]:
  """Fields of `Generator` that an NVIDIA generator was built with.

  Args:
    network: its tensors, a `nvidia_pickle.ModuleState` if it has arguments.

  Raises:
    Unsupported: the generator is class-conditional, or of a variant that
      `Generator` does not have.
    UserError: an argument has a value that it cannot have.
  """
  what = "generators"
  given = _arguments(network, _GENERATOR)
  _refuse_classes(what, network, given)
  mapping = _nested(given, "mapping_kwargs")
  synthesis = _nested(given, "synthesis_kwargs")
  _require(what, synthesis, architecture="skip", activation="lrelu")
  _require(what, mapping, activation="lrelu", lr_multiplier=0.01)
  return _conv_clamp(synthesis)


def discriminator_options(network: State) -> dict[str, Any]:
  """Fields of `Discriminator` that an NVIDIA discriminator was built with.

  Args:
    network: its tensors, a `nvidia_pickle.ModuleState` if it has arguments.

  Raises:
    Unsupported: the discriminator is class-conditional, or of a variant that
      `Discriminator` does not have.
    UserError: an argument has a value that it cannot have.
  """
  what = "discriminators"
  given = _arguments(network, _DISCRIMINATOR)
  _refuse_classes(what, network, given)
  architecture = given.get("architecture", _architecture(network))
  _require(what, {"architecture": architecture}, architecture="resnet")
  epilogue = _nested(given, "epilogue_kwargs")
  for part in (_nested(given, "block_kwargs"), epilogue):
    _require(what, part, activation="lrelu")
  return _conv_clamp(given) | _mbstd_group(epilogue)


def _arguments(network: State, names: tuple[str, ...]) -> Arguments:
  by_position = zip(names, getattr(network, "init_args", ()))
  return {**dict(by_position), **getattr(network, "init_kwargs", {})}


def _nested(given: Arguments, name: str) -> Arguments:
  found = given.get(name)
  return found if isinstance(found, Mapping) else {}


def _architecture(network: State) -> str:
  """A discriminator's architecture by its tensors."""
  if "b4.fromrgb.weight" in network:
    return "skip"
  has_skips = any(key.endswith(".skip.weight") for key in network)
  return "resnet" if has_skips else "orig"


def _refuse_classes(what: str, network: State, given: Arguments) -> None:
  if given.get("c_dim") or "mapping.embed.weight" in network:
    raise Unsupported(f"class-conditional {what} (c_dim > 0) are not supported")


def _require(what: str, given: Arguments, **supported: Any) -> None:
  for key, value in supported.items():
    got = given.get(key, value)
    if got != value:
      raise Unsupported(
          f"{what} with {key} {got!r} are not supported, only {value!r}"
      )


def _conv_clamp(given: Arguments) -> dict[str, float]:
  value = given.get("conv_clamp")
  if value is None:
    return {}
  if not isinstance(value, int | float) or not 0 < value < math.inf:
    raise UserError(f"conv_clamp must be a number above 0, got {value!r}")
  return {"conv_clamp": float(value)}


def _mbstd_group(given: Arguments) -> dict[str, int]:
  value = given.get("mbstd_group_size", 4)
  if value is None:
    raise Unsupported(
        "discriminators with mbstd_group_size None (the whole batch is one"
        " group) are not supported"
    )
  if not isinstance(value, int) or value < 1:
    raise UserError(f"mbstd_group_size must be 1 or more, got {value!r}")
  return {"mbstd_group": value}
