"""ArcFace's iresnet50 file, and its parts that other files share."""

import math
from collections.abc import Iterator, Sequence

from sfe_jax.models.iresnet import IResNet

from ..family import Family, count, dimension
from ..mapping import Entry, State, batch_norm, conv, linear, prelu


def trunk(
    depths: Sequence[int], stem: Sequence[str], block: str, ours: str
) -> Iterator[Entry]:
  """Entries of an `IResNetTrunk`.

  Args:
    depths: blocks per stage.
    stem: official names of the stem's convolution, batch norm and PReLU.
    block: official name of block j of stage i from 1, "layer{i}.{j}".
    ours: our name of the trunk.
  """
  yield from conv(stem[0], f"{ours}/stem_conv")
  yield from batch_norm(stem[1], f"{ours}/stem_bn")
  yield from prelu(stem[2], f"{ours}/stem_prelu")
  for i, depth in enumerate(depths, 1):
    for j in range(depth):
      name, target = block.format(i=i, j=j), f"{ours}/stage{i}_{j}"
      yield from residual_block(name, target, downsample=j == 0)


def residual_block(
    official: str, ours: str, downsample: bool
) -> Iterator[Entry]:
  """Entries of an `IResNetBlock`."""
  for i in (1, 2, 3):
    yield from batch_norm(f"{official}.bn{i}", f"{ours}/bn{i}")
  for i in (1, 2):
    yield from conv(f"{official}.conv{i}", f"{ours}/conv{i}")
  yield from prelu(f"{official}.prelu", f"{ours}/prelu")
  if downsample:
    yield from conv(f"{official}.downsample.0", f"{ours}/downsample_conv")
    yield from batch_norm(f"{official}.downsample.1", f"{ours}/downsample_bn")


def head(
    input_bn: str, layer: str, output_bn: str, affine: bool = True
) -> Iterator[Entry]:
  """Entries of an `EmbeddingHead`, given the official names of its layers."""
  yield from batch_norm(input_bn, "head/input_bn")
  yield from linear(layer, "head/linear")
  yield from batch_norm(output_bn, "head/output_bn", affine)


def input_size(state: State, layer: str, width: int, what: str) -> int:
  """Image side for which a trunk of stride 16 fits the head's linear layer."""
  inputs = dimension(state, f"{layer}.weight", 1, what)
  return 16 * max(1, math.isqrt(inputs // width))


_NAME = "iresnet50"


def _tensors(net: IResNet) -> Iterator[Entry]:
  stem = ("conv1", "bn1", "prelu")
  yield from trunk(net.depths, stem, "layer{i}.{j}", "trunk")
  yield from head("bn2", "fc", "features")


def _build(state: State) -> IResNet:
  stages = [f"layer{i}" for i in range(1, 5)]
  widths = tuple(
      dimension(state, f"{stage}.0.conv1.weight", 0, _NAME) for stage in stages
  )
  return IResNet(
      depths=tuple(count(state, f"{s}.{{}}.conv1.weight") for s in stages),
      widths=widths,
      embedding=dimension(state, "fc.weight", 0, _NAME),
      input_size=input_size(state, "fc", widths[-1], _NAME),
  )


FAMILY = Family(
    name=_NAME,
    signature=("conv1.weight", "layer1.0.prelu.weight", "fc.weight"),
    build=_build,
    tensors=_tensors,
)
