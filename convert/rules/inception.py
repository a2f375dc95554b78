"""FID's Inception-v3: pt_inception-2015-12-05-6726825d.pth."""

from collections.abc import Iterator

from sfe_jax.errors import UserError
from sfe_jax.models.inception import Inception

from ..family import Family, abstract
from ..mapping import Entry, State, Unused, batch_norm, conv, flatten

_CLASSES = 1008


def _tensors(net: Inception) -> Iterator[Entry]:
  """Our units have the official names."""
  leaf = "/conv/kernel"
  for path in flatten(abstract(net)["params"]):
    if path.endswith(leaf):
      ours = path.removesuffix(leaf)
      theirs = ours.replace("/", ".")
      yield from conv(f"{theirs}.conv", f"{ours}/conv")
      yield from batch_norm(f"{theirs}.bn", f"{ours}/norm")
  yield Unused("fc.", "FID reads the features below the classifier")
  yield Unused("AuxLogits.", "this classifier is used in training only")


def _build(state: State) -> Inception:
  """The module with the width of the official tensors.

  Raises:
    UserError: the file is torchvision's, whose names and shapes are the same
      but whose features give another FID.
  """
  # Our own exports have no classifier.
  classes = len(state["fc.weight"]) if "fc.weight" in state else _CLASSES
  if classes != _CLASSES:
    raise UserError(
        f"inception: fc.weight has {classes} classes, expected {_CLASSES}; FID"
        " needs pt_inception-2015-12-05-6726825d.pth, not torchvision's"
        " inception_v3"
    )
  return Inception(width=state["Conv2d_1a_3x3.conv.weight"].shape[0])


FAMILY = Family(
    name="inception",
    signature=(
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_7c.branch_pool.conv.weight",
    ),
    build=_build,
    tensors=_tensors,
)
