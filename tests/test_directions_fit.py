"""Fitting directions: recovers what was planted."""

import numpy as np
import pytest

from sfe_jax.directions import candidates, effects, fit, ranges
from sfe_jax.directions.samples import Samples
from sfe_jax.storage import labels

SCHEMA = (
    labels.Column("smile", "continuous"),
    labels.Column("glasses", "binary"),
    labels.Column("freckles", "continuous"),
    labels.Column("hair", "categorical", ("long", "red-ish", "none")),
)


def cosine(a, b):
  return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def cloud(n=4000, d=12):
  """Anisotropic, correlated latents away from the origin."""
  rng = np.random.default_rng(0)
  mix = np.linalg.qr(rng.standard_normal((d, d)))[0] * np.linspace(3, 0.5, d)
  return rng.standard_normal((n, d)) @ mix.T + rng.standard_normal(d), rng


def unit(rng, d=12):
  v = rng.standard_normal(d)
  return v / np.linalg.norm(v)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_boundary_recovers_a_planted_direction(share):
  x, rng = cloud()
  d = unit(rng)
  scores = 5 + x @ d + 0.3 * (x @ d).std() * rng.standard_normal(len(x))
  normal, accuracy = fit.boundary(x, scores, share)
  assert cosine(normal, d) > 0.95
  np.testing.assert_allclose(np.linalg.norm(normal), 1)
  assert accuracy > (0.97 if share == 0.1 else 0.85)
  opposite, _ = fit.boundary(x, -scores, share)
  assert cosine(opposite, normal) < -0.99
  _, chance = fit.boundary(x, rng.standard_normal(len(x)))
  assert 0.4 < chance < 0.6


def test_boundary_of_classes_takes_all_of_both():
  x, rng = cloud()
  d = unit(rng)
  rare = (x - x.mean(0)) @ d > 1.5 * (x @ d).std()
  normal, accuracy = fit.boundary(x, rare.astype(np.float32))
  assert cosine(normal, d) > 0.95 and accuracy > 0.9
  with pytest.raises(ValueError, match="a class has 9 samples"):
    fit.boundary(x, np.arange(len(x)) < 9)


def test_regression_recovers_what_labels_move():
  """Also where labels go together and where the rest varies along with them."""
  _, rng = cloud()
  values = rng.standard_normal((4000, 2)) @ [[1, 0.6], [0, 0.8]]
  moved = rng.standard_normal((2, 12))
  mix = rng.standard_normal((12, 12))
  noise = rng.standard_normal((4000, 12)) @ mix
  latents = 3 + values @ moved + noise
  found = fit.regression(latents, values * 7 + 5)
  normal, _ = fit.boundary(latents, values[:, 0])
  for got, want in zip(found, moved):
    assert cosine(got, want) > 0.98
    np.testing.assert_allclose(got, want, atol=0.3)
  assert cosine(normal, moved[0]) < 0.7, "which is why"
  rare = (values[:, :1] > 1.5).astype(np.float32)
  classes = np.hstack([rare, 1 - rare])  # they sum to one
  assert cosine(fit.regression(latents, classes)[0], moved[0]) > 0.9


def test_labels_that_cannot_be_fitted_are_left_out():
  rng = np.random.default_rng(0)
  scores = np.stack([
      rng.standard_normal(400),
      np.arange(400) < 9,
      np.full(400, 3.0),
      *np.eye(3)[rng.integers(0, 2, 400)].T,
  ], 1)  # fmt: skip
  latents = scores @ rng.standard_normal((6, 8)) + rng.standard_normal((400, 8))
  samples = Samples(latents, SCHEMA, scores, true=True)
  for method in candidates.METHODS:
    found, left_out = candidates.attributes(samples, method, "none")
    assert [c.name for c in found] == ["smile", "hair_long", "hair_red_ish"]
    assert left_out == {
        "glasses": "only 9 of 400 samples have this label",
        "freckles": "all samples have the same value",
        "hair_none": "only 0 of 400 samples have this label",
    }
    assert all((c.accuracy is None) == (method == "regression") for c in found)
  few = Samples(latents[:19], SCHEMA[:1], scores[:19, :1], True)
  found, left_out = candidates.attributes(few, "regression", "none")
  assert not found and left_out == {"smile": "there are only 19 samples"}


def test_effects_in_words():
  given = {"glasses": ("puts on glasses", "takes them off"), "odd": ("", "")}
  got = {k: w.text() for k, w in effects.of_schema(SCHEMA, given).items()}
  assert got == {
      "smile": "+ raises smile, - lowers smile",
      "glasses": "+ puts on glasses, - takes them off",
      "freckles": "+ raises freckles, - lowers freckles",
      "hair=long": "+ makes hair long, - makes hair something else",
      "hair=red-ish": "+ makes hair red-ish, - makes hair something else",
      "hair=none": "+ makes hair none, - makes hair something else",
  }
  glasses = effects.of_schema(SCHEMA, {})["glasses"]
  assert glasses.text(-1) == "+ removes glasses, - adds glasses"


def test_conditioning_takes_others_away():
  x, rng = cloud(d=100)
  a = unit(rng, 100)
  b = 0.6 * a + 0.8 * unit(rng, 100)
  normals = np.stack([fit.boundary(x, x @ v).normal for v in (a, b)])
  free = fit.condition(normals, ["a", "b"])
  before, after = (abs(cosine(v, b)) for v in (normals[0], free[0]))
  assert before > 0.5 and after < 0.05
  assert cosine(free[0], a) > 0.7
  assert cosine(free[1], b) > 0.7 and abs(cosine(free[1], a)) < 0.05
  together = fit.condition(normals, ["hair", "hair"])
  np.testing.assert_array_equal(together, normals)


def test_principal_components_are_the_planted_axes():
  rng = np.random.default_rng(0)
  axes = np.linalg.qr(rng.standard_normal((8, 8)))[0]
  stds = np.array([0.5, 4, 0.1, 2, 1, 0.2, 3, 0.3])
  x = (rng.standard_normal((20_000, 8)) * stds) @ axes + 7
  found = fit.principal_components(x, 3)
  np.testing.assert_allclose(found.mean, 7, atol=0.2)
  np.testing.assert_allclose(found.stds, [4, 3, 2], rtol=0.03)
  for got, want in zip(found.directions, axes[[1, 6, 3]]):
    assert abs(cosine(got, want)) > 0.99


def test_sefa_finds_what_moves_styles_most():
  rng = np.random.default_rng(0)
  planted = np.linalg.qr(rng.standard_normal((8, 2)))[0].T
  kernels = [
      0.1 * rng.standard_normal((8, c))
      + strength * np.outer(planted[i], rng.standard_normal(c))
      for i, (c, strength) in enumerate([(20, 3), (30, 1)])
  ]
  for got, want in zip(fit.sefa(kernels, 2), planted):
    assert abs(cosine(got, want)) > 0.99


def test_a_strength_is_a_standard_deviation():
  x, rng = cloud()
  rows = fit.scaled(np.stack([5 * unit(rng), unit(rng)]), x)
  for row in rows:
    length = np.linalg.norm(row)
    np.testing.assert_allclose((x @ row / length).std(), length)
  np.testing.assert_array_equal(fit.scaled(np.zeros((1, 12)), x), 0)


def effect(distance, change):
  t = np.array(ranges.STRENGTHS, float)
  return ranges.Effect(distance(t), change(t)[:, None])


def test_useful_range():
  """Ends where pictures become others, or the score turns."""
  t = ranges.STRENGTHS
  assert t == tuple(sorted(t)) and 0 not in t

  def near(t):
    return np.where(t > 0, 0.12 * t, -0.24 * t)

  assert ranges.useful(effect(near, lambda t: t)) == (-2, 4)
  assert ranges.useful(effect(near, lambda t: t), 0) == (-2, 4)
  assert ranges.useful(effect(near, lambda t: t - t**2 / 4), 0) == (-2, 2)
  assert ranges.useful(effect(near, lambda t: np.maximum(t, 0)), 0) == (0, 4)
  assert ranges.useful(effect(near, lambda t: -t), 0) == (0, 0)
  assert ranges.useful(effect(near, lambda t: -t)) == (-2, 4)
  nowhere = effect(lambda t: 0.6 + 0 * t, lambda t: t)
  assert ranges.useful(nowhere, 0) == (0, 0)
  broken = effect(lambda t: np.nan * t, lambda t: t)
  assert ranges.useful(broken) == (0, 0)


def test_useful_range_of_weak_and_strong_attributes():
  still = effect(lambda t: 0 * t, lambda t: 1.2 * t)
  assert ranges.useful(still, 0) == (-3, 3), "the first beyond 3 deviations"
  assert ranges.useful(still) == (-12, 12)
  weak = effect(lambda t: 0 * t, lambda t: np.where(t > 0, 0.05, 0.03) * t)
  assert ranges.useful(weak, 0) == (-12, 12)
  weaker = effect(lambda t: 0 * t, lambda t: 0.04 * t)
  assert ranges.useful(weaker, 0) == (0, 0)


def test_log_odds():
  scores = np.array([[1.0, 2.0, 3.0, 4.0, 0.0, -1.0]])
  got = ranges.log_odds(SCHEMA, scores)
  np.testing.assert_array_equal(got[:, :3], scores[:, :3])
  p = np.exp(scores[0, 3:]) / np.exp(scores[0, 3:]).sum()
  np.testing.assert_allclose(got[0, 3:], np.log(p / (1 - p)))
