"""MoCo v2's ResNet-50: the query encoder of its training checkpoint."""

from collections.abc import Iterator

from sfe_jax.errors import UserError
from sfe_jax.models.resnet import ResNet50

from ..family import Family, count
from ..mapping import Entry, State, Unused, batch_norm, conv

_CLASSES = 1000


def _tensors(net: ResNet50) -> Iterator[Entry]:
  yield from conv("conv1", "conv1")
  yield from batch_norm("bn1", "norm1")
  for stage, depth in enumerate(net.depths, 1):
    for i in range(depth):
      theirs, ours = f"layer{stage}.{i}", f"block{stage}_{i}"
      for j in (1, 2, 3):
        yield from conv(f"{theirs}.conv{j}", f"{ours}/conv{j}")
        yield from batch_norm(f"{theirs}.bn{j}", f"{ours}/norm{j}")
      if i == 0:
        yield from conv(f"{theirs}.downsample.0", f"{ours}/conv_shortcut")
        yield from batch_norm(f"{theirs}.downsample.1", f"{ours}/norm_shortcut")
  yield Unused("fc.", "the projection head is used in MoCo's training only")


def _build(state: State) -> ResNet50:
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
          count(state, f"layer{stage}.{{}}.conv1.weight")
          for stage in range(1, 5)
      ),
      width=state["conv1.weight"].shape[0],
  )


FAMILY = Family(
    name="moco",
    signature=(
        "conv1.weight",
        "layer1.0.conv3.weight",
        "layer4.0.downsample.0.weight",
    ),
    build=_build,
    tensors=_tensors,
    container="state_dict/module.encoder_q.",
)
