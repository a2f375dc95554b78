"""The generator stage on tiny networks, and the train command on it.

  python -m tests.test_generator_stage OUT.npz   a step on all devices
"""

import functools
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import toy_generator
from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.measures import losses
from sfe_jax.storage import weights as weight_files
from sfe_jax.training import augment, gan_sampling, stages
from sfe_jax.training.gan import GanVariant
from sfe_jax.training.stages import generator
from tests import tiny
from tests.virtual_devices import beside, named

pytestmark = pytest.mark.usefixtures("quick_compilation")

N, SIZE = 4, 8
SIZES = {
    "data.resolution": SIZE,
    "model.mapping_layers": 1,
    "optimizer.ema_images": 8.0,
}
ALL, PLAIN = GanVariant(True, True), GanVariant(False, False)


def config(**changes):
  c = toy_generator.get_config("smoke")
  changes = {key.replace("__", "."): x for key, x in changes.items()}
  c.update_from_flattened_dict(SIZES | changes)
  return c


@functools.cache
def variables(network, init=weight_files.init):
  return init(network, jax.random.key(0, impl="rbg"))


@functools.cache
def build(**changes):
  """The stage of a config; each network is drawn, hence compiled, once."""
  with mock.patch.object(
      generator.weights, "init", lambda network, _: variables(network)
  ):
    return stages.build(config(**changes))


def trainer(stage):
  return stage.step.__self__


def living(stage):
  """A state whose noise and averages are not those of the start."""
  state = stage.state
  params = jax.tree_util.tree_map_with_path(
      lambda path, x: x + 0.1 * ("noise_strength" in str(path)), state.params
  )
  opt = state.opt_state._replace(path_mean=jnp.float32(0.3))
  return state.replace(
      step=jnp.int32(16), params=params, opt_state=opt, ema=stage.state.params
  )


def run(stage, variant=ALL, steps=1):
  """[(state, metrics)] of steps on all devices."""

  def step(state, frozen, batch, seed):
    return stage.step(variant, state, frozen, batch, jax.random.key(seed))

  mapped = devices.pmap(step)
  state = devices.replicate(living(stage))
  out = []
  for _ in range(steps):
    state, metrics = mapped(
        state,
        devices.replicate(stage.frozen),
        devices.split(Batch(tiny.pictures(N, SIZE))),
        devices.replicate(np.uint32(0)),
    )
    out.append(devices.unreplicate((state, metrics)))
  return out


@functools.cache
def two_steps(variant):
  """Augmentation takes part in the plain ones, of strength 0 at first."""
  stage = build()
  if variant == PLAIN:
    stage = build(augment__target=0.6, augment__images=40)
  return run(stage, variant, 2)


def stepped(variant):
  return two_steps(variant)[0]


@pytest.fixture(scope="module", autouse=True)
def two_devices(tmp_path_factory):
  """Computes on 2 devices beside the other tests; gives the results."""
  out = tmp_path_factory.mktemp("two") / "out.npz"
  yield from beside("tests.test_generator_stage", 2, out)


def main(out):
  assert jax.local_device_count() == 2
  np.savez(out, **named(run(build())[0]))


@pytest.mark.parametrize("variant", [ALL, PLAIN])
def test_a_step_changes_what_it_should(variant):
  before, (after, metrics) = living(build()), stepped(variant)
  assert all(np.isfinite(x).all() for x in named((after, metrics)).values())
  assert after.step == before.step + 1
  assert ("loss/d_r1" in metrics) == variant.penalty
  assert ("loss/g_path" in metrics) == variant.path
  moved = after.opt_state.path_mean != before.opt_state.path_mean
  assert moved == variant.path
  for part in ("params", "disc_params", "ema"):
    old, new = named(getattr(before, part)), named(getattr(after, part))
    assert old.keys() == new.keys()
    assert np.mean([(old[k] != new[k]).any() for k in old]) > 0.9, part
  old, new = before.model_state["buffers"], after.model_state["buffers"]
  assert [k for k in old if (np.asarray(old[k]) != new[k]).any()] == ["w_avg"]


def test_variants_follow_the_schedule():
  stage = build()
  path = GanVariant(False, True)
  want = {0: ALL, 1: PLAIN, 4: path, 6: PLAIN, 12: path, 16: ALL, 17: PLAIN}
  assert {step: stage.variant(step) for step in want} == want
  stage = build(loss__path=0.0, loss__r1_gamma=0.0)
  assert {stage.variant(i) for i in range(32)} == {PLAIN}


def test_regularisers_are_updates_of_their_own():
  """Adam has seen one gradient more of either network."""
  plain, both = (stepped(v)[0] for v in (PLAIN, ALL))
  assert plain.opt_state.adam[0].count == 1
  assert both.opt_state.adam[0].count == 2
  assert plain.disc_opt_state[0].count == 1
  assert both.disc_opt_state[0].count == 2


def test_gradients_are_those_of_the_losses():
  stage = build()
  t, state = trainer(stage), living(stage)
  keys = jax.random.split(jax.random.key(3), N)
  reals = jnp.float32(tiny.pictures(N, SIZE)) / 127.5 - 1

  def on_device(function):
    out = devices.pmap(function)(jnp.zeros(1))
    return devices.unreplicate(out)

  def ours(_):
    return t.gradients(state, reals, keys)[:2]

  def reference(_):
    for_fakes, _ = gan_sampling.split_each(keys)

    def judge(params, x):
      return t.discriminator.apply({"params": params}, x)

    def g_loss(params):
      fakes, _ = t.sampler.fakes(params, state.model_state, for_fakes)
      return -jnp.mean(jax.nn.log_sigmoid(judge(state.disc_params, fakes)))

    def d_loss(params):
      fakes, _ = t.sampler.fakes(state.params, state.model_state, for_fakes)
      real, fake = judge(params, reals), judge(params, fakes)
      return -jnp.mean(jax.nn.log_sigmoid(real) + jax.nn.log_sigmoid(-fake))

    return jax.grad(g_loss)(state.params), jax.grad(d_loss)(state.disc_params)

  got, want = named(on_device(ours)), named(on_device(reference))
  for name, b in want.items():
    np.testing.assert_allclose(
        got[name], b, atol=1e-5 * max(np.abs(b).max(), 1e-3), err_msg=name
    )


def test_path_lengths_are_norms_of_the_jacobian():
  stage = build()
  t, state = trainer(stage), living(stage)
  keys = jax.random.split(jax.random.key(5), 2)
  for_y, for_noise = gan_sampling.split_each(keys)
  params, buffers = state.params, state.model_state

  @jax.jit
  def both(params):
    w_plus, _ = t.sampler.latents(params, buffers, keys)
    lengths = t.sampler.path_lengths(params, buffers, w_plus, keys)
    jacobian = jax.jacfwd(
        lambda w: t.sampler.synthesize(
            params, buffers, w[None], for_noise[:1]
        )[0]
    )(w_plus[0])  # (h, w, 3, styles, w_dim)
    y = jax.random.normal(for_y[0], (SIZE, SIZE, 3)) / SIZE
    return lengths, jnp.einsum("hwc,hwcsd->sd", y, jacobian)

  lengths, product = both(params)
  want = np.sqrt(np.mean(np.sum(np.square(product), -1)))
  np.testing.assert_allclose(lengths[0], want, rtol=1e-5)
  assert lengths[0] != lengths[1]


def test_path_penalty_is_a_deviation_from_the_mean():
  stage = build()
  t, state = trainer(stage), living(stage)
  keys = jax.random.split(jax.random.key(6), 2)

  for_w, for_path = gan_sampling.split_each(keys)

  def both(_):
    (penalty, mean), grads = jax.value_and_grad(t.path_penalty, has_aux=True)(
        state.params, state, keys
    )

    def weighed(params):  # the gradient by hand: 2 (length - mean) d length
      w_plus, _ = t.sampler.latents(params, state.model_state, for_w)
      lengths = t.sampler.path_lengths(
          params, state.model_state, w_plus, for_path
      )
      factor = jax.lax.stop_gradient(2 * (lengths - mean))
      return jnp.mean(factor * lengths), lengths

    want, lengths = jax.grad(weighed, has_aux=True)(state.params)
    return penalty, mean, lengths, grads, want

  penalty, mean, lengths, grads, want = devices.unreplicate(
      devices.pmap(both)(jnp.zeros(1))
  )
  np.testing.assert_allclose(mean, 0.99 * 0.3 + 0.01 * lengths.mean(), 1e-5)
  np.testing.assert_allclose(penalty, np.mean((lengths - mean) ** 2), 1e-4)
  grads, want = named(grads), named(want)
  for name, b in want.items():
    np.testing.assert_allclose(
        grads[name], b, atol=1e-4 * max(np.abs(b).max(), 1e-4), err_msg=name
    )


def test_r1_weighs_the_slope_of_d():
  """Its first Adam step is the sign of a plain gradient's."""
  stage = build()
  t, state = trainer(stage), living(stage)
  reals = jnp.float32(tiny.pictures(N, SIZE)) / 127.5 - 1

  def both(_):
    after, metrics = t._penalise(state, reals)

    def plain(params):
      slopes = jax.grad(
          lambda x: jnp.sum(t.discriminator.apply({"params": params}, x))
      )(reals)
      return jnp.mean(jnp.sum(slopes**2, (1, 2, 3)))

    value, grads = jax.value_and_grad(plain)(state.disc_params)
    moments = after.disc_opt_state[0].nu
    return metrics["loss/d_r1"], value, moments, grads

  got, want, moments, grads = devices.unreplicate(
      devices.pmap(both)(jnp.zeros(1))
  )
  np.testing.assert_allclose(got, want, rtol=1e-5)
  weight = 0.5 * config().loss.r1_gamma * losses.R1_EVERY
  rest = 1 - 0.99 ** (16 / 17)
  moments, grads = named(moments), named(grads)
  for name, g in grads.items():
    np.testing.assert_allclose(
        moments[name],
        rest * (weight * g) ** 2,
        atol=1e-4 * rest * weight**2 * max(np.max(g**2), 1e-8),
        err_msg=name,
    )


def test_averages():
  """EMA ramps up with the images seen; w_avg follows the mapped latents."""
  stage = build()
  before = living(stage)
  states = [state for state, _ in two_steps(PLAIN)]
  ema, old = named(before.ema), before.step
  for state in states:
    seen = N * (int(old) + 1)
    decay = 0.5 ** (N / min(8.0, 0.05 * seen))
    for name, new in named(state.params).items():
      ema[name] = decay * ema[name] + (1 - decay) * new
      np.testing.assert_allclose(
          named(state.ema)[name], ema[name], rtol=1e-4, atol=1e-6
      )
    old = state.step
  first, second = (np.float64(s.model_state["buffers"]["w_avg"])
                   for s in states)
  assert (first == first[0]).all() and np.ptp(first[0]) > 0
  # 0.995 of the last and 0.005 of a mean of n mapped z.
  w = (second - 0.995 * first)[0] / 0.005
  g = trainer(stage).generator
  z = np.random.default_rng(0).standard_normal((4096, g.w_dim), np.float32)
  known = {"params": states[0].params, **states[0].model_state}
  mapped = np.asarray(g.apply(known, z, method="mapping"))
  error = (w - mapped.mean(0)) / mapped.std(0)
  assert np.abs(error).mean() < 3 * (2 * N) ** -0.5


def test_style_mixing():
  keys = jax.random.split(jax.random.key(0), 400)
  rows = {}
  for mixing in (0.0, 0.9):
    stage = build(loss__mixing=mixing)
    t, state = trainer(stage), stage.state
    draw = jax.jit(t.sampler.latents)
    w_plus, _ = draw(state.params, state.model_state, keys)
    same = np.isclose(w_plus, w_plus[:, :1]).all(-1)  # (n, styles)
    # Once it has changed it stays.
    assert (np.diff(same.astype(int), axis=1) <= 0).all()
    rows[mixing] = same.sum(1)
  styles = trainer(stage).generator.styles
  assert (rows[0.0] == styles).all()
  share = np.mean(rows[0.9] < styles)
  assert abs(share - 0.9) < 0.06
  assert set(rows[0.9]) == set(range(1, styles + 1))


def test_one_device_equals_two(two_devices):
  one, two = named(stepped(ALL)), two_devices()
  assert one.keys() == two.keys()
  for name, b in one.items():
    error = np.abs(two[name] - b)
    if "params" in name or "ema" in name:  # Adam's first steps are signs
      assert np.mean(error > 1e-4 * max(np.abs(b).max(), 1)) < 0.02, name
    else:
      limit = 1e-3 * max(np.abs(b).max(), 1e-5)
      assert np.mean(error > limit) < 0.02, name


def test_augmentation_takes_part_and_adapts():
  strength = 0.0
  for state, metrics in two_steps(PLAIN):
    strength += N / 40 * np.sign(metrics["logits/real_sign"] - 0.6)
    strength = np.clip(strength, 0, 1)
    assert state.opt_state.augment == metrics["augment"]
    np.testing.assert_allclose(metrics["augment"], strength, atol=1e-6)
  # Off it is no part of the step; of strength 0 it changes nothing.
  plain = stepped(ALL)[1]
  assert "augment" not in plain
  np.testing.assert_allclose(
      stepped(PLAIN)[1]["loss/d_main"], plain["loss/d_main"], rtol=1e-5
  )
  t = trainer(build(augment__target=0.6, augment__images=40))
  reals = jnp.float32(tiny.pictures(N, SIZE)) / 127.5 - 1
  keys = jax.random.split(jax.random.key(0), N)
  strong = state.replace(
      opt_state=state.opt_state._replace(augment=jnp.float32(1.0))
  )
  got = jax.jit(t._augment)(strong, reals, keys)
  np.testing.assert_allclose(
      got, jax.jit(augment.augment)(reals, 1.0, keys), atol=1e-6
  )


def test_grid_and_scores():
  stage = build()
  batch = devices.split(Batch(tiny.pictures(N, SIZE)))
  state = devices.replicate(living(stage))
  frozen = devices.replicate(stage.frozen)
  columns = devices.join(devices.pmap(stage.grid)(state, frozen, batch))
  assert list(columns) == ["0.7", "1.0", "real"]
  assert {x.shape for x in columns.values()} == {(N, SIZE, SIZE, 3)}
  assert len({x.tobytes() for x in columns["1.0"]}) == N
  scores = devices.join(devices.pmap(stage.validate)(state, frozen, batch))
  assert {k: x.shape for k, x in scores.items()} == {
      "logits/real": (N,), "logits/fake": (N,)
  }  # fmt: skip


if __name__ == "__main__":
  main(sys.argv[1])
