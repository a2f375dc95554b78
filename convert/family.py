"""What the converter knows about one kind of network."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from sfe_jax.errors import UserError
from sfe_jax.storage import weights

from . import mapping
from .mapping import State

_MOST_LAYERS = 256


class Unsupported(UserError):
  """A known network of a variant that this project does not have."""


def _no_options(network: State) -> dict[str, Any]:
  del network
  return {}


@dataclasses.dataclass(frozen=True)
class Family:
  """One network in one official layout.

  Attributes:
    name: the network's name in our weight folders ("e4e").
    signature: a file holds this network if it has all these official tensors.
    build: makes the module of the sizes that the official tensors have.
    tensors: the correspondence of official tensors and our variables for a
      module, see `mapping`.
    container: place in an official file, a dotted prefix per export:
      "state_dict/encoder." is entry "state_dict" with names that start with
      "encoder."; "" is the file itself.
    with_w_avg: the file's `latent_avg` belongs to the network; it is passed to
      the mapping as tensor "latent_avg" of shape (styles, w_dim).
    options: fields of the module that the tensors do not show: network ->
      {field: value}.  NVIDIA pickles hold such options.  Raises `Unsupported`
      if the module has no such variant.
  """

  name: str
  signature: tuple[str, ...]
  build: Callable[[State], nn.Module]
  tensors: Callable[[Any], Iterable[mapping.Entry]]
  container: str = ""
  with_w_avg: bool = False
  options: Callable[[State], dict[str, Any]] = _no_options

  def recognises(self, state: State) -> bool:
    """Whether the official tensors are of this family."""
    return all(key in state for key in self.signature)

  def module(self, state: State) -> Any:
    """The module with the sizes of the official tensors.

    Raises:
      UserError: a tensor that shows a size is missing or does not fit.
    """
    with self._explain_wrong_sizes():
      return self.build(state)

  def convert(
      self, state: State, module: nn.Module | None = None
  ) -> tuple[Any, mapping.Converted]:
    """Maps official tensors to our variables.

    Args:
      state: official tensors by name.
      module: the module to fill; by default it is inferred from the tensors.

    Returns:
      The module and its variables.

    Raises:
      UserError: names the tensors that do not fit.
    """
    module = module or self.module(state)
    with self._explain_wrong_sizes():
      shapes = abstract(module)
      entries = list(self.tensors(module))
    return module, mapping.to_ours(entries, state, shapes, self.name)

  def export(
      self,
      module: nn.Module,
      variables: Mapping[str, Any],
      kept: State | None = None,
  ) -> dict[str, np.ndarray]:
    """The official tensors of our `variables`, see `mapping.to_official`."""
    return mapping.to_official(self.tensors(module), variables, kept)

  @contextlib.contextmanager
  def _explain_wrong_sizes(self) -> Iterator[None]:
    try:
      yield
    except UserError:
      raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
      reason = str(error).partition("\n")[0]
      raise UserError(
          f"{self.name}: a tensor that shows the network's size is missing or"
          f" has the wrong shape ({type(error).__name__}: {reason})"
      ) from error


@functools.lru_cache(maxsize=64)
def abstract(module: nn.Module) -> Any:
  """`weights.abstract`, which takes a second for large networks, once."""
  return weights.abstract(module)


def count(state: State, name: str) -> int:
  """Number of layers i with an official tensor `name`, "body.{}.weight"."""
  return sum(name.format(i) in state for i in range(_MOST_LAYERS))


def up_to_last(state: State, names: Sequence[str]) -> list[str]:
  """The first of `names`, up to the last one that is in the file."""
  last = max((i for i, name in enumerate(names) if name in state), default=-1)
  return list(names[: last + 1])


def dimension(state: State, key: str, axis: int, what: str) -> int:
  """Length of one axis of an official tensor.

  Raises:
    UserError: the tensor is missing or has too few axes.
  """
  if key not in state or state[key].ndim <= axis:
    raise UserError(
        f"{what}: {key} is missing or has the wrong shape; the file is damaged"
        " or of another architecture"
    )
  return int(state[key].shape[axis])
