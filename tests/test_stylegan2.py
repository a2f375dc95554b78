"""Properties of the generator that the golden numbers do not cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sfe_jax.models.stylegan2 import Generator, default_channels
from sfe_jax.storage.weights import abstract
from tests import tiny

TINY = Generator(32, (8, 8, 8, 4), w_dim=16, mapping_layers=2)


@pytest.fixture(scope="module")
def variables():
  return tiny.fill(TINY)


def latents(n=2):
  rng = np.random.default_rng(0)
  shape = (n, TINY.styles, TINY.w_dim)
  return rng.standard_normal(shape).astype(np.float32)


def test_random_noise_is_drawn_per_image_and_key(variables):
  def run(seed):
    same = jnp.repeat(latents(1), 2, 0)
    return TINY.apply(
        variables,
        same,
        random_noise=True,
        method="synthesize",
        rngs={"noise": jax.random.key(seed)},
    )

  a, b = run(0), run(1)
  assert np.abs(a[0] - a[1]).max() > 1e-3
  assert np.abs(a - b).max() > 1e-3
  np.testing.assert_array_equal(a, run(0))


@pytest.mark.parametrize("k", range(TINY.convs + 1))
def test_lower_and_upper_half_equal_the_whole_at_any_cut(variables, k):
  def run(module, w):
    styles = module.affine(w)
    half = module.lower(styles, k)
    whole = module.from_styles(styles)
    return module.upper(styles, half.features[k], half.skip, k), whole

  cut, whole = TINY.apply(variables, latents(), method=run)
  np.testing.assert_allclose(cut, whole, atol=1e-5)


def test_features_between_two_cuts(variables):
  def run(module, w):
    styles = module.affine(w)
    half = module.lower(styles, 5)
    return module.between(styles, half.features[3], 3, 5), half.features[5]

  got, want = TINY.apply(variables, latents(), method=run)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_truncation_moves_latents_towards_the_mean(variables):
  w = latents()[:, 0]
  mean = variables["buffers"]["w_avg"]
  got = TINY.apply(variables, w, 0.25, method="truncate")
  np.testing.assert_allclose(
      got, mean + 0.25 * (w[:, None] - mean), atol=1e-6
  )


@pytest.mark.parametrize("resolution", (32, 64, 512, 1024))
@pytest.mark.parametrize("multiplier", (1, 2))
def test_any_size(resolution, multiplier):
  channels = default_channels(resolution, multiplier)
  module = Generator(resolution, channels, mapping_layers=4)
  variables = abstract(module)
  assert variables["params"]["to_rgb0"]["kernel"].shape == (channels[0], 3)
  image = jax.eval_shape(
      module.apply, variables, jax.ShapeDtypeStruct((3, 512), jnp.float32)
  )
  assert image.shape == (3, resolution, resolution, 3)


def test_widths_must_match_the_resolution():
  with pytest.raises(ValueError, match="one width per power of two"):
    abstract(Generator(64, (8, 8, 8)))


def test_bfloat16_keeps_demodulation_and_rgb_in_float32(variables):
  """The precision that the caller chose for convolutions has no effect."""
  module = TINY.clone(dtype=jnp.bfloat16)
  with jax.default_matmul_precision("default"):
    jaxpr = jax.make_jaxpr(
        lambda w: module.apply(variables, w, method="synthesize")
    )(latents())
  dots = [e for e in jaxpr.eqns if e.primitive.name == "dot_general"]
  small = [e for e in dots if e.outvars[0].aval.ndim == 2]
  # One style vector and one demodulation per convolution, a style per toRGB.
  assert len(small) == 2 * TINY.convs + TINY.blocks
  for e in small:
    assert e.outvars[0].aval.dtype == jnp.float32
    assert e.params["precision"] == 2 * (jax.lax.Precision.HIGHEST,)
  assert jaxpr.out_avals[0].dtype == jnp.float32
