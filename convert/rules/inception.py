"""FID's Inception-v3: pt_inception-2015-12-05-6726825d.pth."""

from convert import mapping
from convert.family import Family, State
from sfe_jax.errors import UserError
from sfe_jax.models.inception import Inception

RULES = (
    mapping.Unused("fc.{*rest}", "FID reads the features below it"),
    mapping.Unused("AuxLogits.{*rest}", "a classifier used in training only"),
    mapping.Rule("{*unit}.conv", "{*unit}/conv", mapping.CONV),
    mapping.Rule("{*unit}.bn", "{*unit}/norm", mapping.BATCH_NORM),
)


def build(state: State) -> Inception:
  """The module with the width of the official tensors.

  Raises:
    UserError: the file is torchvision's, whose names and shapes are the same
      but whose features give another FID.
  """
  # Our own exports end below the classifier.
  classes = state["fc.weight"].shape[0] if "fc.weight" in state else 1008
  if classes != 1008:
    raise UserError(
        f"inception: fc.weight has {classes} classes, expected 1008; FID needs"
        " pt_inception-2015-12-05-6726825d.pth, not torchvision's inception_v3"
    )
  return Inception(width=state["Conv2d_1a_3x3.conv.weight"].shape[0])


FAMILY = Family(
    name="inception",
    rules=RULES,
    signature=(
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_7c.branch_pool.conv.weight",
    ),
    build=build,
)
