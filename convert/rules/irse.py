"""Identity networks: ArcFace IR-SE50 and CurricularFace IR-101 files."""

import itertools

from convert.family import Family, State, count, dimension
from convert.mapping import BATCH_NORM, CONV, PRELU, Rule, Tensor
from convert.rules.iresnet import head_rules, input_size
from sfe_jax.errors import UserError
from sfe_jax.models.irse import ArcFace

_DENSE_1X1 = (Tensor("weight", "params/kernel", "o i 1 1 -> i o"),)
_BLOCK, _LAYER = "trunk/block{i}", "body.{i}.res_layer"

TRUNK = (
    Rule("input_layer.0", "trunk/stem_conv", CONV),
    Rule("input_layer.1", "trunk/stem_bn", BATCH_NORM),
    Rule("input_layer.2", "trunk/stem_prelu", PRELU),
    Rule(f"{_LAYER}.0", f"{_BLOCK}/bn1", BATCH_NORM),
    Rule(f"{_LAYER}.1", f"{_BLOCK}/conv1", CONV),
    Rule(f"{_LAYER}.2", f"{_BLOCK}/prelu", PRELU),
    Rule(f"{_LAYER}.3", f"{_BLOCK}/conv2", CONV),
    Rule(f"{_LAYER}.4", f"{_BLOCK}/bn2", BATCH_NORM),
    Rule(f"{_LAYER}.5.fc1", f"{_BLOCK}/se/squeeze", _DENSE_1X1),
    Rule(f"{_LAYER}.5.fc2", f"{_BLOCK}/se/excite", _DENSE_1X1),
    Rule("body.{i}.shortcut_layer.0", f"{_BLOCK}/shortcut_conv", CONV),
    Rule("body.{i}.shortcut_layer.1", f"{_BLOCK}/shortcut_bn", BATCH_NORM),
)


def trunk_sizes(
    state: State, what: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """(depths, widths) of an `IRTrunk`; a stage is a run of equal widths.

  Raises:
    UserError: the trunk does not have four stages.
  """
  blocks = count(state, "body.{i}.res_layer.1.weight")
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


_RULES = (
    *TRUNK,
    *head_rules("output_layer.0", "output_layer.3", "output_layer.4"),
)

ARCFACE_FAMILY = Family(
    name="arcface",
    rules=_RULES,
    signature=("output_layer.4.weight", "body.0.res_layer.5.fc1.weight"),
    build=_build,
)

CURRICULARFACE_FAMILY = Family(
    name="curricularface",
    rules=_RULES,
    # Only an IR-101 has so many blocks.
    signature=("output_layer.3.weight", "body.48.res_layer.0.weight"),
    build=_build,
)
