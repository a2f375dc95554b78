"""Both phases' steps on tiny networks.

  python -m tests.test_phases OUT.npz   steps of both phases on all devices
"""

import functools
import importlib
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import cars_phase2, ffhq_phase2
from sfe_jax import devices, directions, pipeline
from sfe_jax.architecture import Models
from sfe_jax.data.batch import Batch
from sfe_jax.directions import families, training_sets
from sfe_jax.errors import UserError
from sfe_jax.measures import losses
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.mappers import LevelsMapper
from sfe_jax.storage import weights
from sfe_jax.training import stages
from sfe_jax.training.stages import networks, phase1, phase2
from sfe_jax.training.step import EncoderVariant as Variant
from tests import tiny
from tests.tiny_phases import (
  ALL,
  PHASES,
  STEP,
  build,
  close,
  config,
  run,
)
from tests.virtual_devices import beside, named

pytestmark = pytest.mark.usefixtures("quick_compilation")

@functools.cache
def stepped(phase):
  return build(phase), named(run(build(phase)))


@pytest.fixture(scope="module", autouse=True)
def four_devices(tmp_path_factory):
  """Computes on 4 devices beside the other tests; gives the results."""
  out = tmp_path_factory.mktemp("four") / "out.npz"
  yield from beside("tests.test_phases", 4, out)


def main(out):
  assert jax.local_device_count() == 4
  results = {p: named(run(build(p))) for p in PHASES}
  np.savez(
      out, **{f"{p}/{k}": x for p, tree in results.items()
              for k, x in tree.items()}
  )


@pytest.mark.parametrize("phase", PHASES)
def test_metrics_of_a_step(phase):
  stage, got = stepped(phase)
  names = {k.removeprefix("1/") for k in got if k.startswith("1/")}
  terms = {"l2", "lpips", "adversarial", "total", "d_main", "d_r1"}
  terms |= {"regulariser"} if phase == "phase1" else set()
  assert names == {"grad_norm"} | {f"loss/{name}" for name in terms}
  values = {k: got[f"1/{k}"] for k in names}
  assert all(np.isfinite(x) for x in got.values() for x in np.ravel(x))
  objective = config(phase).loss
  total = sum(
      objective.get(k, 0.0) * values.get(f"loss/{k}", 0.0)
      for k in ("l2", "lpips", "adversarial", "regulariser")
  )
  np.testing.assert_allclose(values["loss/total"], total, rtol=1e-5)
  assert got["0/step"] == STEP + 1
  old = named(stage.state)
  moved = [k for k in old if (got[f"0/{k}"] != old[k]).any()]
  for part in ("params/", "model_state/batch_stats", "disc_params/"):
    assert any(k.startswith(part) for k in moved), part
  assert not any("buffers" in k for k in moved)


def test_variants_follow_the_schedule():
  stage = build("phase1", loss__adversarial_start=20)
  plain, judged = Variant(False, False), Variant(True, False)
  want = {0: plain, 16: plain, 19: plain, 20: judged, 32: ALL, 33: judged}
  assert {step: stage.variant(step) for step in want} == want
  stage = build("phase1", loss__adversarial=0.0)
  assert {stage.variant(i) for i in range(64)} == {plain}
  assert stage.state.disc_params is None
  stage = build("phase1", loss__r1_gamma=0.0, loss__adversarial_start=0)
  assert {stage.variant(i) for i in range(64)} == {judged}


def test_phase_2_goes_on_with_the_discriminator_of_phase_1(tmp_path, caplog):
  settings = config("phase2", init__inverter=str(tmp_path))
  models = networks.architecture(settings).build()
  weights.write(tmp_path / "inverter", models.inverter,
                tiny.fill(models.inverter))  # fmt: skip
  judge = Discriminator(16, (8, 8, 8))

  def started():
    with mock.patch.object(weights, "init", lambda net, _: tiny.fill(net)):
      return stages.build(settings)

  given = started()
  drawn = tiny.fill(judge)["params"]
  jax.tree.map(np.testing.assert_array_equal, given.state.disc_params, drawn)
  trained = tiny.fill(judge, seed=1)
  weights.write(tmp_path / "discriminator", judge, trained)
  with caplog.at_level("INFO"):
    stage = started()
  assert f"the discriminator starts from {tmp_path}" in caplog.text
  jax.tree.map(
      np.testing.assert_array_equal, stage.state.disc_params, trained["params"]
  )
  # Statistics are of all devices' images, as those of any discriminator here.
  assert stage.trained["discriminator"] == given.trained["discriminator"]


def test_requirements_of_phase_2(tmp_path):
  """All that is missing, with the official files, at once."""
  settings = importlib.import_module("configs.ffhq_phase2").get_config()
  settings.init.weights = str(tmp_path)

  def missing():
    found = stages.requirements(settings)
    return {r.what: str(r) for r in found if not r.found}

  want = {
      "network generator": "stylegan2-ffhq-config-f.pt",
      "network e4e": "e4e_ffhq_encode.pt",
      "network discriminator": "stylegan2-ffhq-config-f.pkl",
      "network lpips_vgg": "vgg.pth",
      "network arcface": "model_ir_se50.pth",
      "init.inverter, network inverter": "--config.init.inverter",
      "direction age": "age.pt",
      "direction afro": "afro.pt",
  }
  got = missing()
  for what, text in want.items():
    assert text in got[what], what
  for name in ("inverter", "discriminator"):
    (tmp_path / "w1" / name).mkdir(parents=True)
  settings.init.inverter = str(tmp_path / "w1")
  assert missing().keys() == got.keys() - {
      "network discriminator", "init.inverter, network inverter"
  }  # fmt: skip
  settings.init.inverter = str(tmp_path / "absent")
  assert "holds no inverter; give a workdir" in missing()[
      "init.inverter, network inverter"
  ]


def test_phase1_outputs():
  """Regulariser forms, and F_k's blend by step while training."""
  settings = config("phase1")
  models = networks.architecture(settings).build()
  variables = tiny.fill(models.inverter)
  params = variables.pop("params")
  generator = tiny.fill(models.generator)
  x = jnp.float32(tiny.pictures(2, 16)) / 127.5 - 1

  @functools.partial(jax.jit, static_argnums=1)
  def outputs(step, train=True):
    frozen = {"generator": generator}
    outs = [
        phase1.Forward(models, 0.01, form)(
            params, variables, frozen, x, step, jax.random.key(0), train
        )[0]
        for form in phase1.REGULARISERS
    ]
    nets = frozen | {"inverter": {"params": params, **variables}}
    inverted, _ = pipeline.run_inverter(models, nets, x, train=train)
    whole = pipeline.decode(
        models, nets, inverted.styles, inverted.f_k, inverted.skip
    )
    return outs, inverted, whole

  (norm, difference), inverted, whole = outputs(100)
  f_k, f_w = np.float64(inverted.f_k), np.float64(inverted.f_w)
  axes = (1, 2, 3)
  np.testing.assert_allclose(
      norm.regulariser, np.sqrt((f_k**2).sum(axes)), rtol=1e-5
  )
  np.testing.assert_allclose(
      difference.regulariser, ((f_k - f_w) ** 2).mean(axes), rtol=1e-5
  )
  # Validation sees what is deployed, whatever the step.
  (deployed, _), _, whole_deployed = outputs(0, False)
  np.testing.assert_allclose(deployed.fakes[:2], whole_deployed, atol=1e-5)
  by_step = {s: np.asarray(outputs(s)[0][0].fakes) for s in (0, 50, 100, 300)}
  for fakes in by_step.values():  # X^_w does not depend on the step
    np.testing.assert_allclose(fakes[2:], by_step[0][2:], atol=1e-5)
  np.testing.assert_allclose(by_step[0][:2], by_step[0][2:], atol=1e-5)
  np.testing.assert_allclose(by_step[100][:2], whole, atol=1e-5)
  np.testing.assert_allclose(by_step[300], by_step[100], atol=1e-5)
  assert np.abs(by_step[50] - by_step[100])[:2].max() > 1e-3
  assert np.abs(by_step[50] - by_step[0])[:2].max() > 1e-3


def on_one_device(function):
  """Of (state, frozen, batch), as `devices.pmap` runs it."""

  def call(stage, frozen):
    mapped = jax.vmap(function, (None, None, 0), axis_name=devices.AXIS)
    return mapped(stage.state, frozen, Batch(tiny.pictures(2, 16)[None]))

  return call


def columns(stage):
  call = functools.partial(on_one_device(stage.grid), stage)
  return list(jax.eval_shape(call, stage.frozen))


def scores(stage):
  call = functools.partial(on_one_device(stage.validate), stage)
  return set(jax.eval_shape(call, stage.frozen))


def test_networks_of_the_ablations():
  full = build("phase1")
  assert "fuser" in full.state.params
  assert full.trained["inverter"].feature_size == 4
  bare = build("phase1", model__fuser=False)
  assert "fuser" not in bare.state.params
  assert columns(bare) == columns(full)
  other = build("phase1", model__k=3, model__delta_k=3)
  assert other.trained["inverter"].feature_size == 8
  assert columns(other) == columns(full)
  car = build("cars", model__delta_k=3)
  assert "delta_block" in car.state.params
  assert "delta_block" not in build("phase2").state.params
  assert set(columns(car)) == {"X", "X^", "edited", "X_E'"}


def test_losses_of_the_ablations():
  plain = {"l2", "lpips", "loss", "ms_ssim"}
  assert scores(build("phase2")) == plain
  moco = build("phase2", loss__identity_network="moco")
  assert scores(moco) == plain | {"identity"}
  assert "identity" in moco.frozen
  assert scores(build("phase2", loss__lpips=0.0)) == plain - {"lpips"}


def test_without_inversion_nothing_is_judged():
  stage = build("phase2", edits__inversion=False)
  assert set(columns(stage)) == {"X", "edited", "X_E'"}
  assert {stage.variant(i) for i in range(64)} == {Variant(False, False)}


@pytest.mark.parametrize("encoder", [True, False])
def test_examples_are_of_the_editing_encoder(encoder):
  """Of E, or without E of the Inverter."""
  stage = build("phase2", edits__encoder=encoder)
  assert ("e4e" in stage.given) == encoder
  grid = jax.jit(functools.partial(on_one_device(stage.grid), stage))
  before = grid(stage.frozen)["X_E'"]
  for name in ("e4e", "inverter") if encoder else ("inverter",):
    network = jax.tree.map(lambda x: 1.5 * x, stage.frozen[name])
    after = grid(stage.frozen | {name: network})["X_E'"]
    changes = not np.array_equal(before, after)
    assert changes == (name == "e4e" or not encoder), name


def test_sets_of_directions():
  def powers(domain, name, *user):
    return training_sets.powers(domain, name, user, "weights")

  for shipped in (ffhq_phase2.get_config(), cars_phase2.get_config()):
    assert powers(shipped.edits.domain, shipped.edits.set)
  for domain, name in (("cars", "small"), ("faces", "full")):
    with pytest.raises(UserError, match="must be release, paper or small"):
      powers(domain, name)
  assert powers("none", "user", "a=1,-2") == {"a": (1, -2)}
  with pytest.raises(UserError, match="edits.user b=x: write NAME="):
    powers("none", "user", "a=1,-2", "b=x")
  with pytest.raises(UserError, match="edits.user must name directions"):
    powers("none", "user")


def every_family(space, seed):
  rng = np.random.default_rng(seed)

  def normal(*shape):
    return np.float32(0.3 * rng.standard_normal(shape))

  d, n = space.w_dim, space.styles
  pca = {"mean": normal(1, d), "comp": normal(4, 1, d), "std": normal(4) + 2}
  mapper = tiny.fill(LevelsMapper(w_dim=d), seed)["params"]
  return [
      families.user(normal(d), space),
      families.interfacegan(normal(1, d), space),
      families.boundary(normal(1, n * d), space),
      families.ganspace(pca, 1, 0, 3, space),
      families.stylespace([(0, seed), (3, 2)], space),
      families.mapper(mapper, space),
  ]


def test_directions_of_all_families_never_recompile():
  stage = build("phase2")
  models = {name: module for name, (module, _) in stage.given.items()}
  models["feature_editor"] = stage.trained["feature_editor"]
  generator = models["generator"]
  space = families.LatentSpace(
      generator.styles, generator.style_widths, generator.w_dim
  )
  forward = phase2.Forward(Models(**models))
  variables = {**stage.state.model_state}
  x = jnp.float32(tiny.pictures(2, 16)) / 127.5 - 1
  traces = []

  @jax.jit
  def edited(frozen, rng):
    traces.append(1)
    params = stage.state.params
    out, _ = forward(params, variables, frozen, x, 0, rng, False)
    return out.targets[2:], phase2.sample(frozen["directions"], rng)

  seen = set()
  for seed in (1, 2):
    data = every_family(space, seed)
    powers = {str(i): (1.0 + i, -1.0 - i)[: 1 + i % 2] for i in range(6)}
    edits = phase2.direction_set(data, powers)
    frozen = stage.frozen | {"directions": edits}
    for i in range(12):
      pictures, (chosen, power) = edited(frozen, jax.random.key(i))
      index = round(abs(float(power))) - 1
      assert float(power) in powers[str(index)]
      want = directions.with_zero_mapper(data[index])
      jax.tree.map(np.testing.assert_array_equal, chosen, want)
      seen.add((seed, index, np.asarray(pictures).tobytes()))
  assert len(traces) == 1
  assert {index for _, index, _ in seen} == set(range(6))
  assert len(seen) >= 14  # every direction and power gives another picture


@pytest.mark.parametrize("phase", PHASES)
def test_remat_changes_no_number(phase):
  close(named(run(build(phase, compute__remat=True))), stepped(phase)[1])


def test_bfloat16():
  stage = build("phase2", compute__dtype="bfloat16")
  got, want = named(run(stage)), stepped("phase2")[1]
  for name, x in got.items():
    assert np.isfinite(x).all() and x.dtype == want[name].dtype, name
  for name in ("1/loss/l2", "1/loss/lpips", "1/loss/d_main"):
    np.testing.assert_allclose(got[name], want[name], rtol=0.05)
  # Phase 1 without the networks that were judged above: they compile slowly.
  stage = build("phase1", compute__dtype="bfloat16", loss__lpips=0.0)
  got = named(run(stage, variant=Variant(False, False)))
  assert all(np.isfinite(x).all() for x in got.values())
  want = stepped("phase1")[1]["1/loss/l2"]
  np.testing.assert_allclose(got["1/loss/l2"], want, rtol=0.05)


@pytest.mark.parametrize("phase", PHASES)
def test_one_device_equals_four(phase, four_devices):
  prefix = f"{phase}/"
  four = {
      name.removeprefix(prefix): x
      for name, x in four_devices().items()
      if name.startswith(prefix)
  }
  close(four, stepped(phase)[1])


def test_r1_is_what_it_says():
  weight = jnp.arange(12.0).reshape(2, 2, 3)
  values = losses.r1(
      lambda x: jnp.sum(x * weight, (1, 2, 3)), jnp.ones((2, 2, 2, 3))
  )
  np.testing.assert_allclose(values, [jnp.sum(weight**2)] * 2)


if __name__ == "__main__":
  main(sys.argv[1])
