"""Face embedders and e4e against the official code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.rules import e4e as e4e_rules
from convert.rules import iresnet as iresnet_rules
from convert.rules import irse as irse_rules
from sfe_jax.errors import UserError
from sfe_jax.models.e4e import E4E
from sfe_jax.models.iresnet import IResNet
from sfe_jax.models.irse import ArcFace, identity_crop
from sfe_jax.storage import weights
from tests import golden_data as golden

TOLERANCE = 1e-4
FAMILIES = {
    "iresnet50": iresnet_rules.FAMILY,
    "ir_se50": irse_rules.ARCFACE_FAMILY,
    "curricularface_ir101": irse_rules.CURRICULARFACE_FAMILY,
    "e4e_encoder_1024": e4e_rules.E4E_FAMILY,
    "e4e_encoder_256": e4e_rules.E4E_FAMILY,
}
TINY = {"depths": (1, 2, 1, 1), "widths": (4, 6, 8, 16)}


def load(name):
  """The official state and what our family makes of it."""
  state = golden.state(name)
  if FAMILIES[name].with_w_avg:
    styles = 14 if name.endswith("_256") else 18
    state["latent_avg"] = np.zeros((styles, 512), np.float32)
  return state, *FAMILIES[name].convert(state)


def embed(name, images):
  _, module, converted = load(name)
  return jax.jit(module.apply)(converted.variables, images)


@functools.cache
def tiny(kind):
  """A small network of every kind, with random weights."""
  module = {
      "iresnet": IResNet(**TINY, embedding=5, input_size=32),
      "arcface": ArcFace(**TINY, embedding=5, input_size=32),
      "ir": ArcFace(
          **TINY,
          squeeze_excite=False,
          output_affine=False,
          embedding=5,
          input_size=32,
      ),
      "e4e": E4E(styles=8, w_dim=12, input_size=32, **TINY),
  }[kind]
  # Filled by numpy: `init` compiles for half a minute.
  leaves, tree = jax.tree.flatten(weights.abstract(module))
  filled = [
      golden.normal(i, *x.shape) / np.sqrt(max(1, x.size // x.shape[-1]))
      for i, x in enumerate(leaves)
  ]
  variables = jax.tree.unflatten(tree, filled)
  variables["batch_stats"] = jax.tree.map(
      lambda x: 0.5 + np.abs(x), variables["batch_stats"]
  )
  variables["buffers"] = jax.tree.map(
      np.zeros_like, variables.get("buffers", {})
  )
  return module, variables


@pytest.mark.parametrize("name", ["iresnet50", "curricularface_ir101"])
def test_embedding(name):
  want = golden.expected(name)
  feat = embed(name, golden.image(want["image_seed"], 112, 2))
  golden.check(f"{name} feat", feat, want["feat"], TOLERANCE)


def test_identity_loss():
  want = golden.expected("ir_se50")
  images = [golden.image(seed, 256, 2) for seed in want["seeds"]]
  faces = jax.jit(identity_crop)(np.concatenate(images))
  feat, feat_y = jnp.split(embed("ir_se50", faces), 2)
  cosine = jnp.mean(jnp.sum(feat * feat_y, -1))
  golden.check("ir_se50 feat", feat, want["feat"], TOLERANCE)
  golden.check("ir_se50 feat_y", feat_y, want["feat_y"], TOLERANCE)
  # The loss itself is a small difference of ones.
  golden.check("ir_se50 1 - id_loss", cosine, 1 - want["id_loss"], 1e-6)


def test_e4e():
  want = golden.expected("e4e_encoder_1024")
  images = golden.image(want["image_seed"], 256, 2)
  golden.check(
      "e4e w", embed("e4e_encoder_1024", images), want["w"], TOLERANCE
  )


@pytest.mark.parametrize("name", FAMILIES)
def test_round_trip(name):
  """A file is recognised, and every tensor comes back equal to the bit."""
  state, module, converted = load(name)
  recognised = [f for f in FAMILIES.values() if f.recognises(state)]
  assert set(recognised) == {FAMILIES[name]}
  assert not converted.unused
  back = FAMILIES[name].export(module, converted.variables, converted.kept)
  assert back.keys() == state.keys()
  for key, value in state.items():
    assert back[key].dtype == value.dtype, key
    np.testing.assert_array_equal(back[key], value, key)


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("iresnet", iresnet_rules.FAMILY),
        ("arcface", irse_rules.ARCFACE_FAMILY),
        ("ir", irse_rules.CURRICULARFACE_FAMILY),
        ("e4e", e4e_rules.E4E_FAMILY),
    ],
)
def test_sizes_are_inferred(kind, family):
  module, variables = tiny(kind)
  inferred, _ = family.convert(family.export(module, variables))
  assert inferred == module


def test_damaged_files_are_refused():
  family = irse_rules.ARCFACE_FAMILY
  official = family.export(*tiny("arcface"))
  state = official.copy()
  del state["body.2.res_layer.1.weight"]
  with pytest.raises(UserError, match="body.2.res_layer.1.weight is missing"):
    family.convert(state)
  state = {k: x for k, x in official.items() if not k.startswith("body.4.")}
  with pytest.raises(UserError, match="has 3 widths, expected 4"):
    family.convert(state)


def test_e4e_adds_the_mean_latent():
  module, variables = tiny("e4e")
  images = golden.image(0, 32, 1)
  w_avg = golden.normal(1, 8, 12)
  moved = {**variables, "buffers": {"w_avg": w_avg}}
  run = jax.jit(module.apply)
  np.testing.assert_allclose(
      run(moved, images) - run(variables, images), w_avg[None], atol=1e-5
  )


def test_psp_heads_are_absolute():
  """e4e's rows are pSp's, those after the first moved by the first."""
  module, variables = tiny("e4e")
  psp, converted = e4e_rules.PSP_FAMILY.convert(
      e4e_rules.PSP_FAMILY.export(module, variables)
  )
  assert psp == module.clone(residual=False)
  images = golden.image(0, 32, 2)
  rows = jax.jit(psp.apply)(converted.variables, images)
  want = np.concatenate([rows[:, :1], rows[:, 1:] + rows[:, :1]], 1)
  got = jax.jit(module.apply)(variables, images)
  np.testing.assert_allclose(got, want, atol=1e-6)
  assert np.abs(rows[:, 0]).max() > 1e-3


@pytest.mark.parametrize("kind", ["iresnet", "arcface", "e4e"])
def test_training_statistics_span_devices(kind):
  """Two devices with half a batch each equal one device with all of it."""
  module, variables = tiny(kind)
  images = golden.image(0, 32, 4)

  def step(module, images):
    return module.apply(variables, images, True, mutable=["batch_stats"])

  want, want_stats = jax.jit(lambda x: step(module, x))(images)
  parallel = module.clone(axis_name="batch")
  got, got_stats = jax.jit(
      jax.vmap(lambda x: step(parallel, x), axis_name="batch")
  )(images.reshape(2, 2, 32, 32, 3))
  scale = np.abs(want).max()
  np.testing.assert_allclose(
      got.reshape(want.shape), want, atol=1e-4 * scale
  )
  for old, new, both in zip(
      jax.tree.leaves(variables["batch_stats"]),
      jax.tree.leaves(want_stats),
      jax.tree.leaves(got_stats),
      strict=True,
  ):
    assert np.abs(new - old).max() > 0
    np.testing.assert_allclose(both[0], new, rtol=1e-4, atol=1e-5)


def test_compute_dtype_reaches_every_layer():
  for kind in ("iresnet", "arcface", "e4e"):
    module, variables = tiny(kind)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    half = module.clone(dtype=jnp.bfloat16)
    out, state = jax.eval_shape(
        lambda v, x, m=half: m.apply(
            v, x, capture_intermediates=True, mutable=["intermediates"]
        ),
        variables,
        images,
    )
    assert out.dtype == jnp.float32
    trunk = jax.tree.leaves(state["intermediates"]["trunk"])
    assert {leaf.dtype for leaf in trunk} == {jnp.dtype(jnp.bfloat16)}


def test_official_sizes_build_without_computing():
  shape = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
  module = E4E(styles=16)
  w = jax.eval_shape(module.apply, weights.abstract(module), shape)
  assert w.shape == (2, 16, 512)


def test_other_image_sizes_are_refused():
  with pytest.raises(ValueError, match=r"\(n, 256, 256, 3\), got"):
    identity_crop(jnp.zeros((1, 1024, 1024, 3)))
  for kind in ("iresnet", "arcface", "e4e"):
    module, variables = tiny(kind)
    with pytest.raises(ValueError, match=r"\(n, 32, 32, 3\), got"):
      jax.eval_shape(module.apply, variables, jnp.zeros((1, 64, 64, 3)))
  with pytest.raises(ValueError, match="power of two from 32, got 48"):
    weights.abstract(E4E(input_size=48))
