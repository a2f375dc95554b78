"""LPIPS 0.1: torchvision's convolutions plus the lin weights of `lpips`.

The two official files are merged into one state: "features.N.*" from
torchvision's vgg16 or alexnet, "linK.model.1.weight" from LPIPS.
"""

import functools
from collections.abc import Iterator, Mapping

from sfe_jax.models.lpips import LPIPS

from ..family import Family
from ..mapping import Entry, State, Tensor, Unused, conv

# The number of each convolution in torchvision's `features`.
_NUMBERS: Mapping[str, Mapping[str, int]] = {
    "vgg": {
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
    },
    "alex": {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10},
}


def _tensors(net: LPIPS) -> Iterator[Entry]:
  for name, number in _NUMBERS[net.net].items():
    yield from conv(f"features.{number}", f"trunk/{name}", bias=True)
  for i in range(5):
    kernel = f"params/lin_{i}/kernel"
    yield Tensor(f"lin{i}.model.1.weight", kernel, "1 c 1 1 -> c 1")
  yield Unused("classifier.", "LPIPS reads the convolutions only")


def _build(state: State, net: str) -> LPIPS:
  return LPIPS(net=net, width=state["features.0.weight"].shape[0])


def _family(net: str, *numbers: int) -> Family:
  """The family of a network with these convolutions."""
  return Family(
      name=f"lpips_{net}",
      signature=(
          *(f"features.{number}.weight" for number in numbers),
          "lin0.model.1.weight",
      ),
      build=functools.partial(_build, net=net),
      tensors=_tensors,
  )


# VGG19 has no convolution 26, and VGG16 has none at 3 and 6.
VGG = _family("vgg", 0, 26, 28)
ALEX = _family("alex", 0, 3, 6)
