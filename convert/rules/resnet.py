"""MoCo v2's ResNet-50: the query encoder of its training checkpoint."""

from convert import mapping
from convert.family import Family, State, count
from sfe_jax.errors import UserError
from sfe_jax.models.resnet import ResNet50

_CLASSES = 1000

RULES = (
    mapping.Rule("conv1", "conv1", mapping.CONV),
    mapping.Rule("bn1", "norm1", mapping.BATCH_NORM),
    mapping.Rule("layer{s}.{i}.conv{j}", "block{s}_{i}/conv{j}", mapping.CONV),
    mapping.Rule(
        "layer{s}.{i}.bn{j}", "block{s}_{i}/norm{j}", mapping.BATCH_NORM
    ),
    mapping.Rule(
        "layer{s}.{i}.downsample.0", "block{s}_{i}/conv_shortcut", mapping.CONV
    ),
    mapping.Rule(
        "layer{s}.{i}.downsample.1",
        "block{s}_{i}/norm_shortcut",
        mapping.BATCH_NORM,
    ),
    mapping.Unused("fc.{*rest}", "the projection head serves MoCo's training"),
)


def build(state: State) -> ResNet50:
  """The module with the sizes of the official tensors.

  Raises:
    UserError: the file is torchvision's classifier, whose names are the same.
  """
  if len(state.get("fc.weight", ())) == _CLASSES:
    raise UserError(
        f"moco: fc.weight has {_CLASSES} classes: this is torchvision's"
        " resnet50; the loss needs moco_v2_800ep_pretrain.pt"
    )
  return ResNet50(
      depths=tuple(
          count(state, f"layer{s}.{{i}}.conv1.weight") for s in range(1, 5)
      ),
      width=state["conv1.weight"].shape[0],
  )


FAMILY = Family(
    name="moco",
    rules=RULES,
    signature=(
        "conv1.weight",
        "layer1.0.conv3.weight",
        "layer4.0.downsample.0.weight",
    ),
    build=build,
    container="state_dict/module.encoder_q.",
)
