"""ArcFace's iresnet50 file, and its parts that other files share."""

import math

from convert.family import Family, State, count, dimension
from convert.mapping import BATCH_NORM, CONV, LINEAR, PRELU, Rule
from sfe_jax.models.iresnet import IResNet


def trunk_rules(
    stem: tuple[str, str, str], stage: str, target: str
) -> tuple[Rule, ...]:
  """Rules of an `IResNetTrunk`.

  Args:
    stem: official names of the stem's convolution, batch norm and PReLU.
    stage: official block j of stage i from 1, e.g. "layer{i}.{j}".
    target: our name of the trunk.
  """
  block = f"{target}/stage{{i}}_{{j}}"
  return (
      Rule(stem[0], f"{target}/stem_conv", CONV),
      Rule(stem[1], f"{target}/stem_bn", BATCH_NORM),
      Rule(stem[2], f"{target}/stem_prelu", PRELU),
      Rule(f"{stage}.bn{{k}}", f"{block}/bn{{k}}", BATCH_NORM),
      Rule(f"{stage}.conv{{k}}", f"{block}/conv{{k}}", CONV),
      Rule(f"{stage}.prelu", f"{block}/prelu", PRELU),
      Rule(f"{stage}.downsample.0", f"{block}/downsample_conv", CONV),
      Rule(f"{stage}.downsample.1", f"{block}/downsample_bn", BATCH_NORM),
  )


def head_rules(
    input_bn: str, linear: str, output_bn: str
) -> tuple[Rule, ...]:
  """Rules of an `EmbeddingHead`, given the official names of its layers."""
  return (
      Rule(input_bn, "head/input_bn", BATCH_NORM),
      Rule(linear, "head/linear", LINEAR),
      Rule(output_bn, "head/output_bn", BATCH_NORM),
  )


def input_size(state: State, linear: str, width: int, what: str) -> int:
  """Image side for which a trunk of stride 16 fits the head's `linear`."""
  inputs = dimension(state, f"{linear}.weight", 1, what)
  return 16 * max(1, math.isqrt(inputs // width))


_NAME = "iresnet50"


def _build(state: State) -> IResNet:
  stages = [f"layer{i}" for i in range(1, 5)]
  widths = tuple(
      dimension(state, f"{stage}.0.conv1.weight", 0, _NAME) for stage in stages
  )
  return IResNet(
      depths=tuple(count(state, f"{s}.{{j}}.conv1.weight") for s in stages),
      widths=widths,
      embedding=dimension(state, "fc.weight", 0, _NAME),
      input_size=input_size(state, "fc", widths[-1], _NAME),
  )


FAMILY = Family(
    name=_NAME,
    rules=(
        *trunk_rules(("conv1", "bn1", "prelu"), "layer{i}.{j}", "trunk"),
        *head_rules("bn2", "fc", "features"),
    ),
    signature=("conv1.weight", "layer1.0.prelu.weight", "fc.weight"),
    build=_build,
)
