"""The Python API: load networks, invert pictures, edit the inversions.

  import numpy as np
  from sfe_jax import Editor, images

  editor = Editor.load("toy")  # or the folder that `sfe_jax.convert` wrote
  photo = images.fit(images.read("photo.jpg"), editor.resolution)
  inversion = editor.invert(photo)
  images.write("inversion.png", editor.reconstruct(inversion)[0])

  result = editor.edit(inversion, {"age": 2, "smile": -3})  # edits add up
  images.write("edited.png", result.image[0])
  strip = editor.edit(inversion, {"age": [-2, 0, 2]})  # one picture each
  images.write("strip.png", np.concatenate(strip.image[:, 0], axis=1))
"""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.typing import ArrayLike

from sfe_jax import devices, directions, pipeline
from sfe_jax.architecture import Architecture, Models, Variables
from sfe_jax.directions import families, strengths
from sfe_jax.directions.strengths import Strength
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.e4e import E4E
from sfe_jax.models.feature_editor import FeatureEditor
from sfe_jax.models.inverter import Inverter
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.pipeline import Edit, Edited, Inversion
from sfe_jax.storage import checks, layout, origins, weights

_NETWORKS = {
    "generator": Generator,
    "inverter": Inverter,
    "feature_editor": FeatureEditor,
    "e4e": E4E,
}
OPTIONAL = ("feature_editor", "e4e")
# A picture of which this share of values is clipped shows nothing.
_SATURATED = 0.99


class Editor:
  """Inverts and edits pictures.

  `invert` finds the latents and features of pictures, `reconstruct` turns an
  inversion into pictures, and `edit` turns it into edited pictures.  An
  inversion can be edited any number of times.

  Each function is compiled once, for `batch_size` pictures; fewer pictures
  compile for their own number.  Results stay on the device: at 1024 px one
  inversion takes 34 MB and one edited picture 45 MB in float32.

  Attributes:
    models: the networks.
    variables: their variables by name.
    directions: edits by name.
    batch_size: number of pictures that pass the networks together.
  """

  def __init__(
      self,
      models: Models,
      variables: Variables,
      directions: directions.Registry,
      *,
      batch_size: int = 1,
      precision: str = "highest",
  ):
    """Takes networks; `load` and `random` make them."""
    if batch_size < 1:
      raise UserError(f"batch_size must be at least 1, got {batch_size}")
    devices.enable_compilation_cache()
    models.check()
    self.models = models
    self.variables = dict(variables)
    self.directions = directions
    self.batch_size = batch_size
    self._precision = precision
    self._remarked: set[str] = set()
    self._invert = self._jit(_invert)
    self._reconstruct = self._jit(pipeline.reconstruct)
    self._edit = self._jit(pipeline.edit)
    self._apply = jax.jit(families.apply)

  def _jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
    compiled = jax.jit(functools.partial(function, self.models))

    def call(*args):
      with jax.default_matmul_precision(self._precision):
        return compiled(self.variables, *args)

    return call

  @classmethod
  def load(
      cls,
      folder: str | os.PathLike[str],
      *,
      without: Sequence[str] = (),
      domain: str | None = None,
      registry: directions.Registry | None = None,
      dtype: Any = jnp.float32,
      batch_size: int = 1,
      precision: str = "highest",
  ) -> "Editor":
    """Reads a weight folder.

    Args:
      folder: written by `python -m sfe_jax.convert` or by training, or "toy",
        the networks for drawn faces that come with this package.  It holds
        generator/, inverter/, feature_editor/ and e4e/.
      without: networks to leave out, as in the ablations of the paper's table
        3: without "feature_editor" only w is edited, without "e4e" Delta is
        computed from the Inverter's w.
      domain: table of directions, see `directions.Registry.of_weights`.
      registry: the directions; by default those that the folder offers for
        `domain`.
      dtype: compute dtype; jnp.bfloat16 halves memory on accelerators.
      batch_size: number of pictures that pass the networks together.
      precision: precision of float32 products on accelerators; "highest"
        reproduces the published numbers, "default" is faster.

    Raises:
      UserError: a network is missing, damaged or does not fit the others.
    """
    folder = weights.require_folder(folder)
    if unknown := sorted(set(without) - set(OPTIONAL)):
      raise UserError(
          f"an editor can do without {' and '.join(OPTIONAL)}, not without"
          f" {', '.join(unknown)}"
      )
    wanted = [name for name in _NETWORKS if name not in without]
    _check_present(folder, wanted)
    devices.enable_compilation_cache()
    modules: dict[str, Any] = dict.fromkeys(_NETWORKS)
    variables = {}
    for name in wanted:
      modules[name], variables[name] = weights.read(
          folder / name, _NETWORKS[name], dtype=dtype
      )
    if registry is None:
      generator = modules["generator"]
      registry = directions.Registry.of_weights(folder, generator, domain)
    return cls(
        Models(**modules),
        variables,
        registry,
        batch_size=batch_size,
        precision=precision,
    )

  @classmethod
  def random(
      cls,
      architecture: Architecture,
      seed: int = 0,
      *,
      registry: directions.Registry | None = None,
      dtype: Any = jnp.float32,
      **options: Any,
  ) -> "Editor":
    """Makes an editor of random weights, for trying the pipeline.

    Args:
      architecture: sizes of the networks.
      seed: seed of the random numbers.
      registry: the directions; by default the published ones that fit the
        generator and need no file.
      dtype: compute dtype.
      **options: `batch_size` and `precision`, see `load`.
    """
    devices.enable_compilation_cache()
    models = architecture.build(dtype)
    variables = {
        name: jax.device_put(weights.random(getattr(models, name), seed))
        for name in _NETWORKS
    }
    if registry is None:
      registry = directions.Registry.published(models.generator)
    return cls(models, variables, registry, **options)

  @property
  def resolution(self) -> int:
    """Height and width of the pictures, in pixels."""
    return self.models.generator.resolution

  def invert(self, batch: ArrayLike) -> Inversion:
    """Finds the latents and features of pictures (equations 1-3).

    Args:
      batch: (n, h, w, 3) or one (h, w, 3) of the generator's resolution;
        uint8, or float in [-1, 1].

    Returns:
      The input of `edit` and `reconstruct`.

    Raises:
      UserError: wrong shape, dtype or range.
    """
    batch = checks.pictures(batch, self.resolution)
    return self._in_batches(self._invert, batch)

  def reconstruct(self, inversion: Inversion) -> jax.Array:
    """Turns an inversion into pictures, without an edit.

    Returns:
      (n, h, w, 3) float32, about [-1, 1].

    Raises:
      UserError: the argument is not an `Inversion`.
    """
    _check_inversion(inversion)
    return self._in_batches(self._reconstruct, inversion)

  def edit(
      self,
      inversion: Inversion,
      edits: Mapping[str, Strength],
      background: ArrayLike | None = None,
  ) -> Edited:
    """Edits inverted pictures (equations 5-7).

    The type of a strength decides what it stands for: a number is the strength
    for all pictures, an array (n,) has one strength per picture, and a list or
    tuple makes a strip: every picture is edited once per entry.

    A warning is logged if a strength is outside its direction's useful range
    (once per direction), or if a result is not finite or completely black or
    white.

    Args:
      inversion: inversion of n pictures, from `invert`.
      edits: strength by name of a direction; several edits add up.  The
        entries of a list are numbers or arrays (n,), and all lists have one
        length.
      background: mask (h, w) or (n, h, w) of the generator's resolution, in
        [0, 1]; 1 where the picture must not change.

    Returns:
      The edited pictures; with lists of m strengths every array has a further
      leading axis of length m.

    Raises:
      UserError: unknown direction, or wrong strengths, mask or inversion.
    """
    _check_inversion(inversion)
    if not isinstance(edits, Mapping):
      raise UserError(
          'edits must be a dict from name to strength such as {"age": 5}, got'
          f" {edits!r}"
      )
    if background is not None:
      n = inversion.w.shape[0]
      background = checks.background(background, n, self.resolution)
    strip = strengths.strip(edits)
    if strip is None:
      return self._edit_once(inversion, edits, background)
    out = [self._edit_once(inversion, x, background) for x in strip]
    return jax.tree.map(lambda *x: jnp.stack(x), *out)

  def _edit_once(
      self,
      inversion: Inversion,
      edits: Mapping[str, Any],
      background: np.ndarray | None,
  ) -> Edited:
    """`edit` without lists of strengths."""
    n = inversion.w.shape[0]
    checked = {k: strengths.per_picture(k, s, n) for k, s in edits.items()}
    for name, values in checked.items():
      entry = self.directions.entry(name)
      remark = strengths.remark(entry, values)
      if remark and entry.name not in self._remarked:
        self._remarked.add(entry.name)  # once, however many batches follow
        logging.warning(remark)
    edit_w = edit_e = self._sum(checked, inversion.w)
    if self.models.e4e is not None:  # otherwise E's latents are w
      edit_e = self._sum(checked, inversion.w_e)
    rows: list[Any] = [inversion, edit_w, edit_e]
    if background is not None:
      rows.append(background)
    out = self._in_batches(self._edit, *rows)
    _warn_if_useless(out.image, edits)
    return out

  def _sum(self, edits: Mapping[str, np.ndarray], w_plus: jax.Array) -> Edit:
    """All edits of latents (n, styles, w_dim) as one."""
    n = w_plus.shape[0]
    total = Edit(
        jnp.zeros_like(w_plus),
        jnp.zeros((n, sum(self.models.generator.style_widths))),
    )
    for name, strength in edits.items():
      edit = self._apply(self.directions.get(name), w_plus, strength)
      total = jax.tree.map(jnp.add, total, edit)
    return total

  def _in_batches(self, function: Callable[..., Any], *rows: Any) -> Any:
    """Runs over batches; the last is padded so that one shape compiles.

    Args:
      function: takes pytrees with a leading axis and returns one.
      *rows: pytrees of n rows.
    """
    n, size = jax.tree.leaves(rows)[0].shape[0], self.batch_size
    if n <= size:
      return function(*rows)
    outputs = []
    for start in range(0, n, size):
      index = np.minimum(np.arange(start, start + size), n - 1)
      outputs.append(function(*jax.tree.map(lambda x, i=index: x[i], rows)))
    return jax.tree.map(lambda *x: jnp.concatenate(x)[:n], *outputs)


def _invert(
    models: Models, variables: Variables, batch: jax.Array
) -> Inversion:
  if batch.dtype == jnp.uint8:
    batch = layers.to_float(batch)
  return pipeline.invert(models, variables, batch)


@jax.jit
def _shares(images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(n,) whether all values are finite, (n,) share of clipped values."""
  axes = (1, 2, 3)
  finite = jnp.isfinite(images).all(axes)
  return finite, (jnp.abs(images) >= 1).mean(axes)


def _warn_if_useless(images: jax.Array, edits: Mapping[str, Any]) -> None:
  """Warns of pictures that hold NaN or are completely saturated."""
  finite, saturated = jax.device_get(_shares(images))
  for what, bad in (
      ("not finite (NaN or infinity)", ~finite),
      ("completely black or white", finite & (saturated >= _SATURATED)),
  ):
    if bad.any():
      strengths = ", ".join(f"{name} {s}" for name, s in edits.items())
      logging.warning(
          "%d of %d pictures edited by %s are %s; use smaller strengths",
          bad.sum(), len(bad), strengths or "nothing", what,
      )


def _check_present(folder: pathlib.Path, names: Sequence[str]) -> None:
  """Raises UserError if a weight folder lacks one of these networks."""
  missing = [name for name in names if not (folder / name).is_dir()]
  if not missing:
    return
  remedies = [f"{x}: {origins.way_to(x, _resolution(folder))}" for x in missing]
  if layout.is_run(folder.parent):
    remedies = [
        f"the training run {folder.parent} does not use this network; copy its"
        " folder from another weight folder"
    ]
  if set(missing) <= set(OPTIONAL):
    flags = " ".join(f"--without={name}" for name in missing)
    remedies.append(f"or edit without it: {flags}")
  raise UserError(
      f"{weights.shown(folder)} lacks {', '.join(missing)}; "
      + "; ".join(remedies)
  )


def _resolution(folder: pathlib.Path) -> int | None:
  """The resolution of a weight folder's generator, None if there is none."""
  try:
    generator = weights.module(folder / "generator", Generator)
  except UserError:
    return None
  return cast(Generator, generator).resolution


def _check_inversion(inversion: Any) -> None:
  if not isinstance(inversion, Inversion):
    raise UserError(
        f"expected an Inversion, got {type(inversion).__name__}; call"
        " editor.invert(pictures) first and pass on what it returns"
    )
