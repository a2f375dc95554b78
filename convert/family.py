"""What the converter knows about one kind of network."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from convert import mapping
from sfe_jax import weights
from sfe_jax.errors import UserError

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

  def convert(
      self, state: State, sizes: Mapping[str, Any] | None = None
  ) -> tuple[nn.Module, mapping.Converted]:
    """Maps official tensors: (module with inferred sizes, its variables).

    Args:
      state: official tensors by name.
      sizes: fields of the module that the tensors do not show.

    Raises:
      UserError: names the tensors that do not fit.
    """
    try:
      module = dataclasses.replace(self.build(state), **(sizes or {}))
    except (KeyError, IndexError) as error:
      raise UserError(
          f"{self.name}: {error} is missing from the file or has the wrong"
          " shape"
      ) from None
    abstract = weights.abstract(module)
    return module, mapping.to_ours(self.rules, state, abstract, self.name)

  def export(
      self, variables: Mapping, kept: State | None = None
  ) -> dict[str, np.ndarray]:
    """The official tensors of our `variables`."""
    return mapping.to_official(self.rules, jax.device_get(variables), kept)


def count(state: State, template: str) -> int:
  """How many official names fit `template`, e.g. "body.{i}.conv.weight"."""
  return sum(mapping.matches(template, key) for key in state)
