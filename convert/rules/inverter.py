"""StyleFeatureEditor's own networks: Inverter and Feature Editor."""

from convert.family import Family, State, count
from convert.mapping import BATCH_NORM, CONV, LINEAR, PRELU, Rule, Tensor
from convert.rules.iresnet import trunk_rules
from sfe_jax.models.feature_editor import FeatureEditor
from sfe_jax.models.inverter import Inverter


def _fusion_rules(source: str, target: str) -> tuple[Rule, ...]:
  """Rules of a `FeatureFusion`, below official prefix `source`."""
  block = f"{source}body.{{i}}.body"
  ours = f"{target}/block{{i}}"
  return (
      Rule(f"{source}conv", f"{target}/conv", CONV),
      Rule(f"{block}.0", f"{ours}/bn1", BATCH_NORM),
      Rule(f"{block}.1", f"{ours}/conv1", CONV),
      Rule(f"{block}.2", f"{ours}/bn2", BATCH_NORM),
      Rule(f"{block}.3", f"{ours}/prelu", PRELU),
      Rule(f"{block}.4", f"{ours}/conv2", CONV),
      Rule(f"{block}.5", f"{ours}/bn3", BATCH_NORM),
  )


_CONTENT = "fs_backbone.content_layer"

INVERTER = (
    *trunk_rules(
        (
            "fs_backbone.conv.0",
            "fs_backbone.conv.1",
            "fs_backbone.conv.2",
        ),
        "fs_backbone.block_{i}.{j}",
        "backbone/trunk",
    ),
    Rule(f"{_CONTENT}.0", "backbone/content_bn1", BATCH_NORM),
    Rule(f"{_CONTENT}.1", "backbone/content_conv1", CONV),
    Rule(f"{_CONTENT}.2", "backbone/content_bn2", BATCH_NORM),
    Rule(f"{_CONTENT}.3", "backbone/content_prelu", PRELU),
    Rule(f"{_CONTENT}.4", "backbone/content_conv2", CONV),
    Rule(f"{_CONTENT}.5", "backbone/content_bn3", BATCH_NORM),
    Rule("fs_backbone.styles.{i}", "backbone/style{i}", LINEAR),
    *_fusion_rules("fuser.", "fuser"),
    Rule("latent_avg", "", (Tensor("", "buffers/backbone/w_avg"),)),
)

FEATURE_EDITOR = (
    *_fusion_rules("", "fusion"),
    # Cars only, of which no file is published: the names are ours.
    Rule("delta_block.bn{k}", "delta_block/bn{k}", BATCH_NORM),
    Rule("delta_block.conv{k}", "delta_block/conv{k}", CONV),
    Rule("delta_block.prelu", "delta_block/prelu", PRELU),
    Rule("delta_block.downsample.0", "delta_block/downsample_conv", CONV),
    Rule("delta_block.downsample.1", "delta_block/downsample_bn", BATCH_NORM),
)


def _build_inverter(state: State) -> Inverter:
  blocks = [f"fs_backbone.block_{i}" for i in range(1, 5)]
  fuser_depth = count(state, "fuser.body.{i}.body.1.weight")
  return Inverter(
      styles=count(state, "fs_backbone.styles.{i}.weight"),
      w_dim=state["fs_backbone.styles.0.weight"].shape[0],
      features=state[f"{_CONTENT}.1.weight"].shape[0],
      depths=tuple(count(state, f"{b}.{{i}}.conv1.weight") for b in blocks),
      widths=tuple(state[f"{b}.0.conv1.weight"].shape[0] for b in blocks),
      fuser_depth=fuser_depth or None,
  )


def _build_feature_editor(state: State) -> FeatureEditor:
  delta_conv = state.get("delta_block.conv1.weight")
  return FeatureEditor(
      features=state["conv.weight"].shape[0],
      depth=count(state, "body.{i}.body.1.weight"),
      delta_features=None if delta_conv is None else delta_conv.shape[1],
  )


INVERTER_FAMILY = Family(
    name="inverter",
    rules=INVERTER,
    signature=(
        "fs_backbone.conv.0.weight",
        "fs_backbone.styles.0.weight",
        f"{_CONTENT}.1.weight",
        *(f"fs_backbone.block_{i}.0.conv1.weight" for i in range(1, 5)),
    ),
    build=_build_inverter,
    container="state_dict/encoder.",
    with_w_avg=True,
)

FEATURE_EDITOR_FAMILY = Family(
    name="feature_editor",
    rules=FEATURE_EDITOR,
    signature=("conv.weight", "body.0.body.0.weight"),
    build=_build_feature_editor,
    container="state_dict/encoder.",
)
