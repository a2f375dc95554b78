"""Every family of edit directions as one kind of data and one function.

Families differ only in how their published files and their rule for the
strength ("power") become a `DirectionData`.  `apply` is the same for all, so
another direction is another set of arrays and compiles nothing.
docs/numerics.md states the rule of each family.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax.errors import UserError
from sfe_jax.models.mappers import LEVELS, LevelsMapper
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.pipeline import Edit

# StyleSpace and StyleCLIP count convolutions and toRGBs together: layer i of
# their 26 layers moves the convolution CONV_OF_LAYER[i].
CONV_OF_LAYER = (
    0, 1, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 12, 12, 13, 14,
    14, 15, 16, 16,
)  # fmt: skip
_STYLESPACE_UNIT = 3.0
_STYLECLIP_UNIT = 1 / 1.5
_STYLECLIP_CONVS = 11


@dataclasses.dataclass(frozen=True)
class LatentSpace:
  """The sizes of a generator that directions depend on.

  Attributes:
    styles: number of rows of its w+ latents.
    widths: input channels of its convolutions, in layer order.
    w_dim: width of its latents.
  """

  styles: int
  widths: tuple[int, ...]
  w_dim: int = 512

  @classmethod
  def of(cls, generator: Generator) -> "LatentSpace":
    """The sizes of a generator."""
    return cls(generator.styles, generator.style_widths, generator.w_dim)


@flax.struct.dataclass
class DirectionData:
  """One direction of any family: float32 arrays, zero where not used.

  Attributes:
    linear: (styles, w_dim), the w+ offset per unit of strength.
    origin: (w_dim,), the latent whose coordinate along `axis` is 0.
    axis: (w_dim,), gives the coordinate of an image along the direction, which
      is subtracted from the strength (GANSpace).
    style: (sum of widths,), the style offset per unit of strength.
    mapper: parameters of a `LevelsMapper` with all levels, or None.
  """

  linear: jax.Array
  origin: jax.Array
  axis: jax.Array
  style: jax.Array
  mapper: Any = None


def apply(
    data: DirectionData, w_plus: jax.Array, strength: jax.Array
) -> Edit:
  """Computes the edit of latents by a direction.

  Under jit it compiles once for all directions without a mapper and once for
  all with one; `with_zero_mapper` gives both the same structure.

  Args:
    data: the direction, the same for the whole batch.
    w_plus: (n, styles, w_dim) float32 latents.
    strength: (n,) float32, in the unit of the direction's family.

  Returns:
    float32 offsets of latents (n, styles, w_dim) and styles (n, sum of widths).
  """
  # A sum, because accelerators round matrix products to fewer digits.
  coordinate = jnp.sum((w_plus[:, 0] - data.origin) * data.axis, -1)
  w_offset = (strength - coordinate)[:, None, None] * data.linear
  if data.mapper is not None:
    mapper = LevelsMapper(w_dim=w_plus.shape[-1])
    with jax.default_matmul_precision("highest"):
      mapped = cast(jax.Array, mapper.apply({"params": data.mapper}, w_plus))
    w_offset += strength[:, None, None] * mapped
  return Edit(w_offset=w_offset, style_offset=strength[:, None] * data.style)


@functools.cache
def _zero_mapper(w_dim: int) -> Any:
  """Zero parameters of a mapper, which moves nothing; shared by all calls."""
  mapper = LevelsMapper(w_dim=w_dim)
  variables = jax.eval_shape(
      mapper.init, jax.random.key(0), *mapper.example_inputs()
  )
  return jax.tree.map(
      lambda leaf: np.zeros(leaf.shape, np.float32), variables["params"]
  )


def with_zero_mapper(data: DirectionData) -> DirectionData:
  """Gives a direction without a mapper the structure of one with a mapper."""
  if data.mapper is not None:
    return data
  mapper = _zero_mapper(data.linear.shape[-1])
  return dataclasses.replace(data, mapper=mapper)


def _data(space: LatentSpace, **parts: Any) -> DirectionData:
  """A direction of the given arrays; all others are zero."""
  zeros = {
      "linear": np.zeros((space.styles, space.w_dim), np.float32),
      "origin": np.zeros(space.w_dim, np.float32),
      "axis": np.zeros(space.w_dim, np.float32),
      "style": np.zeros(sum(space.widths), np.float32),
  }
  return DirectionData(**(zeros | parts))


def _floats(array: Any, what: str) -> np.ndarray:
  """`array` as float32; UserError unless it holds finite numbers."""
  array = np.asarray(array)
  if array.dtype.kind not in "fiu":
    raise UserError(f"{what} has dtype {array.dtype}, expected numbers")
  array = array.astype(np.float32)
  if not np.isfinite(array).all():
    raise UserError(f"{what} holds NaN or infinite values; it is damaged")
  return array


def interfacegan(direction: Any, space: LatentSpace) -> DirectionData:
  """InterFaceGAN: w + power / 2 * d on all rows.

  Args:
    direction: d, (1, w_dim).
    space: the generator.

  Raises:
    UserError: another shape, or values that are not finite.
  """
  d = _floats(direction, "the InterFaceGAN direction")
  if d.shape != (1, space.w_dim):
    raise UserError(
        f"the InterFaceGAN direction has shape {d.shape}, expected"
        f" (1, {space.w_dim})"
    )
  return _data(space, linear=np.repeat(0.5 * d, space.styles, 0))


def boundary(normal: Any, space: LatentSpace) -> DirectionData:
  """Boundary of the Feature-Style encoder: w + power * b.

  Args:
    normal: b, (1, styles * w_dim).
    space: the generator.

  Raises:
    UserError: another shape, or values that are not finite.
  """
  b = _floats(normal, "the boundary")
  if b.shape != (1, space.styles * space.w_dim):
    raise UserError(
        f"the boundary has shape {b.shape}, this generator needs"
        f" (1, {space.styles} * {space.w_dim}): the boundary belongs to a"
        " generator of another resolution"
    )
  return _data(space, linear=b.reshape(space.styles, space.w_dim))


def ganspace(
    pca: Mapping[str, Any],
    component: int,
    first: int,
    last: int,
    space: LatentSpace,
) -> DirectionData:
  """GANSpace: moves rows to the coordinate `power` of a principal component.

  Args:
    pca: mean (1, w_dim), comp (k, 1, w_dim) and std (k,).
    component: index of the principal component.
    first: first row that moves.
    last: the row after the last one that moves.
    space: the generator.

  Raises:
    UserError: the arrays do not fit each other or the generator.
  """
  mean, comp, std = (
      _floats(pca[key], f"the PCA's {key}") for key in ("mean", "comp", "std")
  )
  k, d = len(std), space.w_dim
  if (mean.shape, comp.shape, std.shape) != ((1, d), (k, 1, d), (k,)):
    raise UserError(
        f"the PCA has shapes {mean.shape}, {comp.shape}, {std.shape}, expected"
        f" mean (1, {d}), comp (k, 1, {d}), std (k,)"
    )
  if component >= k:
    raise UserError(f"the PCA has {k} components, not number {component}")
  if last > space.styles:
    raise UserError(
        f"it moves latent rows {first} to {last - 1}, this generator has"
        f" {space.styles}"
    )
  unit, scale = comp[component, 0], std[component]
  linear = np.zeros((space.styles, d), np.float32)
  linear[first:last] = unit * scale
  return _data(space, linear=linear, origin=mean[0], axis=unit / scale)


def stylespace(
    channels: Sequence[tuple[int, int]], space: LatentSpace
) -> DirectionData:
  """StyleSpace: adds 3 * power to (layer, channel) pairs of the styles.

  Args:
    channels: the pairs; layers count convolutions and toRGBs together, see
      CONV_OF_LAYER.
    space: the generator.

  Raises:
    UserError: the generator has no such channel.
  """
  style = np.zeros(sum(space.widths), np.float32)
  starts = np.cumsum([0, *space.widths])
  for layer, channel in channels:
    conv = CONV_OF_LAYER[layer]
    if conv >= len(space.widths) or channel >= space.widths[conv]:
      raise UserError(
          f"it moves channel {channel} of convolution {conv}, this generator"
          f" has convolutions of {space.widths} channels"
      )
    style[starts[conv] + channel] += _STYLESPACE_UNIT
  return _data(space, style=style)


def mapper(params: Mapping[str, Any], space: LatentSpace) -> DirectionData:
  """StyleCLIP mapper: w + power * mapper(w).

  Args:
    params: parameters of a `LevelsMapper`; levels that it lacks move nothing.
    space: the generator.

  Raises:
    UserError: the mapper has another latent width.
  """
  zeros = _zero_mapper(space.w_dim)
  full = {level: params.get(level, zeros[level]) for level in LEVELS}
  if jax.tree.map(np.shape, full) != jax.tree.map(np.shape, zeros):
    raise UserError(
        "the mapper is made for latents of another width than this"
        f" generator's {space.w_dim}"
    )
  return _data(space, mapper=full)


def user(direction: Any, space: LatentSpace) -> DirectionData:
  """A direction of a user or a fitted one: w + strength * d.

  Args:
    direction: (w_dim,) or (1, w_dim), added to all rows; or (styles, w_dim) or
      (1, styles * w_dim), added row by row.
    space: the generator.

  Raises:
    UserError: another shape, or values that are not finite.
  """
  d = _floats(direction, "the direction")
  n, w_dim = space.styles, space.w_dim
  if d.shape in ((w_dim,), (1, w_dim)):
    d = np.tile(d.reshape(1, w_dim), (n, 1))
  elif d.shape == (1, n * w_dim):
    d = d.reshape(n, w_dim)
  elif d.shape != (n, w_dim):
    raise UserError(
        f"the direction has shape {d.shape}; this generator accepts"
        f" ({w_dim},) or (1, {w_dim}), added to all latent rows, or"
        f" ({n}, {w_dim}) or (1, {n * w_dim}), row by row"
    )
  return _data(space, linear=d)


def styleclip_global(
    delta_i_c: Any, text_direction: Any, std: Sequence[Any], beta: float
) -> list[np.ndarray]:
  """StyleCLIP's global direction: the style offsets of a text direction.

  Args:
    delta_i_c: (conv channels, d), what each channel does to CLIP features.
    text_direction: (d,), of unit length.
    std: standard deviations of the 26 style vectors, convolutions and toRGBs
      in layer order.
    beta: threshold of the response below which a channel does not move.

  Returns:
    One offset for each entry of `std`; those of toRGBs and of all but the first
    11 convolutions are zero.  Strength s adds s / 1.5 of the offsets.

  Raises:
    UserError: no channel's response reaches `beta`.
  """
  response = np.asarray(delta_i_c, np.float32) @ np.asarray(
      text_direction, np.float32
  )
  largest = np.abs(response).max()
  if largest < beta or largest == 0:
    raise UserError(
        f"no style channel reaches beta {beta:g} for this text; the largest"
        f" response is {largest:.3g}, choose a smaller beta"
    )
  response = np.where(np.abs(response) < beta, 0, response) / largest
  out, start, convs = [], 0, 0
  for layer, scale in enumerate(std):
    offset = np.zeros(len(scale), np.float32)
    if not _is_to_rgb(layer):
      if convs < _STYLECLIP_CONVS:
        offset = response[start : start + len(scale)] * scale
      start += len(scale)
      convs += 1
    out.append(offset)
  return out


def styleclip_text(
    delta_i_c: Any,
    text_direction: Any,
    std: Sequence[Any],
    beta: float,
    space: LatentSpace,
) -> DirectionData:
  """`styleclip_global` as a direction: s + power / 1.5 * offsets.

  Raises:
    UserError: no channel's response reaches `beta`, or `std` belongs to another
      generator.
  """
  offsets = styleclip_global(delta_i_c, text_direction, std, beta)
  convs = [x for i, x in enumerate(offsets) if not _is_to_rgb(i)]
  if tuple(map(len, convs)) != tuple(space.widths):
    raise UserError(
        "the style statistics belong to another generator: convolutions of"
        f" {tuple(map(len, convs))} channels, this one has {space.widths}"
    )
  return _data(space, style=np.concatenate(convs) * np.float32(_STYLECLIP_UNIT))


def _is_to_rgb(layer: int) -> bool:
  """Whether a layer of conv, toRGB, conv, conv, toRGB, ... is a toRGB."""
  return layer % 3 == 1
