"""StyleGAN2 discriminators: the NVIDIA (.pkl) and rosinality (.pt) layouts."""

import numpy as np

from convert.family import Family, State, count, dimension
from convert.mapping import CONV, LINEAR, Constant, Rule, Tensor
from sfe_jax.models.discriminator import Discriminator

_NAME = "discriminator"
_FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
_FILTER = Constant("resample_filter", _FIR)
_KERNEL = Tensor("weight", "params/kernel", "o i h w -> h w i o")

NVIDIA = (
    Rule("b{r}.fromrgb", "block{r}/from_rgb", (*CONV, _FILTER)),
    Rule("b{r}.conv0", "block{r}/conv0", (*CONV, _FILTER)),
    Rule("b{r}.conv1", "block{r}/conv1", (*CONV, _FILTER)),
    Rule(
        "b{r}",
        "block{r}/skip",
        (
            _KERNEL._replace(source="skip.weight"),
            Constant("skip.resample_filter", _FIR),
            _FILTER,
        ),
    ),
    Rule("b4.conv", "block4/conv", (*CONV, _FILTER)),
    Rule("b4.fc", "block4/fc", LINEAR),
    Rule("b4.out", "block4/out", LINEAR),
)


def _discriminator(state: State, head: str, convs: list[str]) -> Discriminator:
  """Sizes from the head's convolution and one per block, smallest first."""
  channels = tuple(dimension(state, key, 0, _NAME) for key in (head, *convs))
  return Discriminator(
      resolution=4 << len(convs),
      channels=channels,
      mbstd_channels=dimension(state, head, 1, _NAME) - channels[0],
  )


def _build_nvidia(state: State) -> Discriminator:
  blocks = count(state, "b{r}.conv0.weight")
  convs = [f"b{8 << i}.conv0.weight" for i in range(blocks)]
  return _discriminator(state, "b4.conv.weight", convs)


FAMILY = Family(
    name=_NAME,
    rules=NVIDIA,
    signature=("b4.conv.weight", "b4.fc.weight", "b4.out.weight"),
    build=_build_nvidia,
    container="D/",
)


def _rosinality_block(number: int, resolution: int) -> tuple[Rule, ...]:
  """Block 1 is the largest there, while ours are named by resolution."""
  theirs, ours = f"convs.{number}", f"block{resolution}"
  conv1 = (
      _KERNEL._replace(source="1.weight"),
      Tensor("2.bias", "params/bias"),
      Constant("0.kernel", _FIR),
  )
  skip = (_KERNEL._replace(source="1.weight"), Constant("0.kernel", _FIR))
  return (
      _activated(f"{theirs}.conv1", f"{ours}/conv0"),
      Rule(f"{theirs}.conv2", f"{ours}/conv1", conv1),
      Rule(f"{theirs}.skip", f"{ours}/skip", skip),
  )


def _activated(source: str, target: str) -> Rule:
  """A convolution whose bias belongs to the activation after it."""
  bias = Tensor("1.bias", "params/bias")
  return Rule(source, target, (_KERNEL._replace(source="0.weight"), bias))


def _build_rosinality(state: State) -> Discriminator:
  blocks = count(state, "convs.{i}.conv1.0.weight")
  convs = [f"convs.{i}.conv1.0.weight" for i in range(blocks, 0, -1)]
  return _discriminator(state, "final_conv.0.weight", convs)


def _rosinality(blocks: int) -> Family:
  """The layout depends on the number of blocks, so each has its family."""
  resolution = 4 << blocks
  rules = (
      _activated("convs.0", f"block{resolution}/from_rgb"),
      *(
          rule
          for i in range(blocks)
          for rule in _rosinality_block(i + 1, resolution >> i)
      ),
      _activated("final_conv", "block4/conv"),
      Rule("final_linear.0", "block4/fc", LINEAR),
      Rule("final_linear.1", "block4/out", LINEAR),
  )
  return Family(
      name=_NAME,
      rules=rules,
      signature=(
          "convs.0.0.weight",
          f"convs.{blocks}.conv1.0.weight",
          "final_conv.0.weight",
          "final_linear.1.weight",
      ),
      build=_build_rosinality,
      container="d/",
  )


# Largest first: the first family that recognises a file is the right one.
ROSINALITY_FAMILIES = tuple(_rosinality(blocks) for blocks in range(9, 0, -1))
