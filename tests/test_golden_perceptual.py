"""Perceptual networks and measures against the official code's numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.rules import inception, lpips, resnet
from sfe_jax.errors import UserError
from sfe_jax.measures.frechet import Moments, frechet_distance
from sfe_jax.measures.msssim import ms_ssim, scales_for
from sfe_jax.models.inception import Inception
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.resnet import ResNet50, resize_nearest
from sfe_jax.storage import weights
from tests import golden_data

LPIPS_FAMILIES = {
    "vgg": (lpips.VGG, "vgg16_features"),
    "alex": (lpips.ALEX, "alexnet_features"),
}
# Rounding decides at a few points on which side of its kink a ReLU is and which
# of two equal elements a max-pool takes; the gradient jumps there.  PyTorch's
# own float32 and float64 gradients differ by 1e-3 in norm and by 2e-2 at single
# pixels.  How many points are near a kink depends on the seed: 2.4e-3 in norm
# was seen for AlexNet.
LPIPS_GRADIENT = 1e-2


def image_pair(want):
  """The (x, y) images that LPIPS and MoCo were measured on."""
  x, other = (golden_data.image(s, 256, 2) for s in want["image_seeds"])
  a, b = want["mix"].astype(np.float32)
  return x, a * x + b * other


def check_round_trip(family, state, dropped=()):
  """Every official tensor comes back to the bit, but for the dropped ones."""
  module, converted = family.convert(state)
  assert set(converted.unused) == set(dropped)
  back = family.export(module, converted.variables, converted.kept)
  assert set(back) == set(state) - set(dropped)
  for key, value in back.items():
    assert value.dtype == state[key].dtype, key
    np.testing.assert_array_equal(value, state[key], err_msg=key)
  return module, converted.variables


def random_variables(module):
  """Positive random variables, without compiling the module's `init`."""
  rng = np.random.RandomState(0)
  return jax.tree.map(
      lambda v: rng.uniform(0.01, 0.2, v.shape).astype(v.dtype),
      weights.abstract(module),
  )


# LPIPS


def check_gradient(name, got, want, tolerance):
  """Asserts |got - want| <= tolerance * |want| in the Euclidean norm."""
  error = np.linalg.norm(got - want) / np.linalg.norm(want)
  golden_data.REACHED.append((name, float(error), tolerance))
  assert error <= tolerance


@functools.cache
def lpips_state(net):
  """Torchvision's file merged with the real lin weights."""
  path = golden_data.SHARED / "assets" / "lpips" / f"{net}.pth"
  if not path.exists():
    pytest.skip(f"the LPIPS lin weights are not here: {path}")
  torch = pytest.importorskip("torch")
  lin = torch.load(path, map_location="cpu", weights_only=True)
  state = golden_data.state(LPIPS_FAMILIES[net][1])
  return {**state, **{k: v.numpy() for k, v in lin.items()}}


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_lpips_golden(net):
  family, _ = LPIPS_FAMILIES[net]
  want = golden_data.expected("lpips")
  module, variables = check_round_trip(family, lpips_state(net))
  x, y = image_pair(want)

  @jax.jit
  def mean_and_grad(variables, x, y):
    target = module.apply(variables, y, method="features")

    def loss(x):
      features = module.apply(variables, x, method="features")
      distances = module.apply(variables, features, target, method="compare")
      return distances.mean(), distances

    return jax.value_and_grad(loss, has_aux=True)(x)

  (mean, distances), grad = mean_and_grad(variables, x, y)
  golden_data.check(f"lpips/{net}", mean, want[net], 1e-4)
  golden_data.check(
      f"lpips/{net}_per_image", distances, want[f"{net}_per_image"], 1e-4
  )
  check_gradient(
      f"lpips/{net}_grad (norm)",
      golden_data.nchw(grad)[..., ::16, ::16],
      want[f"{net}_grad"],
      LPIPS_GRADIENT,
  )


def test_lpips_families_tell_the_nets_apart():
  vgg = {"lin0.model.1.weight": 0, **golden_data.state("vgg16_features")}
  alex = {"lin0.model.1.weight": 0, **golden_data.state("alexnet_features")}
  assert lpips.VGG.recognises(vgg)
  assert lpips.ALEX.recognises(alex)
  assert not lpips.VGG.recognises(alex)
  assert not lpips.ALEX.recognises(vgg)


def test_lpips_drops_the_classifier():
  tiny = LPIPS("alex", 4)
  state = lpips.ALEX.export(tiny, random_variables(tiny))
  state["classifier.1.weight"] = np.zeros((2, 2), np.float32)
  check_round_trip(lpips.ALEX, state, ["classifier.1.weight"])


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_lpips_call_is_compare_of_features(net):
  module = LPIPS(net, width=4)
  variables = random_variables(module)
  x, y = golden_data.normal(0, 2, 2, 32, 40, 3)
  apply = jax.jit(module.apply, static_argnames="method")
  distances = apply(variables, x, y)
  features = [apply(variables, v, method="features") for v in (x, y)]
  assert distances.shape == (2,)
  assert (distances > 0).all()
  again = apply(variables, *features, method="compare")
  np.testing.assert_allclose(again, distances, rtol=1e-6)
  np.testing.assert_allclose(apply(variables, x, x), 0, atol=1e-12)


def test_lpips_gradient_is_finite_where_no_channel_is_on():
  module = LPIPS("vgg", width=4)
  variables = jax.tree.map(jnp.zeros_like, weights.abstract(module))
  x = jnp.ones((1, 16, 16, 3))
  grad = jax.jit(jax.grad(lambda x: module.apply(variables, x, -x).sum()))(x)
  np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("shape", [(1, 32, 32, 1), (32, 32, 3), (1, 30, 64, 3)])
def test_lpips_refuses_wrong_shapes(shape):
  with pytest.raises(ValueError, match="at least 31, got shape"):
    LPIPS("alex").init(jax.random.key(0), jnp.zeros(shape), jnp.zeros(shape))


def test_lpips_refuses_unknown_net():
  with pytest.raises(ValueError, match=r"one of \['alex', 'vgg'\], got 'squ"):
    weights.abstract(LPIPS("squeeze"))


# MoCo


def test_moco_golden():
  want = golden_data.expected("moco")
  module, variables = check_round_trip(
      resnet.FAMILY, golden_data.state("moco_resnet50")
  )
  apply = jax.jit(lambda v, x: module.apply(v, resize_nearest(x, 224)))
  x, y = (apply(variables, image) for image in image_pair(want))
  golden_data.check("moco/feat", x, want["feat"], 1e-4)
  loss = np.mean(1 - np.sum(np.asarray(x, np.float64) * y, -1))
  assert abs(loss - want["loss"]) < 1e-6


def test_moco_infers_sizes_and_drops_the_head():
  tiny = ResNet50(depths=(1, 2, 1, 1), width=2)
  state = resnet.FAMILY.export(tiny, random_variables(tiny))
  head = {
      f"fc.{i}.{name}": np.zeros(2, np.float32)
      for i in (0, 2)
      for name in ("weight", "bias")
  }
  module, variables = check_round_trip(
      resnet.FAMILY, {**state, **head}, dropped=head
  )
  assert module == tiny
  features = jax.jit(module.apply)(
      variables, golden_data.normal(0, 3, 32, 32, 3)
  )
  assert features.shape == (3, 64)
  np.testing.assert_allclose(np.sum(features**2, -1), 1, rtol=1e-5)


def test_resize_nearest_takes_floor_indices():
  x = np.arange(35, dtype=np.float32).reshape(1, 5, 7, 1)
  got = resize_nearest(x, 3)[0, :, :, 0]
  np.testing.assert_array_equal(got, x[0, [0, 1, 3]][:, [0, 2, 4], 0])


# Inception


def test_inception_golden():
  want = golden_data.expected("fid_inception")
  state = golden_data.state("fid_inception")
  module, variables = check_round_trip(
      inception.FAMILY, state, ["fc.weight", "fc.bias"]
  )
  x = golden_data.image(want["image_seed"], 256, 2)
  features = jax.jit(module.apply)(variables, x)
  golden_data.check("fid_inception/feat", features, want["feat"], 1e-4)


def test_inception_runs_small():
  module = Inception(width=2, resolution=75)
  variables = random_variables(module)
  x = golden_data.normal(0, 2, 32, 48, 3)
  features = jax.jit(module.apply)(variables, x)
  assert features.shape == (2, 128)
  assert np.ptp(features) > 0


def test_inception_refuses_torchvision_weights():
  state = dict(golden_data.state("fid_inception"))
  state["fc.weight"] = state["fc.weight"][:1000]
  with pytest.raises(UserError, match="1000 classes, expected 1008"):
    inception.FAMILY.convert(state)


# MS-SSIM


def test_ms_ssim_golden():
  want = golden_data.expected("msssim")
  a = (golden_data.image(want["image_seed"], 256, 1) + 1) / 2
  noise = golden_data.normal(want["noise_seed"], 1, 3, 256, 256)
  b = np.clip(a + np.float32(0.1) * noise.transpose(0, 2, 3, 1), 0, 1)
  got = jax.jit(ms_ssim)(a, b)
  # Rescaling the weights, which sum to 1.0001, would cost 1e-5.
  golden_data.check("msssim", got.mean(), want["value"], 3e-6)


@pytest.mark.parametrize("scales", [1, 3, 5])
def test_ms_ssim_orders_images(scales):
  size = 11 * 2 ** (scales - 1)
  x = (golden_data.image(0, size, 2) + 1) / 2
  noise = golden_data.normal(0, *x.shape)
  less, more = (np.clip(x + s * noise, 0, 1) for s in (0.05, 0.2))
  same = ms_ssim(x, x, scales)
  assert same.shape == (2,)
  np.testing.assert_allclose(same, 1, atol=1e-6)
  assert (ms_ssim(x, less, scales) > ms_ssim(x, more, scales)).all()


def test_ms_ssim_refuses_what_it_cannot_measure():
  x = np.zeros((1, 256, 175, 3), np.float32)
  with pytest.raises(UserError, match="176 pixels .* 256x175; use 4 scales"):
    ms_ssim(x, x)
  with pytest.raises(UserError, match="1 to 5, got 6"):
    ms_ssim(x, x, 6)
  with pytest.raises(UserError, match="of one shape"):
    ms_ssim(x, x[:, :-1])
  x = x[:, :8, :8]
  with pytest.raises(UserError, match="at least 11 pixels .* got 8x8; leave"):
    ms_ssim(x, x, scales_for(8))


def test_every_scale_needs_twice_the_size():
  sizes = (10, 11, 21, 22, 43, 44, 87, 88, 175, 176, 1024)
  assert [scales_for(s) for s in sizes] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


# Frechet distance


def moments(*batches):
  result = Moments(batches[0].shape[1])
  for batch in batches:
    result.update(batch)
  return result


def test_frechet_golden():
  want = golden_data.expected("frechet")
  a, b = moments(want["X1"]), moments(want["X2"])
  distance = frechet_distance(a, b)
  golden_data.check("frechet", distance, want["fid"], 1e-4)
  golden_data.check("symmetry", frechet_distance(b, a), distance, 1e-9)
  assert frechet_distance(a, moments(want["X1"])) < 1e-6


def test_moments_stream():
  # A mean far from 0 would cost E[x^2] - E[x]^2 most of its digits.
  x = 1e4 + golden_data.normal(0, 101, 8).astype(np.float64)
  whole, parts = moments(x), moments(x[:0], x[:1], x[1:40], x[40:])
  assert parts.count == whole.count == 101
  np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-14)
  np.testing.assert_allclose(parts.cov, np.cov(x.T), rtol=1e-8, atol=1e-10)
  np.testing.assert_allclose(whole.cov, np.cov(x.T), rtol=1e-8, atol=1e-10)


def test_moments_refuse_bad_features():
  x = golden_data.normal(0, 4, 3)
  x[1, 2] = np.nan
  with pytest.raises(ValueError, match="infinity in 1 of 4 vectors"):
    moments(x)
  with pytest.raises(ValueError, match=r"shape \(n, 3\), got \(4, 2\)"):
    Moments(3).update(x[:, :2])


def test_frechet_needs_enough_samples(caplog):
  x = golden_data.normal(0, 5, 3)
  enough = moments(x)
  with pytest.raises(ValueError, match="at least 2 feature vectors, got 1"):
    frechet_distance(enough, moments(x[:1]))
  with pytest.raises(ValueError, match="one width, got 3 and 2"):
    frechet_distance(enough, moments(x[:, :2]))
  assert frechet_distance(enough, enough) < 1e-6
  assert not caplog.records
  assert frechet_distance(enough, moments(x[:2])) > 0
  assert "2 samples of width 3" in caplog.text
