"""Identity networks: ArcFace IR-SE50 and CurricularFace IR-101 files."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from sfe_jax.errors import UserError
from sfe_jax.models.irse import ArcFace

from ..family import Family, count, dimension
from ..mapping import Entry, State, Tensor, batch_norm, conv, prelu
from .iresnet import head, input_size

_Sizes: TypeAlias = tuple[int, int, int, int]


def trunk(
    depths: Sequence[int], widths: Sequence[int], squeeze_excite: bool = True
) -> Iterator[Entry]:
  """Entries of an `IRTrunk`."""
  yield from conv("input_layer.0", "trunk/stem_conv")
  yield from batch_norm("input_layer.1", "trunk/stem_bn")
  yield from prelu("input_layer.2", "trunk/stem_prelu")
  number, before = 0, widths[0]
  for depth, width in zip(depths, widths):
    for _ in range(depth):
      ours = f"trunk/block{number}"
      layer = f"body.{number}.res_layer"
      yield from batch_norm(f"{layer}.0", f"{ours}/bn1")
      yield from conv(f"{layer}.1", f"{ours}/conv1")
      yield from prelu(f"{layer}.2", f"{ours}/prelu")
      yield from conv(f"{layer}.3", f"{ours}/conv2")
      yield from batch_norm(f"{layer}.4", f"{ours}/bn2")
      if squeeze_excite:
        yield _dense(f"{layer}.5.fc1", f"{ours}/se/squeeze")
        yield _dense(f"{layer}.5.fc2", f"{ours}/se/excite")
      if width != before:
        shortcut = f"body.{number}.shortcut_layer"
        yield from conv(f"{shortcut}.0", f"{ours}/shortcut_conv")
        yield from batch_norm(f"{shortcut}.1", f"{ours}/shortcut_bn")
      number, before = number + 1, width


def _dense(official: str, ours: str) -> Tensor:
  """A linear layer that is a 1x1 convolution in the file."""
  kernel = f"params/{ours}/kernel"
  return Tensor(f"{official}.weight", kernel, "o i 1 1 -> i o")


def trunk_sizes(state: State, what: str) -> tuple[_Sizes, _Sizes]:
  """(depths, widths) of an `IRTrunk`; a stage is a run of equal widths.

  Raises:
    UserError: the trunk does not have four stages.
  """
  blocks = count(state, "body.{}.res_layer.1.weight")
  runs = itertools.groupby(
      dimension(state, f"body.{i}.res_layer.1.weight", 0, what)
      for i in range(blocks)
  )
  stages = [(len(list(run)), width) for width, run in runs]
  if len(stages) != 4:
    raise UserError(
        f"{what}: the trunk has {len(stages)} widths, expected 4; the file is"
        " damaged or of another architecture"
    )
  depths, widths = zip(*stages)
  return depths, widths


def _tensors(net: ArcFace) -> Iterator[Entry]:
  yield from trunk(net.depths, net.widths, net.squeeze_excite)
  layers = ("output_layer.0", "output_layer.3", "output_layer.4")
  yield from head(*layers, affine=net.output_affine)


def _build(state: State) -> ArcFace:
  what = "face embedder"
  depths, widths = trunk_sizes(state, what)
  return ArcFace(
      depths,
      widths,
      squeeze_excite="body.0.res_layer.5.fc1.weight" in state,
      output_affine="output_layer.4.weight" in state,
      embedding=dimension(state, "output_layer.3.weight", 0, what),
      input_size=input_size(state, "output_layer.3", widths[-1], what),
  )


ARCFACE_FAMILY = Family(
    name="arcface",
    signature=("output_layer.4.weight", "body.0.res_layer.5.fc1.weight"),
    build=_build,
    tensors=_tensors,
)

CURRICULARFACE_FAMILY = Family(
    name="curricularface",
    # Only an IR-101 has so many blocks.
    signature=("output_layer.3.weight", "body.48.res_layer.0.weight"),
    build=_build,
    tensors=_tensors,
)
