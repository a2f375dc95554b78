"""StyleFeatureEditor's own networks: Inverter and Feature Editor."""

from collections.abc import Iterator

from sfe_jax.models.feature_editor import FeatureEditor
from sfe_jax.models.inverter import Inverter

from ..family import Family, count
from ..mapping import Entry, State, Tensor, batch_norm, conv, linear, prelu
from .iresnet import residual_block, trunk

_BACKBONE = "fs_backbone"
_CONTENT = f"{_BACKBONE}.content_layer"


def _sequence(official: str, ours: str) -> Iterator[Entry]:
  """Norm, conv, norm, PReLU, conv, norm, which files number from 0."""
  yield from batch_norm(f"{official}.0", f"{ours}bn1")
  yield from conv(f"{official}.1", f"{ours}conv1")
  yield from batch_norm(f"{official}.2", f"{ours}bn2")
  yield from prelu(f"{official}.3", f"{ours}prelu")
  yield from conv(f"{official}.4", f"{ours}conv2")
  yield from batch_norm(f"{official}.5", f"{ours}bn3")


def _fusion(official: str, ours: str, depth: int) -> Iterator[Entry]:
  """Entries of a `FeatureFusion` with the official prefix `official`."""
  yield from conv(f"{official}conv", f"{ours}/conv", bias=True)
  for i in range(depth):
    yield from _sequence(f"{official}body.{i}.body", f"{ours}/block{i}/")


def _inverter(net: Inverter) -> Iterator[Entry]:
  stem = [f"{_BACKBONE}.conv.{i}" for i in range(3)]
  block = f"{_BACKBONE}.block_{{i}}.{{j}}"
  yield from trunk(net.depths, stem, block, "backbone/trunk")
  yield from _sequence(_CONTENT, "backbone/content_")
  for i in range(net.styles):
    yield from linear(f"{_BACKBONE}.styles.{i}", f"backbone/style{i}")
  if net.fuser_depth is not None:
    yield from _fusion("fuser.", "fuser", net.fuser_depth)
  yield Tensor("latent_avg", "buffers/backbone/w_avg")


def _build_inverter(state: State) -> Inverter:
  blocks = [f"{_BACKBONE}.block_{i}" for i in range(1, 5)]
  fuser_depth = count(state, "fuser.body.{}.body.1.weight")
  return Inverter(
      styles=count(state, f"{_BACKBONE}.styles.{{}}.weight"),
      w_dim=state[f"{_BACKBONE}.styles.0.weight"].shape[0],
      features=state[f"{_CONTENT}.1.weight"].shape[0],
      depths=tuple(count(state, f"{b}.{{}}.conv1.weight") for b in blocks),
      widths=tuple(state[f"{b}.0.conv1.weight"].shape[0] for b in blocks),
      fuser_depth=fuser_depth or None,
  )


def _feature_editor(net: FeatureEditor) -> Iterator[Entry]:
  yield from _fusion("", "fusion", net.depth)
  if net.delta_features is not None:
    # Cars only.  No such file is published, so these names are ours.
    yield from residual_block("delta_block", "delta_block", downsample=True)


def _build_feature_editor(state: State) -> FeatureEditor:
  delta_conv = state.get("delta_block.conv1.weight")
  return FeatureEditor(
      features=state["conv.weight"].shape[0],
      depth=count(state, "body.{}.body.1.weight"),
      delta_features=None if delta_conv is None else delta_conv.shape[1],
  )


INVERTER_FAMILY = Family(
    name="inverter",
    signature=(
        f"{_BACKBONE}.conv.0.weight",
        f"{_BACKBONE}.styles.0.weight",
        f"{_CONTENT}.1.weight",
        *(f"{_BACKBONE}.block_{i}.0.conv1.weight" for i in range(1, 5)),
    ),
    build=_build_inverter,
    tensors=_inverter,
    container="state_dict/encoder.",
    with_w_avg=True,
)

FEATURE_EDITOR_FAMILY = Family(
    name="feature_editor",
    signature=("conv.weight", "body.0.body.0.weight"),
    build=_build_feature_editor,
    tensors=_feature_editor,
    container="state_dict/encoder.",
)
