"""Methods that can be evaluated, behind one interface."""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol, cast

import jax
import numpy as np

from sfe_jax import pipeline
from sfe_jax.architecture import Models, Variables
from sfe_jax.directions import Registry, families
from sfe_jax.editor import OPTIONAL, Editor
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.e4e import E4E
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import images, weights

SFE, ENCODER = "sfe", "e4e"
METHODS = (SFE, ENCODER)


class Method(Protocol):
  """Inverts and edits pictures: uint8 arrays (n, size, size, 3).

  Attributes:
    size: height and width of the pictures in pixels.
  """

  size: int

  def encode(self, pictures: np.ndarray) -> Any:
    """Returns the code of pictures, for `reconstruct` and `edit`."""

  def reconstruct(self, code: Any) -> np.ndarray:
    """Returns the inversions, uint8 (n, size, size, 3)."""

  def edit(self, code: Any, name: str, strength: float) -> np.ndarray:
    """Returns the pictures edited along direction `name`, in uint8."""


class StyleFeatureEditor:
  """The paper's method, complete or with some networks left out."""

  def __init__(self, editor: Editor):
    self.size = editor.resolution
    self._editor = editor

  def encode(self, pictures: np.ndarray) -> pipeline.Inversion:
    """Inverts pictures (equations 1-3)."""
    return self._editor.invert(pictures)

  def reconstruct(self, code: pipeline.Inversion) -> np.ndarray:
    """Returns the inversions, uint8 (n, size, size, 3)."""
    return _pictures(self._editor.reconstruct(code))

  def edit(
      self, code: pipeline.Inversion, name: str, strength: float
  ) -> np.ndarray:
    """Edits along one direction (equations 5-7)."""
    return _pictures(self._editor.edit(code, {name: strength}).image)


class EncoderAlone:
  """The encoder E without the Inverter: G(E(x)) and G(E(x) + edit)."""

  def __init__(self, models: Models, variables: Variables, registry: Registry):
    """Takes the networks.

    Args:
      models: only the generator and e4e are used.
      variables: their variables by name.
      registry: directions by name.

    Raises:
      UserError: there is no e4e, or it does not fit the generator.
    """
    g, e = models.generator, models.e4e
    if e is None:
      raise UserError("the encoder cannot be evaluated without network e4e")
    if (g.styles, g.w_dim) != (e.styles, e.w_dim):
      raise UserError(
          f"generator and e4e do not fit: latents of {g.styles} x {g.w_dim}"
          f" against {e.styles} x {e.w_dim}; take both from one training run"
      )
    self.size = g.resolution
    self._variables = variables
    self._registry = registry
    self._encode = jax.jit(functools.partial(_encode, e))
    self._decode = jax.jit(functools.partial(_decode, g))
    self._apply = jax.jit(families.apply)

  def encode(self, pictures: np.ndarray) -> jax.Array:
    """Returns E(x): latents (n, styles, w_dim)."""
    return self._encode(self._variables, pictures)

  def reconstruct(self, code: jax.Array) -> np.ndarray:
    """Returns G(E(x)), uint8 (n, size, size, 3)."""
    return _pictures(self._decode(self._variables, code))

  def edit(self, code: jax.Array, name: str, strength: float) -> np.ndarray:
    """Returns G(E(x) + edit), uint8 (n, size, size, 3)."""
    strengths = np.full(len(code), strength, np.float32)
    edit = self._apply(self._registry.get(name), code, strengths)
    moved = code + edit.w_offset
    return _pictures(self._decode(self._variables, moved, edit.style_offset))


def networks(method: str, without: Sequence[str] = ()) -> list[str]:
  """Names of the networks that a method reads from its weight folder.

  Args:
    method: one of METHODS.
    without: optional networks that SFE leaves out.
  """
  if method == ENCODER:
    return ["generator", "e4e"]
  optional = [name for name in OPTIONAL if name not in without]
  return ["generator", "inverter", *optional]


def load(
    method: str,
    folder: str | os.PathLike,
    registry: Registry,
    *,
    without: Sequence[str] = (),
    batch_size: int = 1,
) -> Method:
  """Reads a method's networks.

  Args:
    method: one of METHODS.
    folder: weight folder.
    registry: directions by name.
    without: optional networks that SFE leaves out.
    batch_size: pictures per batch.

  Raises:
    UserError: a network is missing, damaged or does not fit the others.
  """
  if method == SFE:
    return StyleFeatureEditor(
        Editor.load(
            folder,
            without=tuple(without),
            registry=registry,
            batch_size=batch_size,
        )
    )
  folder = pathlib.Path(folder)
  generator, g = weights.read(folder / "generator", Generator)
  e4e, e = weights.read(folder / "e4e", E4E)
  models = Models(cast(Generator, generator), None, None, cast(E4E, e4e))
  return EncoderAlone(models, {"generator": g, "e4e": e}, registry)


def _encode(e4e: E4E, variables: Variables, pictures: jax.Array) -> jax.Array:
  images = layers.to_float(pictures)
  return pipeline.encode(e4e, variables["e4e"], images)[0]


def _decode(
    generator: Generator,
    variables: Variables,
    w_plus: jax.Array,
    style_offset: jax.Array | None = None,
) -> jax.Array:
  image = generator.apply(
      variables["generator"], w_plus, style_offset, method="synthesize"
  )
  return cast(jax.Array, image)


def _pictures(x: jax.Array) -> np.ndarray:
  """Rounds float [-1, 1] to uint8, as saved files are.

  Raises:
    UserError: a pixel is not finite.
  """
  try:
    return images.to_uint8(x)
  except UserError as error:
    raise UserError(f"{error}; check the weights of the networks") from error
