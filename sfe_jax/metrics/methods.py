"""What is evaluated: ways to invert and edit pictures, behind one interface."""

import functools
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from sfe_jax import pipeline
from sfe_jax.architecture import Models, Variables
from sfe_jax.directions import Registry, families
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.storage import images

if TYPE_CHECKING:
  from sfe_jax.editor import Editor


class Method(Protocol):
  """Inverts and edits pictures, which are uint8 (n, size, size, 3).

  Attributes:
    size: of the pictures.
  """

  size: int

  def encode(self, pictures: np.ndarray) -> Any:
    """All that reconstructions and edits of these pictures need."""

  def reconstruct(self, code: Any) -> np.ndarray:
    """The inversion, as pictures."""

  def edit(self, code: Any, name: str, strength: float) -> np.ndarray:
    """The pictures edited by a direction."""


class StyleFeatureEditor:
  """The project's editor, whole or without some networks."""

  def __init__(self, editor: "Editor"):
    self.size = editor.resolution
    self._editor = editor

  def encode(self, pictures: np.ndarray) -> pipeline.Inversion:
    """Equations 1-3."""
    return self._editor.invert(pictures)

  def reconstruct(self, code: pipeline.Inversion) -> np.ndarray:
    """The inversion, as pictures."""
    return _pictures(self._editor.reconstruct(code))

  def edit(
      self, code: pipeline.Inversion, name: str, strength: float
  ) -> np.ndarray:
    """Equations 5-7."""
    return _pictures(self._editor.edit(code, {name: strength}).image)


class EncoderAlone:
  """G(E(x)) and G(E(x) + edit): e4e without the Inverter."""

  def __init__(self, models: Models, variables: Variables, registry: Registry):
    """Takes the networks.

    Args:
      models: generator and e4e.
      variables: their variables by name.
      registry: edits by name.

    Raises:
      UserError: the two do not fit.
    """
    g, e = models.generator, models.e4e
    if (g.styles, g.w_dim) != (e.styles, e.w_dim):
      raise UserError(
          f"generator and e4e do not fit: latents of {g.styles} x {g.w_dim}"
          f" against {e.styles} x {e.w_dim}; take both from one training run"
      )
    self.size = g.resolution
    self._variables = variables
    self._registry = registry
    self._encode = jax.jit(functools.partial(_encode, models))
    self._decode = jax.jit(functools.partial(_decode, models))
    self._apply = jax.jit(families.apply)

  def encode(self, pictures: np.ndarray) -> jax.Array:
    """E(x): latents (n, styles, w_dim)."""
    return self._encode(self._variables, pictures)

  def reconstruct(self, code: jax.Array) -> np.ndarray:
    """G(E(x))."""
    return _pictures(self._decode(self._variables, code))

  def edit(self, code: jax.Array, name: str, strength: float) -> np.ndarray:
    """G(E(x) + edit)."""
    strengths = np.full(len(code), strength, np.float32)
    edit = self._apply(self._registry.get(name), code, strengths)
    moved = code + edit.w_offset
    return _pictures(self._decode(self._variables, moved, edit.style_offset))


def _encode(
    models: Models, variables: Variables, pictures: jax.Array
) -> jax.Array:
  images = layers.to_float(pictures)
  return pipeline.encode(models.e4e, variables["e4e"], images)


def _decode(
    models: Models,
    variables: Variables,
    w_plus: jax.Array,
    style_offset: jax.Array | None = None,
) -> jax.Array:
  return models.generator.apply(
      variables["generator"], w_plus, style_offset, method="synthesize"
  )


def _pictures(x: jax.Array) -> np.ndarray:
  """As they would be saved.

  Raises:
    UserError: a pixel is not finite, which would be saved as black.
  """
  x = np.asarray(x)
  if not np.isfinite(x).all():
    raise UserError("the networks give NaN or infinity; check the weights")
  return images.to_uint8(x)
