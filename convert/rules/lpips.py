"""LPIPS 0.1: torchvision's convolutions plus the lin weights of `lpips`.

The two official files are merged into one state: "features.N.*" from
torchvision's vgg16 or alexnet, "linK.model.1.weight" from LPIPS.
"""

import functools

from convert import mapping
from convert.family import Family, State
from sfe_jax.models.lpips import LPIPS

LIN = (mapping.Tensor("model.1.weight", "params/kernel", "1 c 1 1 -> c 1"),)

_VGG = {
    "conv1_1": 0,
    "conv1_2": 2,
    "conv2_1": 5,
    "conv2_2": 7,
    "conv3_1": 10,
    "conv3_2": 12,
    "conv3_3": 14,
    "conv4_1": 17,
    "conv4_2": 19,
    "conv4_3": 21,
    "conv5_1": 24,
    "conv5_2": 26,
    "conv5_3": 28,
}
_ALEX = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}


def _rules(convs: dict[str, int]) -> tuple[mapping.Rule | mapping.Unused, ...]:
  return (
      *(
          mapping.Rule(f"features.{n}", f"trunk/{name}", mapping.CONV)
          for name, n in convs.items()
      ),
      mapping.Rule("lin{i}", "lin_{i}", LIN),
      mapping.Unused("classifier.{*rest}", "LPIPS stops at the convolutions"),
  )


def build(state: State, net: str) -> LPIPS:
  """The module with the width of the official tensors."""
  return LPIPS(net=net, width=state["features.0.weight"].shape[0])


# VGG19 has no convolution 26 and VGG16 none at 3 and 6.
VGG = Family(
    name="lpips_vgg",
    rules=_rules(_VGG),
    signature=(
        "features.0.weight",
        "features.26.weight",
        "features.28.weight",
        "lin0.model.1.weight",
    ),
    build=functools.partial(build, net="vgg"),
)
ALEX = Family(
    name="lpips_alex",
    rules=_rules(_ALEX),
    signature=(
        "features.0.weight",
        "features.3.weight",
        "features.6.weight",
        "lin0.model.1.weight",
    ),
    build=functools.partial(build, net="alex"),
)
