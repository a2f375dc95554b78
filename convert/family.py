"""What the converter knows about one kind of network."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np

from convert import mapping
from sfe_jax.errors import UserError
from sfe_jax.storage import weights

State = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Family:
  """One network family: how to recognise, size, fill and export it.

  Attributes:
    name: the network's name in our weight folders ("e4e").
    rules: ordered mapping rules.
    signature: official names that all must be present to recognise it.
    build: infers the sizes from the official tensors: state -> module.
    container: where an official file holds it, a dotted prefix per export:
      "state_dict/encoder." is entry "state_dict", names prefixed "encoder.";
      "" is the file itself.
    with_w_avg: the file's `latent_avg` belongs to the network; it reaches the
      rules as tensor "latent_avg" of shape (styles, w_dim).
  """

  name: str
  rules: Sequence[mapping.Rule | mapping.Unused]
  signature: tuple[str, ...]
  build: Callable[[State], nn.Module]
  container: str = ""
  with_w_avg: bool = False

  def recognises(self, state: State) -> bool:
    """Whether the official tensors are of this family."""
    return all(key in state for key in self.signature)

  def module(self, state: State) -> nn.Module:
    """The module with the sizes of the official tensors.

    Raises:
      UserError: the tensors that tell the sizes are missing or do not fit.
    """
    with self._blaming_sizes():
      return self.build(state)

  def convert(
      self, state: State, module: nn.Module | None = None
  ) -> tuple[nn.Module, mapping.Converted]:
    """Maps official tensors: (module, its variables).

    Args:
      state: official tensors by name.
      module: where its sizes are known; by default they are inferred.

    Raises:
      UserError: names the tensors that do not fit.
    """
    module = module or self.module(state)
    with self._blaming_sizes():
      abstract = weights.abstract(module)
    return module, mapping.to_ours(self.rules, state, abstract, self.name)

  @contextlib.contextmanager
  def _blaming_sizes(self) -> Iterator[None]:
    try:
      yield
    except UserError:
      raise
    except (IndexError, KeyError, TypeError, ValueError) as error:
      reason = str(error).partition("\n")[0]
      raise UserError(
          f"{self.name}: a tensor that tells the network's size is missing or"
          f" has the wrong shape ({type(error).__name__}: {reason})"
      ) from error

  def export(
      self, variables: Mapping, kept: State | None = None
  ) -> dict[str, np.ndarray]:
    """The official tensors of our `variables`."""
    return mapping.to_official(self.rules, jax.device_get(variables), kept)


def count(state: State, template: str) -> int:
  """How many official names fit `template`, e.g. "body.{i}.conv.weight"."""
  return sum(mapping.matches(template, key) for key in state)


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
