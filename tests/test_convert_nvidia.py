"""What an NVIDIA pickle says of its networks besides their tensors."""

import functools
import logging
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from convert import export, importer
from convert.nvidia_pickle import ModuleState
from convert.rules import discriminator, nvidia, stylegan2
from sfe_jax.errors import UserError
from sfe_jax.models import formulations, layers
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from tests import official_files, tiny

GENERATOR = Generator(8, (6, 4), 16, 2)
DISCRIMINATOR = Discriminator(16, (6, 5, 4))
SQRT2 = math.sqrt(2)


def normal(*shape, seed=0):
  rng = np.random.RandomState(seed)
  return rng.standard_normal(shape).astype(np.float32)


def official(family, module):
  """Official tensors whose signals have the scale of trained networks'."""
  state = family.export(module, tiny.fill(module))
  state = {
      key: value if key.endswith("filter") else normal(*value.shape, seed=i)
      for i, (key, value) in enumerate(state.items())
  }
  average = state.pop("latent_avg", None)
  return state if average is None else state | {"mapping.w_avg": average[0]}


def write(path, g=None, d=None, d_state=None):
  """A pickle of a generator and a discriminator with these arguments."""
  g_state = official(stylegan2.NVIDIA_FAMILY, GENERATOR)
  d_state = d_state or official(discriminator.FAMILY, DISCRIMINATOR)
  official_files.write_nvidia_pickle(
      path,
      {
          "G_ema": ("Generator", g_state, g or {}),
          "D": ("Discriminator", d_state, d or {}),
      },
  )
  return d_state


def fir(x, padding, stride=1):
  """upfirdn2d with the filter [1, 3, 3, 1] x [1, 3, 3, 1] / 64."""
  c = x.shape[1]
  kernel = torch.from_numpy(stylegan2.FIR).repeat(c, 1, 1, 1)
  return F.conv2d(F.pad(x, [padding] * 4), kernel, stride=stride, groups=c)


def reference(state, images, group, limit):
  """stylegan2-ada's residual discriminator in PyTorch: logits (n,)."""
  tensors = {key: torch.from_numpy(value) for key, value in state.items()}

  def conv(x, name, gain=1.0, **kwargs):
    weight = tensors[f"{name}.weight"]
    weight = weight / math.sqrt(weight[0].numel())
    x = F.conv2d(x, weight, tensors[f"{name}.bias"], **kwargs)
    x = F.leaky_relu(x, 0.2) * (SQRT2 * gain)
    return x.clamp(-limit * gain, limit * gain)

  def skip(x, name):
    weight = tensors[f"{name}.weight"]
    return F.conv2d(fir(x, 1, 2), weight / math.sqrt(weight.shape[1]))

  def linear(x, name):
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return F.linear(x, weight / math.sqrt(weight.shape[1]), bias)

  x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
  x = conv(x, "b16.fromrgb")
  for block in ("b16", "b8"):
    y = skip(x, f"{block}.skip") * math.sqrt(0.5)
    x = fir(conv(x, f"{block}.conv0", padding=1), 2)
    x = y + conv(x, f"{block}.conv1", math.sqrt(0.5), stride=2)
  n, c, h, w = x.shape
  y = x.reshape(group, -1, c, h, w)
  y = (y.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
  y = y.reshape(-1, 1, 1, 1).repeat(group, 1, h, w)
  x = conv(torch.cat([x, y], 1), "b4.conv", padding=1)
  x = F.leaky_relu(linear(x.flatten(1), "b4.fc"), 0.2) * SQRT2
  return linear(x, "b4.out")[:, 0].numpy()


def test_discriminator_equals_stylegan2_ada(tmp_path):
  options = {"conv_clamp": 0.7, "epilogue_kwargs": {"mbstd_group_size": 8}}
  state = write(tmp_path / "a.pkl", d=options)
  importer.import_files([tmp_path / "a.pkl"], tmp_path / "weights")
  module, variables = weights.read(tmp_path / "weights" / "discriminator")
  assert module == DISCRIMINATOR.clone(conv_clamp=0.7, mbstd_group=8)
  images = normal(8, 16, 16, 3)
  images *= np.linspace(0.5, 2, 8, dtype=np.float32)[:, None, None, None]
  got = jax.jit(module.apply)(variables, images)
  want = reference(state, images, group=8, limit=0.7)
  np.testing.assert_allclose(got, want, atol=1e-5)
  for group, limit in ((4, 0.7), (8, math.inf)):
    other = reference(state, images, group, limit)
    assert np.abs(other - want).max() > 1e-4


def test_generator_clamps_convolutions_and_rgb(tmp_path):
  """As in stylegan2-ada: after the activation, and after toRGB's bias."""
  limit = 0.5
  write(tmp_path / "a.pkl", g={"synthesis_kwargs": {"conv_clamp": limit}})
  importer.import_files([tmp_path / "a.pkl"], tmp_path / "weights")
  module, variables = weights.read(tmp_path / "weights" / "generator")
  assert module == GENERATOR.clone(conv_clamp=limit)

  def layer_by_layer(module, w_plus):
    styles = module.affine(w_plus)
    x, image = jnp.broadcast_to(module.const, (2, 4, 4, 6)), 0
    for i in range(module.convs):
      x = module.conv[i](x, styles.conv[i], module._noise(i, 2, False))
      x = jnp.clip(x, -limit, limit)
      if i % 2 == 0:
        rgb = module.to_rgb[i // 2](x, styles.rgb[i // 2])
        image = image + jnp.clip(rgb, -limit, limit)
        image = formulations.upsample2x(image) if i == 0 else image
    return image

  def run(module, method):
    apply = functools.partial(module.apply, method=method)
    return jax.jit(apply)(variables, normal(2, 4, 16))

  want = run(GENERATOR, layer_by_layer)
  np.testing.assert_allclose(run(module, "synthesize"), want, atol=1e-6)
  unlimited = run(GENERATOR, "synthesize")
  assert np.abs(unlimited - want).max() > 0.1


def test_clamp_limits_gradients():
  gradient = jax.grad(lambda x: jnp.sum(layers.clamp(x, 1.0)))
  np.testing.assert_array_equal(
      gradient(jnp.array([-2.0, 0.5, 3.0])), [0, 1, 0]
  )


def test_options_survive_export_which_warns(tmp_path, caplog):
  write(
      tmp_path / "a.pkl",
      g={"synthesis_kwargs": {"conv_clamp": 256}},
      d={"conv_clamp": 128, "epilogue_kwargs": {"mbstd_group_size": 8}},
  )
  importer.import_files([tmp_path / "a.pkl"], tmp_path / "weights")
  assert not caplog.records
  export.export_folder(tmp_path / "weights", tmp_path / "official")
  for lost in (
      "generator: the official layout cannot hold conv_clamp 256.0;",
      "discriminator: the official layout cannot hold conv_clamp 128.0;",
      "discriminator: the official layout cannot hold mbstd_group 8;",
  ):
    assert lost in caplog.text
  assert len(caplog.records) == 3
  importer.import_files([tmp_path / "official"], tmp_path / "again")
  for name in ("generator", "discriminator"):
    want, got = (
        weights.module(tmp_path / folder / name)
        for folder in ("weights", "again")
    )
    assert got == want and got.conv_clamp


def test_equal_numbers_with_another_clamp_are_another_network(tmp_path, caplog):
  for name, limit in (("a", 256), ("b", 256), ("c", 128)):
    path = tmp_path / "src" / f"{name}.pkl"
    path.parent.mkdir(exist_ok=True)
    write(path, g={"synthesis_kwargs": {"conv_clamp": limit}})
  importer.import_files([tmp_path / "src"], tmp_path / "weights")
  found = {
      path.name: weights.module(path)
      for path in (tmp_path / "weights").glob("gen*")
  }
  assert {name: g.conv_clamp for name, g in found.items()} == {
      "generator": 256,
      "generator@c": 128,
  }
  assert "holds another generator" in caplog.text


def test_an_unsupported_discriminator_leaves_the_generator(tmp_path, caplog):
  state = official(discriminator.FAMILY, DISCRIMINATOR)
  orig = {key: x for key, x in state.items() if ".skip." not in key}
  write(tmp_path / "a.pkl", d_state=orig)
  with caplog.at_level(logging.WARNING, "absl"):
    importer.import_files([tmp_path / "a.pkl"], tmp_path / "weights")
  assert [p.name for p in (tmp_path / "weights").iterdir()] == ["generator"]
  (record,) = caplog.records
  want = "a.pkl: skipped D: discriminators with architecture 'orig' are not"
  assert want in record.message


def test_class_conditional_networks_are_named(tmp_path):
  g_state = official(stylegan2.NVIDIA_FAMILY, GENERATOR)
  g_state |= {
      "mapping.embed.weight": normal(16, 10),
      "mapping.embed.bias": normal(16),
      "mapping.fc0.weight": normal(16, 32),
  }
  for kwargs in ({}, {"c_dim": 10}):
    official_files.write_nvidia_pickle(
        tmp_path / "a.pkl", {"G_ema": ("Generator", g_state, kwargs)}
    )
    with pytest.raises(
        UserError,
        match=r"a.pkl: class-conditional generators \(c_dim > 0\) are not",
    ):
      importer.import_files([tmp_path / "a.pkl"], tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def _built(kwargs=None, args=(), tensor="b8.skip.weight"):
  module = ModuleState({tensor: normal(1)})
  module.init_args, module.init_kwargs = args, kwargs or {}
  return module


def test_arguments_given_by_position():
  group = {"mbstd_group_size": 2}
  args = (0, 16, 3, "resnet", 32768, 512, 4, 256, None, {}, {}, group)
  got = nvidia.discriminator_options(_built(args=args))
  assert got == {"conv_clamp": 256, "mbstd_group": 2}
  args = (16, 0, 16, 8, 3, {}, {"conv_clamp": 256})
  assert nvidia.generator_options(_built(args=args)) == {"conv_clamp": 256}
  with pytest.raises(UserError, match="class-conditional generators"):
    nvidia.generator_options(_built(args=(16, 7)))


@pytest.mark.parametrize(
    "options, network, message",
    (
        (
            nvidia.generator_options,
            _built({"synthesis_kwargs": {"architecture": "resnet"}}),
            "generators with architecture 'resnet' .* only 'skip'",
        ),
        (
            nvidia.generator_options,
            _built({"mapping_kwargs": {"lr_multiplier": 0.1}}),
            "generators with lr_multiplier 0.1 .* only 0.01",
        ),
        (
            nvidia.generator_options,
            _built({"synthesis_kwargs": {"conv_clamp": "x"}}),
            "conv_clamp must be a number above 0, got 'x'",
        ),
        (
            nvidia.discriminator_options,
            _built({"conv_clamp": -1}),
            "conv_clamp must be a number above 0, got -1",
        ),
        (
            nvidia.discriminator_options,
            _built({"architecture": "skip"}),
            "discriminators with architecture 'skip' .* only 'resnet'",
        ),
        (
            nvidia.discriminator_options,
            _built(tensor="b4.fromrgb.weight"),
            "discriminators with architecture 'skip' .* only 'resnet'",
        ),
        (
            nvidia.discriminator_options,
            _built({"c_dim": 10}),
            r"class-conditional discriminators \(c_dim > 0\) are not supported",
        ),
        (
            nvidia.discriminator_options,
            _built({"block_kwargs": {"activation": "relu"}}),
            "discriminators with activation 'relu' .* only 'lrelu'",
        ),
        (
            nvidia.discriminator_options,
            _built({"epilogue_kwargs": {"mbstd_group_size": None}}),
            "mbstd_group_size None .* are not supported",
        ),
        (
            nvidia.discriminator_options,
            _built({"epilogue_kwargs": {"mbstd_group_size": 0}}),
            "mbstd_group_size must be 1 or more, got 0",
        ),
    ),
)
def test_other_options_are_not_ignored(options, network, message):
  with pytest.raises(UserError, match=message):
    options(network)
