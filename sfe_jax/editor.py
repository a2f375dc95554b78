"""The Python API: load, invert, edit.

  from sfe_jax import Editor
  editor = Editor.load("weights")
  inversion = editor.invert(images)            # uint8 or [-1, 1], NHWC
  result = editor.edit(inversion, {"age": 5, "fs_smiling": -3})
  result.image                                 # float32 in [-1, 1], NHWC
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax import command_line, directions, pipeline
from sfe_jax.architecture import Architecture, Models, Variables
from sfe_jax.directions import families
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.e4e import E4E
from sfe_jax.models.feature_editor import FeatureEditor
from sfe_jax.models.inverter import Inverter
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.pipeline import Edit, Edited, Inversion
from sfe_jax.storage import weights

Strength = float | np.ndarray | Sequence[float]

# Official files that hold each network, for messages.
_SOURCES = {
    "generator": "stylegan2-ffhq-config-f.pt",
    "inverter": "sfe_editor_light.pt",
    "feature_editor": "sfe_editor_light.pt",
    "e4e": "e4e_ffhq_encode.pt",
}
_NETWORKS = {
    "generator": Generator,
    "inverter": Inverter,
    "feature_editor": FeatureEditor,
    "e4e": E4E,
}
OPTIONAL = ("feature_editor", "e4e")


class Editor:
  """Inverts and edits images; compiles once for `batch_size` images.

  Fewer images than `batch_size` compile for their own number.  Results stay on
  the device: at 1024 px one inversion takes 34 MB and one edited image 45 MB
  in float32.

  Attributes:
    models: the networks.
    variables: their variables by name.
    directions: edits by name.
    batch_size: images that pass the networks together.
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
    """Use `load` or `random` unless you hold networks already."""
    if batch_size < 1:
      raise UserError(f"batch_size must be at least 1, got {batch_size}")
    command_line.enable_compilation_cache()
    models.check()
    self.models = models
    self.variables = dict(variables)
    self.directions = directions
    self.batch_size = batch_size
    self._precision = precision
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
      folder: str | os.PathLike,
      *,
      without: Sequence[str] = (),
      domain: str | None = None,
      dtype: Any = jnp.float32,
      batch_size: int = 1,
      precision: str = "highest",
  ) -> "Editor":
    """Reads a weight folder made by `python -m convert` or by training.

    Args:
      folder: holds generator/, inverter/, feature_editor/ and e4e/.
      without: networks to do without, as in the paper's ablations (table 3):
        "feature_editor" edits w alone, "e4e" takes Delta from the Inverter's w.
      domain: table of directions, "faces" or "cars"; guessed by default.
      dtype: compute dtype; jnp.bfloat16 halves memory on accelerators.
      batch_size: images that pass the networks together.
      precision: of float32 products on accelerators; "highest" reproduces the
        published numbers, "default" is faster.

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
    missing = [name for name in wanted if not (folder / name).is_dir()]
    if missing:
      files = ", ".join(f"{name} ({_SOURCES[name]})" for name in missing)
      where = weights.shown(folder)
      raise UserError(
          f"{where} lacks {files}; convert the official file into it with"
          f" python -m convert --src FILE --dst {where}"
          + _ways_without(missing)
      )
    command_line.enable_compilation_cache()
    modules, variables = dict.fromkeys(_NETWORKS), {}
    for name in wanted:
      network = _NETWORKS[name]
      modules[name], variables[name] = weights.read(
          folder / name, network, dtype=dtype
      )
    models = Models(**modules)
    return cls(
        models,
        variables,
        registry(folder, models.generator, domain),
        batch_size=batch_size,
        precision=precision,
    )

  @classmethod
  def random(
      cls,
      architecture: Architecture,
      seed: int = 0,
      *,
      dtype: Any = jnp.float32,
      **options: Any,
  ) -> "Editor":
    """An editor with random weights: for trying the pipeline, not photos."""
    command_line.enable_compilation_cache()
    models = architecture.build(dtype)
    variables = {
        name: jax.device_put(weights.random(getattr(models, name), seed))
        for name in _SOURCES
    }
    no_folder = registry("weights", models.generator)
    return cls(models, variables, no_folder, **options)

  @property
  def resolution(self) -> int:
    """Side of the images."""
    return self.models.generator.resolution

  def invert(self, batch: Any) -> Inversion:
    """Finds latents and features of images.

    Args:
      batch: (n, h, w, 3) or one (h, w, 3) of the generator's resolution;
        uint8 in [0, 255] or float in [-1, 1].

    Raises:
      UserError: wrong shape, dtype or range.
    """
    batch = self._check(batch)
    return self._in_batches(self._invert, batch)

  def reconstruct(self, inversion: Inversion) -> jax.Array:
    """The inversion as images (n, h, w, 3) float32, about [-1, 1]."""
    return self._in_batches(self._reconstruct, inversion)

  def edit(
      self,
      inversion: Inversion,
      edits: Mapping[str, Strength],
      background: Any | None = None,
  ) -> Edited:
    """Edits inverted images; several edits add up.

    Args:
      inversion: of n images, from `invert`.
      edits: strength by direction name.  A number holds for all images; an
        array (n,) gives each image its own; a list or tuple gives a strip:
        every field of the result then has a leading axis, one entry per
        strength (lists of one length go together).
      background: (h, w) or (n, h, w) in [0, 1]; 1 where the image must stay.

    Raises:
      UserError: unknown direction, or strengths that do not fit.
    """
    n = inversion.w.shape[0]
    lengths = {
        len(s) for s in edits.values() if isinstance(s, (list, tuple))
    }
    if not lengths:
      return self._edit_once(inversion, edits, background)
    if len(lengths) > 1 or lengths == {0}:
      raise UserError(
          "lists of strengths must have one length, got"
          f" {sorted(lengths)}; a list gives one picture per entry, an array"
          f" of {n} one strength per image"
      )
    strip = [
        self._edit_once(
            inversion,
            {
                name: s[i] if isinstance(s, (list, tuple)) else s
                for name, s in edits.items()
            },
            background,
        )
        for i in range(lengths.pop())
    ]
    return jax.tree.map(lambda *x: jnp.stack(x), *strip)

  def _edit_once(self, inversion, edits, background) -> Edited:
    n = inversion.w.shape[0]
    rows = (
        inversion,
        self._sum(edits, inversion.w),
        self._sum(edits, inversion.w_e),
    )
    if background is not None:
      background = jnp.asarray(background, jnp.float32)
      shapes = [(n, *background.shape[-2:]), background.shape[-2:]]
      if background.shape not in shapes:
        raise UserError(
            f"the background mask has shape {background.shape}, expected"
            f" (h, w) or ({n}, h, w)"
        )
      rows += (jnp.broadcast_to(background, shapes[0]),)
    return self._in_batches(self._edit, *rows)

  def _sum(self, edits: Mapping[str, Strength], w_plus: jax.Array) -> Edit:
    """All edits of latents (n, styles, w_dim) as one."""
    n = w_plus.shape[0]
    total = Edit(
        jnp.zeros_like(w_plus),
        jnp.zeros((n, sum(self.models.generator.style_widths))),
    )
    for name, strength in edits.items():
      strength = np.asarray(strength, np.float32)
      if strength.shape not in ((), (n,)) or not np.isfinite(strength).all():
        raise UserError(
            f"{name}: strength must be a finite number or an array of {n}, one"
            f" per image; got {strength}"
        )
      data = self.directions.get(name)
      edit = self._apply(data, w_plus, np.broadcast_to(strength, (n,)))
      total = jax.tree.map(jnp.add, total, edit)
    return total

  def _check(self, batch: Any) -> np.ndarray:
    batch = np.asarray(batch)
    if batch.ndim == 3:
      batch = batch[None]
    size = self.resolution
    if batch.ndim != 4 or batch.shape[1:] != (size, size, 3) or not len(batch):
      raise UserError(
          f"images have shape {batch.shape}, expected (n, {size}, {size}, 3);"
          " sfe_jax.images.fit resizes"
      )
    if batch.dtype == np.uint8:
      return batch
    if not np.issubdtype(batch.dtype, np.floating):
      raise UserError(f"images are {batch.dtype}, expected uint8 or float")
    if not np.abs(batch).max() <= 1.5:
      raise UserError(
          "float images must lie in [-1, 1], got values from"
          f" {batch.min():g} to {batch.max():g}; uint8 images may be 0..255"
      )
    return batch.astype(np.float32)

  def _in_batches(self, function: Callable[..., Any], *rows: Any) -> Any:
    """Runs over batches; the last is padded so that one shape compiles.

    Args:
      function: takes pytrees with a leading axis, returns one.
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


def _ways_without(missing: Sequence[str]) -> str:
  """What helps where only networks are missing that can be."""
  if not set(missing) <= set(OPTIONAL):
    return ""
  flags = " ".join(f"--without={name}" for name in missing)
  return f", or edit without it: {flags}"


def registry(
    folder: str | os.PathLike, generator: Generator, domain: str | None = None
) -> directions.Registry:
  """The directions that a weight folder offers its generator."""
  return directions.Registry.of_weights(folder, generator, domain)
