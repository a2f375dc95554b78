"""StyleGAN2 generators: the rosinality (.pt) and NVIDIA (.pkl) layouts."""

import numpy as np

from convert.family import Family, State, count, dimension
from convert.mapping import LINEAR, Constant, Rule, Tensor
from sfe_jax.models.stylegan2 import Generator

_NAME = "generator"
_FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
_UP_KERNEL = Constant("kernel", _FIR * 4)
_FILTER = Constant("resample_filter", _FIR)

_STYLE_CONV = (
    Tensor("conv.weight", "params/kernel", "1 o i h w -> h w i o"),
    Tensor("noise.weight", "params/noise_strength", "1 ->"),
    Tensor("activate.bias", "params/bias"),
)
_UP_STYLE_CONV = (*_STYLE_CONV, Constant("conv.blur.kernel", _FIR * 4))
_TO_RGB = (
    Tensor("conv.weight", "params/kernel", "1 o i 1 1 -> i o"),
    Tensor("bias", "params/bias", "1 c 1 1 -> c"),
)
_NOISE = "1 1 h w -> h w"
_W_AVG = Rule("latent_avg", "", (Tensor("", "buffers/w_avg"),))

ROSINALITY = (
    Rule("style.{i+1}", "mapping_fc{i}", LINEAR),
    Rule(
        "input",
        "",
        (Tensor("input", "params/const", "1 c h w -> h w c"),),
    ),
    Rule("conv1.conv.modulation", "conv0/affine", LINEAR),
    Rule("conv1", "conv0", _STYLE_CONV),
    Rule("convs.{i}.conv.modulation", "conv{i+1}/affine", LINEAR),
    Rule("convs.{2i}", "conv{2i+1}", _UP_STYLE_CONV),
    Rule("convs.{2i+1}", "conv{2i+2}", _STYLE_CONV),
    Rule("to_rgb1.conv.modulation", "to_rgb0/affine", LINEAR),
    Rule("to_rgb1", "to_rgb0", _TO_RGB),
    Rule("to_rgbs.{i}.conv.modulation", "to_rgb{i+1}/affine", LINEAR),
    Rule(
        "to_rgbs.{i}",
        "to_rgb{i+1}",
        (*_TO_RGB, _UP_KERNEL._replace(source="upsample.kernel")),
    ),
    Rule("noises.noise_{i}", "noise_{i}", (Tensor("", "buffers/", _NOISE),)),
    _W_AVG,
)


def _build(state: State) -> Generator:
  """Sizes of a rosinality generator."""
  blocks = count(state, "to_rgbs.{i}.bias") + 1
  names = ["to_rgb1", *(f"to_rgbs.{i}" for i in range(blocks - 1))]
  return _generator(
      [dimension(state, f"{name}.conv.weight", 2, _NAME) for name in names],
      dimension(state, "style.1.weight", 0, _NAME),
      count(state, "style.{i}.weight"),
  )


def _generator(widths, w_dim, mapping_layers) -> Generator:
  resolution = 4 * 2 ** (len(widths) - 1)
  return Generator(resolution, tuple(widths), w_dim, mapping_layers)


def _nvidia_layer(source: str, index: int) -> list[Rule]:
  tensors = (
      Tensor("weight", "params/kernel", "o i h w -> h w i o"),
      Tensor("noise_strength", "params/noise_strength"),
      Tensor("bias", "params/bias"),
      _FILTER,
  )
  noise = (Tensor("noise_const", f"buffers/noise_{index}"),)
  return [
      Rule(f"{source}.affine", f"conv{index}/affine", LINEAR),
      Rule(source, f"conv{index}", tensors),
      Rule(source, "", noise),
  ]


def _nvidia_block(j: int) -> list[Rule]:
  """NVIDIA names layers by resolution, we number them."""
  block = f"synthesis.b{4 * 2**j}"
  to_rgb = (
      Tensor("weight", "params/kernel", "o i 1 1 -> i o"),
      Tensor("bias", "params/bias"),
  )
  return [
      *(_nvidia_layer(f"{block}.conv0", 2 * j - 1) if j else ()),
      *_nvidia_layer(f"{block}.conv1", 2 * j),
      Rule(f"{block}.torgb.affine", f"to_rgb{j}/affine", LINEAR),
      Rule(f"{block}.torgb", f"to_rgb{j}", to_rgb),
      Rule(block, "", (_FILTER,)),
  ]


_MAX_BLOCKS = 10  # 2048 pixels

NVIDIA = (
    Rule("mapping.fc{i}", "mapping_fc{i}", LINEAR),
    Rule(
        "synthesis.b4",
        "",
        (Tensor("const", "params/const", "c h w -> h w c"),),
    ),
    *(rule for j in range(_MAX_BLOCKS) for rule in _nvidia_block(j)),
    _W_AVG,
)


def _build_nvidia(state: State) -> Generator:
  """Sizes of an NVIDIA generator."""
  blocks = count(state, "synthesis.b{i}.torgb.bias")
  names = [f"synthesis.b{4 * 2**j}.torgb.weight" for j in range(blocks)]
  return _generator(
      [dimension(state, name, 1, _NAME) for name in names],
      dimension(state, "mapping.fc0.weight", 0, _NAME),
      count(state, "mapping.fc{i}.weight"),
  )


FAMILY = Family(
    name=_NAME,
    rules=ROSINALITY,
    signature=("style.1.weight", "conv1.conv.weight", "to_rgb1.conv.weight"),
    build=_build,
    container="g_ema/",
    with_w_avg=True,
)

NVIDIA_FAMILY = Family(
    name=_NAME,
    rules=NVIDIA,
    signature=("synthesis.b4.const", "mapping.fc0.weight"),
    build=_build_nvidia,
    container="g_ema/",
    with_w_avg=True,
)
