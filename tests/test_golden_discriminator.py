"""The discriminator against the official code, in both official layouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.rules import discriminator as rules
from sfe_jax.errors import UserError
from sfe_jax.models.discriminator import Discriminator, minibatch_std
from sfe_jax.models.stylegan2 import default_channels
from sfe_jax.storage import weights
from tests import golden_data as golden

TOLERANCE = 1e-4
R1_TOLERANCE = 1e-3


def rosinality(state):
  """The same weights in the layout of a rosinality checkpoint."""
  fir = state["b8.resample_filter"]
  resolution = 4 << sum(key.endswith("conv0.weight") for key in state)
  out = {
      "convs.0.0.weight": state[f"b{resolution}.fromrgb.weight"],
      "convs.0.1.bias": state[f"b{resolution}.fromrgb.bias"],
  }
  number = 1
  while resolution > 4:
    ours, theirs = f"b{resolution}", f"convs.{number}"
    out |= {
        f"{theirs}.conv1.0.weight": state[f"{ours}.conv0.weight"],
        f"{theirs}.conv1.1.bias": state[f"{ours}.conv0.bias"],
        f"{theirs}.conv2.0.kernel": fir,
        f"{theirs}.conv2.1.weight": state[f"{ours}.conv1.weight"],
        f"{theirs}.conv2.2.bias": state[f"{ours}.conv1.bias"],
        f"{theirs}.skip.0.kernel": fir,
        f"{theirs}.skip.1.weight": state[f"{ours}.skip.weight"],
    }
    number, resolution = number + 1, resolution // 2
  return out | {
      "final_conv.0.weight": state["b4.conv.weight"],
      "final_conv.1.bias": state["b4.conv.bias"],
      "final_linear.0.weight": state["b4.fc.weight"],
      "final_linear.0.bias": state["b4.fc.bias"],
      "final_linear.1.weight": state["b4.out.weight"],
      "final_linear.1.bias": state["b4.out.bias"],
  }


def r1(module, variables, images):
  """Squared gradient norm of the logits per image, mean over the batch."""
  gradient = jax.grad(lambda x: jnp.sum(module.apply(variables, x)))(images)
  return jnp.mean(jnp.sum(jnp.square(gradient), (1, 2, 3)))


@pytest.mark.parametrize("size", (32, 256, 1024))
def test_discriminator(size):
  name = f"stylegan2_ada_d_{size}"
  want = golden.expected(name)
  module, converted = rules.FAMILY.convert(golden.state(name))
  assert module == Discriminator(size, default_channels(size))
  images = golden.image(want["image_seed"], size, 4)
  logits = jax.jit(module.apply)(converted.variables, images)
  assert logits.dtype == jnp.float32
  golden.check(f"{name} logits", logits, want["logits"][:, 0], TOLERANCE)
  if np.isfinite(want["r1"]):
    got = jax.jit(r1, static_argnums=0)(module, converted.variables, images)
    golden.check(f"{name} r1", got, want["r1"], R1_TOLERANCE)


def test_two_groups():
  want = golden.expected("stylegan2_ada_d_32_batch8")
  module, converted = rules.FAMILY.convert(golden.state("stylegan2_ada_d_32"))
  scale = np.linspace(0.2, 1, 8, dtype=np.float32)[:, None, None, None]
  images = golden.image(want["image_seed"], 32, 8) * scale
  logits = jax.jit(module.apply)(converted.variables, images)
  golden.check(
      "stylegan2_ada_d_32_batch8", logits, want["logits"][:, 0], TOLERANCE
  )


def test_rosinality_layout():
  state = golden.state("stylegan2_ada_d_32")
  module, nvidia = rules.FAMILY.convert(state)
  theirs = rosinality(state)
  family = rules.ROSINALITY_FAMILY
  assert family.recognises(theirs) and not rules.FAMILY.recognises(theirs)
  same_module, converted = family.convert(theirs)
  assert same_module == module
  jax.tree.map(
      np.testing.assert_array_equal, converted.variables, nvidia.variables
  )
  exported = family.export(module, converted.variables)
  assert exported.keys() == theirs.keys()
  for key, value in theirs.items():
    np.testing.assert_array_equal(exported[key], value, key)


def test_export_is_bit_exact():
  state = golden.state("stylegan2_ada_d_32")
  module, converted = rules.FAMILY.convert(state)
  assert not converted.unused
  exported = rules.FAMILY.export(module, converted.variables)
  assert exported.keys() == state.keys()
  for key, value in state.items():
    np.testing.assert_array_equal(exported[key], value, key)


def test_missing_tensor_is_named():
  state = golden.state("stylegan2_ada_d_32")
  del state["b16.conv0.weight"]
  with pytest.raises(UserError, match=r"b\d+\.conv0\.weight"):
    rules.FAMILY.convert(state)


def test_bfloat16_gives_float32_logits_near_the_others():
  sizes = {"resolution": 16, "channels": (8, 6, 4)}
  module = Discriminator(**sizes)
  variables = weights.init(module, jax.random.key(0))
  images = golden.image(0, 16, 4)
  half = Discriminator(**sizes, dtype=jnp.bfloat16)
  want = jax.jit(module.apply)(variables, images)
  got = jax.jit(half.apply)(variables, images)
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, want, atol=0.05 * np.abs(want).max())
  assert np.any(got != want)


def test_group_members_lie_apart_and_batch_must_divide():
  x = np.zeros((8, 4, 4, 2), np.float32)
  x[::2] = np.arange(4)[:, None, None, None]  # the group of samples 0, 2, 4, 6
  std = minibatch_std(jnp.asarray(x), group=4, channels=1)[:, 0, 0, 2]
  spread = np.std(np.arange(4))
  np.testing.assert_allclose(std, [spread, 1e-4] * 4, rtol=1e-6)
  with pytest.raises(ValueError, match=r"divisible.*min\(4, n\), got n = 6"):
    minibatch_std(jnp.zeros((6, 4, 4, 2)), group=4, channels=1)


@pytest.mark.parametrize(
    "module, shape, message",
    (
        (Discriminator(16, (4, 4)), (1, 16, 16, 3), "got 2 for resolution 16"),
        (Discriminator(8, (4, 4)), (1, 16, 16, 3), r"got \(1, 16, 16, 3\)"),
    ),
)
def test_wrong_sizes(module, shape, message):
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))


def test_shapes_at_2048():
  module = Discriminator(2048, default_channels(2048))
  variables = weights.abstract(module)
  images = jax.ShapeDtypeStruct((4, 2048, 2048, 3), jnp.float32)
  assert jax.eval_shape(module.apply, variables, images).shape == (4,)
