"""StyleGAN2 discriminators: the NVIDIA (.pkl) and rosinality (.pt) layouts."""

from collections.abc import Iterator, Sequence

from sfe_jax.models.discriminator import Discriminator

from ..family import Family, count, dimension, up_to_last
from ..mapping import CONV, Constant, Entry, State, Tensor, conv, linear
from . import nvidia
from .stylegan2 import FIR

_NAME = "discriminator"


def _nvidia(d: Discriminator) -> Iterator[Entry]:
  for j in range(1, len(d.channels)):
    theirs, ours = f"b{4 << j}", f"block{4 << j}"
    yield from conv(f"{theirs}.conv0", f"{ours}/conv0", bias=True)
    yield from conv(f"{theirs}.conv1", f"{ours}/conv1", bias=True)
    yield from conv(f"{theirs}.skip", f"{ours}/skip")
    for layer in ("", "conv0.", "conv1.", "skip."):
      yield Constant(f"{theirs}.{layer}resample_filter", FIR)
  yield from conv(f"{theirs}.fromrgb", f"{ours}/from_rgb", bias=True)
  yield Constant(f"{theirs}.fromrgb.resample_filter", FIR)
  yield from conv("b4.conv", "block4/conv", bias=True)
  yield Constant("b4.conv.resample_filter", FIR)
  yield from linear("b4.fc", "block4/fc")
  yield from linear("b4.out", "block4/out")


def _build_nvidia(state: State) -> Discriminator:
  names = up_to_last(state, [f"b{8 << j}.conv0.weight" for j in range(16)])
  return _discriminator(state, "b4.conv.weight", names)


def _rosinality(d: Discriminator) -> Iterator[Entry]:
  """Here block 1 has the highest resolution."""
  blocks = len(d.channels) - 1
  yield from _activated("convs.0", f"block{d.resolution}/from_rgb")
  for i in range(blocks):
    theirs, ours = f"convs.{i + 1}", f"block{d.resolution >> i}"
    yield from _activated(f"{theirs}.conv1", f"{ours}/conv0")
    yield from _activated(f"{theirs}.conv2", f"{ours}/conv1", first=1)
    yield Constant(f"{theirs}.conv2.0.kernel", FIR)
    yield from conv(f"{theirs}.skip.1", f"{ours}/skip")
    yield Constant(f"{theirs}.skip.0.kernel", FIR)
  yield from _activated("final_conv", "block4/conv")
  yield from linear("final_linear.0", "block4/fc")
  yield from linear("final_linear.1", "block4/out")


def _activated(official: str, ours: str, first: int = 0) -> Iterator[Tensor]:
  """A convolution whose bias is stored with the activation after it."""
  kernel, bias = f"{official}.{first}.weight", f"{official}.{first + 1}.bias"
  yield Tensor(kernel, f"params/{ours}/kernel", CONV)
  yield Tensor(bias, f"params/{ours}/bias")


def _build_rosinality(state: State) -> Discriminator:
  blocks = count(state, "convs.{}.conv1.0.weight")
  convs = [f"convs.{i}.conv1.0.weight" for i in range(blocks, 0, -1)]
  return _discriminator(state, "final_conv.0.weight", convs)


def _discriminator(
    state: State, head: str, convs: Sequence[str]
) -> Discriminator:
  """Sizes from the head's convolution and one per block, smallest first."""
  channels = tuple(dimension(state, key, 0, _NAME) for key in (head, *convs))
  return Discriminator(
      resolution=4 << len(convs),
      channels=channels,
      mbstd_channels=dimension(state, head, 1, _NAME) - channels[0],
  )


FAMILY = Family(
    name=_NAME,
    signature=("b4.conv.weight", "b4.fc.weight", "b4.out.weight"),
    build=_build_nvidia,
    tensors=_nvidia,
    container="D/",
    options=nvidia.discriminator_options,
)

ROSINALITY_FAMILY = Family(
    name=_NAME,
    signature=(
        "convs.0.0.weight",
        "convs.1.conv1.0.weight",
        "final_conv.0.weight",
        "final_linear.1.weight",
    ),
    build=_build_rosinality,
    tensors=_rosinality,
    container="d/",
)
