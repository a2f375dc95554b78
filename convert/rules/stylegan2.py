"""StyleGAN2 generators: the rosinality (.pt) and NVIDIA (.pkl) layouts."""

from collections.abc import Iterator

import numpy as np

from sfe_jax.models.stylegan2 import Generator

from ..family import Family, count, dimension, up_to_last
from ..mapping import CONV, Constant, Entry, State, Tensor, linear
from . import nvidia

_NAME = "generator"
# The low-pass filter of up- and downsampling; its sum is 1.
FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64


def _rosinality(g: Generator) -> Iterator[Entry]:
  for i in range(g.mapping_layers):
    yield from linear(f"style.{i + 1}", f"mapping_fc{i}")
  yield Tensor("input.input", "params/const", "1 c h w -> h w c")
  for i in range(g.convs):
    ours = f"conv{i}"
    layer = f"convs.{i - 1}" if i else "conv1"
    kernel = "1 o i h w -> h w i o"
    yield from linear(f"{layer}.conv.modulation", f"{ours}/affine")
    yield Tensor(f"{layer}.conv.weight", f"params/{ours}/kernel", kernel)
    yield Tensor(f"{layer}.activate.bias", f"params/{ours}/bias")
    noise = f"params/{ours}/noise_strength"
    yield Tensor(f"{layer}.noise.weight", noise, "1 ->")
    yield Tensor(f"noises.noise_{i}", f"buffers/noise_{i}", "1 1 h w -> h w")
    if i % 2:  # This convolution doubles the resolution.
      yield Constant(f"{layer}.conv.blur.kernel", 4 * FIR)
  for j in range(g.blocks):
    ours = f"to_rgb{j}"
    layer = f"to_rgbs.{j - 1}" if j else "to_rgb1"
    kernel = "1 o i 1 1 -> i o"
    yield from linear(f"{layer}.conv.modulation", f"{ours}/affine")
    yield Tensor(f"{layer}.conv.weight", f"params/{ours}/kernel", kernel)
    yield Tensor(f"{layer}.bias", f"params/{ours}/bias", "1 c 1 1 -> c")
    if j:
      yield Constant(f"{layer}.upsample.kernel", 4 * FIR)
  yield Tensor("latent_avg", "buffers/w_avg")


def _build_rosinality(state: State) -> Generator:
  blocks = count(state, "to_rgbs.{}.bias") + 1
  names = ["to_rgb1", *(f"to_rgbs.{i}" for i in range(blocks - 1))]
  return _generator(
      [dimension(state, f"{name}.conv.weight", 2, _NAME) for name in names],
      dimension(state, "style.1.weight", 0, _NAME),
      count(state, "style.{}.weight"),
  )


def _generator(
    widths: list[int], w_dim: int, mapping_layers: int
) -> Generator:
  resolution = 4 << (len(widths) - 1)
  return Generator(resolution, tuple(widths), w_dim, mapping_layers)


def _nvidia(g: Generator) -> Iterator[Entry]:
  """NVIDIA names layers by their resolution, we number them."""
  for i in range(g.mapping_layers):
    yield from linear(f"mapping.fc{i}", f"mapping_fc{i}")
  yield Tensor("synthesis.b4.const", "params/const", "c h w -> h w c")
  for i in range(g.convs):
    ours = f"conv{i}"
    layer = f"synthesis.b{g.size_of(i + 1)}.conv{0 if i % 2 else 1}"
    yield from linear(f"{layer}.affine", f"{ours}/affine")
    yield Tensor(f"{layer}.weight", f"params/{ours}/kernel", CONV)
    yield Tensor(f"{layer}.bias", f"params/{ours}/bias")
    yield Tensor(f"{layer}.noise_strength", f"params/{ours}/noise_strength")
    yield Tensor(f"{layer}.noise_const", f"buffers/noise_{i}")
    yield Constant(f"{layer}.resample_filter", FIR)
  for j in range(g.blocks):
    ours, block = f"to_rgb{j}", f"synthesis.b{4 << j}"
    kernel = f"params/{ours}/kernel"
    yield from linear(f"{block}.torgb.affine", f"{ours}/affine")
    yield Tensor(f"{block}.torgb.weight", kernel, "o i 1 1 -> i o")
    yield Tensor(f"{block}.torgb.bias", f"params/{ours}/bias")
    yield Constant(f"{block}.resample_filter", FIR)
  yield Tensor("latent_avg", "buffers/w_avg")


def _build_nvidia(state: State) -> Generator:
  names = up_to_last(
      state, [f"synthesis.b{4 << j}.torgb.weight" for j in range(16)]
  )
  return _generator(
      [dimension(state, name, 1, _NAME) for name in names],
      dimension(state, "mapping.fc0.weight", 0, _NAME),
      count(state, "mapping.fc{}.weight"),
  )


FAMILY = Family(
    name=_NAME,
    signature=("style.1.weight", "conv1.conv.weight", "to_rgb1.conv.weight"),
    build=_build_rosinality,
    tensors=_rosinality,
    container="g_ema/",
    with_w_avg=True,
)

NVIDIA_FAMILY = Family(
    name=_NAME,
    signature=("synthesis.b4.const", "mapping.fc0.weight"),
    build=_build_nvidia,
    tensors=_nvidia,
    container="g_ema/",
    with_w_avg=True,
    options=nvidia.generator_options,
)
