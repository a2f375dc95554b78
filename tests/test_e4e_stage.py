"""The stage that trains E, on tiny networks, and the train command on it.

  python -m tests.test_e4e_stage OUT.npz   a step on all devices
"""

import dataclasses
import functools
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import toy_e4e
from convert import export, importer
from sfe_jax import devices
from sfe_jax.architecture import Architecture
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.measures import losses
from sfe_jax.models.e4e import E4E
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.storage import checkpoints
from sfe_jax.storage import weights as weight_files
from sfe_jax.training import stages
from sfe_jax.training.stages import e4e
from sfe_jax.training.step import EncoderVariant
from tests import runs, tiny
from tests.virtual_devices import beside, named

pytestmark = pytest.mark.usefixtures("quick_compilation")

N, SIZE, STEP = 4, 16, 16
SIZES = {
    "data.resolution": SIZE,
    "model.resolution": SIZE,
    "model.channels": (8, 8, 8),
    "model.w_dim": 8,
    "model.mapping_layers": 1,
    "model.e4e_widths": (4, 4, 8, 8),
    "loss.identity_network": "none",
    "loss.lpips": 0.0,
}
ROWS = {"latent.row_start": 14, "latent.row_every": 1}  # 4 take part at STEP
ALL = EncoderVariant(adversarial=True, penalty=True)


@functools.cache
def build(**changes):
  """The stage of a config, with variables that need no compiling."""
  c = toy_e4e.get_config("smoke")
  changes = {key.replace("__", "."): x for key, x in changes.items()}
  c.update_from_flattened_dict(SIZES | ROWS | changes)
  with mock.patch.object(weight_files, "init", lambda net, _: tiny.fill(net)):
    return stages.build(c)


def run(stage, variant=ALL):
  """(state, metrics) after step number STEP, on all devices."""

  def step(state, frozen, batch, seed):
    return stage.step(variant, state, frozen, batch, jax.random.key(seed))

  out = devices.pmap(step)(
      devices.replicate(stage.state.replace(step=jnp.int32(STEP))),
      devices.replicate(stage.frozen),
      devices.split(Batch(tiny.pictures(N, SIZE))),
      devices.replicate(np.uint32(0)),
  )
  return devices.unreplicate(out)


@functools.cache
def stepped():
  return run(build())


@functools.cache
def outputs():
  """What E makes of the batch of `stepped`: (Outputs, model_state)."""
  stage = build()
  trainer = stage.step.__self__
  state, frozen = stage.state, stage.frozen
  x = jnp.float32(tiny.pictures(N, SIZE)) / 127.5 - 1

  def forward(_):
    # The key of step STEP's only micro-batch.
    rng = jax.random.fold_in(jax.random.key(0), STEP)
    rng = jax.random.fold_in(rng, 0)
    return trainer.forward(
        state.params, state.model_state, frozen, x, STEP, rng, True
    )

  return devices.unreplicate(devices.pmap(forward)(jnp.zeros(1)))


@pytest.fixture(scope="module", autouse=True)
def two_devices(tmp_path_factory):
  """Computes on 2 devices beside the other tests; gives the results."""
  out = tmp_path_factory.mktemp("two") / "out.npz"
  yield from beside("tests.test_e4e_stage", 2, out)


def main(out):
  assert jax.local_device_count() == 2
  np.savez(out, **named(run(build())))


def test_rows_have_their_turn_without_recompiling():
  w_plus = np.random.default_rng(0).normal(size=(2, 5, 3))
  traces = []

  @jax.jit
  def active(step):
    traces.append(1)
    return e4e.active_rows(w_plus, step, 10, 4)

  turns = {0: 1, 9: 1, 10: 2, 13: 2, 14: 3, 18: 4, 21: 4, 22: 5, 999: 5}
  for step, count in turns.items():
    got = np.asarray(active(step))
    np.testing.assert_allclose(got[:, :count], w_plus[:, :count], rtol=1e-6)
    for i in range(count, 5):
      np.testing.assert_array_equal(got[:, i], got[:, 0])
  assert len(traces) == 1


def test_row_distance():
  w_plus = np.random.default_rng(0).normal(size=(2, 5, 3))
  want = [
      sum(np.linalg.norm(rows[i] - rows[0]) for i in range(5))
      for rows in w_plus
  ]
  np.testing.assert_allclose(losses.row_distance(w_plus), want, rtol=1e-5)
  same = jnp.ones((2, 5, 3))
  np.testing.assert_allclose(losses.row_distance(same), 0, atol=1e-5)
  slope = jax.grad(lambda x: jnp.sum(losses.row_distance(x)))(same)
  np.testing.assert_array_equal(slope, 0)


def test_half_of_the_codes_change_places_with_past_ones():
  numbers = np.arange(520.0)[:, None, None]
  before = np.broadcast_to(-1 - numbers[:20], (20, 2, 3))
  codes = np.broadcast_to(numbers[:500], (500, 2, 3))
  shown, pool = jax.jit(e4e.recall)(before, codes, jax.random.key(0))
  assert (np.ptp(shown, axis=(1, 2)) == 0).all()  # codes stay whole
  memory = [row[0, 0] for row in before]
  kept, places = 0, set()
  for i in range(500):
    seen = shown[i, 0, 0]
    if seen == i:
      kept += 1
    else:  # it must be a past code, whose place the new one takes
      place = memory.index(seen)
      memory[place] = float(i)
      places.add(place)
  np.testing.assert_array_equal(pool[:, 0, 0], memory)
  assert abs(kept - 250) < 50
  assert len(places) == 20
  again, _ = jax.jit(e4e.recall)(before, codes, jax.random.key(0))
  other, _ = jax.jit(e4e.recall)(before, codes, jax.random.key(1))
  np.testing.assert_array_equal(again, shown)
  assert (other != shown).any()


def test_rows_are_judged_against_mapped_z():
  stage, (out, model_state) = build(), outputs()
  generator, variables = stage.given["generator"]
  pool, w_dim = 4, generator.w_dim
  # The code that E starts from is all that is remembered at first.
  start = stage.state.model_state["pool"]["codes"]
  w_avg = np.asarray(variables["buffers"]["w_avg"])
  np.testing.assert_array_equal(start, np.stack([w_avg] * pool))
  codes = out.judged.reshape(N, generator.styles, w_dim)
  shown = out.shown.reshape(codes.shape)
  new = (shown == codes).all((1, 2))
  assert 0 < new.sum() < N
  remembered = [*start, *codes]
  for code in shown[~new]:
    assert any((code == past).all() for past in remembered)
  assert not np.array_equal(model_state["pool"]["codes"], start)
  # Reals: as many, each mapped from another z.
  assert out.reals.shape == out.judged.shape == (N * generator.styles, w_dim)
  assert len({row.tobytes() for row in out.reals}) == len(out.reals)
  z = np.random.default_rng(0).standard_normal((4096, w_dim), np.float32)
  w = np.asarray(generator.apply(variables, z, method="mapping"))
  error = (out.reals.mean(0) - w.mean(0)) / w.std(0)
  assert np.abs(error).mean() < 2 * len(out.reals) ** -0.5
  np.testing.assert_allclose(out.reals.std(0), w.std(0), rtol=0.5)


def test_validation_has_all_rows():
  """As the deployed encoder, whatever the step."""
  stage = build(latent__row_start=STEP + 1)
  trainer = stage.step.__self__
  state = stage.state.replace(step=jnp.int32(STEP))

  def judged(batch):
    out, _ = trainer.evaluate(state, stage.frozen, batch)
    return out.judged

  rows = devices.join(
      devices.pmap(judged)(devices.split(Batch(tiny.pictures(N, SIZE))))
  ).reshape(N, -1, 8)
  assert (np.ptp(rows, axis=1) > 1e-3).any(-1).all()


def test_losses_of_a_step():
  """All of them by hand, from what E makes."""
  stage, (out, _), (_, metrics) = build(), outputs(), stepped()
  disc = LatentDiscriminator(8, (16, 16))
  params = {"params": stage.state.disc_params}
  judged, shown, reals = (
      disc.apply(params, x) for x in (out.judged, out.shown, out.reals)
  )
  slopes = jax.grad(lambda x: jnp.sum(disc.apply(params, x)))(out.reals)
  codes = out.judged.reshape(N, -1, 8)
  want = {
      "l2": np.mean((out.fakes - out.targets) ** 2),
      "adversarial": np.mean(np.logaddexp(0, -judged)),
      "regulariser": np.mean(
          np.linalg.norm(codes - codes[:, :1], axis=-1).sum(-1)
      ),
      "d_main": np.mean([np.logaddexp(0, -reals), np.logaddexp(0, shown)]),
      "d_r1": 5 * 16 * np.mean(np.sum(slopes**2, -1)),
  }
  for name, value in want.items():
    np.testing.assert_allclose(
        metrics[f"loss/{name}"], value, rtol=1e-4, err_msg=name
    )
  total = want["l2"] + 0.1 * want["adversarial"] + 2e-4 * want["regulariser"]
  np.testing.assert_allclose(metrics["loss/total"], total, rtol=1e-4)


def test_a_step_changes_e_and_its_discriminator():
  before, (after, metrics) = build().state, stepped()
  assert all(np.isfinite(x).all() for x in named((after, metrics)).values())
  assert after.step == STEP + 1
  for part, resting in (
      ("params", {"head4", "head5", "lateral_fine"}),
      ("disc_params", set()),
  ):
    old, new = getattr(before, part), getattr(after, part)
    same = {
        name
        for name in old
        if all(
            (x == y).all()
            for x, y in zip(*map(jax.tree.leaves, (old[name], new[name])))
        )
    }
    assert same == resting, part
  old, new = named(before.model_state), named(after.model_state)
  moved = {k.split("/")[0] for k in old if (old[k] != new[k]).any()}
  assert moved == {"batch_stats", "pool"}
  w_avg = build().given["generator"][1]["buffers"]["w_avg"]
  np.testing.assert_array_equal(new["buffers/w_avg"], w_avg)


def test_one_device_equals_two(two_devices):
  one, two = named(stepped()), two_devices()
  assert one.keys() == two.keys()
  for name, b in one.items():
    error = np.abs(two[name] - b)
    if "disc_params" in name:  # Adam's first step is the gradient's sign
      assert np.mean(error > 1e-6) < 0.02, name
    else:
      assert error.max() <= 1e-4 * max(np.abs(b).max(), 1e-4), name


def test_without_an_adversary():
  stage = build(loss__adversarial=0.0)
  assert {stage.variant(i) for i in range(64)} == {EncoderVariant(False, False)}
  assert stage.state.disc_params is None


def test_too_few_steps_are_noted(caplog):
  with caplog.at_level("WARNING"):
    build(steps=9, latent__row_start=5, latent__row_every=1)
  assert "from step 9 on, which a run of 9 steps does not" in caplog.text
  caplog.clear()
  with caplog.at_level("WARNING"):
    build(steps=10, latent__row_start=5, latent__row_every=1)
  assert not caplog.text


@pytest.mark.parametrize("name", ["row_every", "pool"])
def test_impossible_numbers_are_refused(name):
  message = f"latent.{name} must be 1 or more, got 0"
  with pytest.raises(UserError, match=message):
    build(**{f"latent__{name}": 0})


def test_grid_and_scores():
  stage = build()
  args = (
      devices.replicate(stage.state),
      devices.replicate(stage.frozen),
      devices.split(Batch(tiny.pictures(N, SIZE))),
  )
  columns = jax.eval_shape(devices.pmap(stage.grid), *args)
  picture = (1, N, SIZE, SIZE, 3)
  shapes = {name: x.shape for name, x in columns.items()}
  assert shapes == {"X": picture, "X^": picture}
  scores = jax.eval_shape(devices.pmap(stage.validate), *args)
  shapes = {name: x.shape for name, x in scores.items()}
  assert shapes == {name: (1, N) for name in ("l2", "loss", "ms_ssim")}


def test_narrow_heads():
  """`head_features` is their convolutions' width; latents keep theirs."""
  found = {
      width: weight_files.abstract(
          E4E(4, 8, 32, (1,) * 4, (4,) * 4, head_features=width)
      )["params"]["head0"]
      for width in (None, 8, 3)
  }
  assert jax.tree.map(np.shape, found[None]) == jax.tree.map(
      np.shape, found[8]
  )
  assert found[3]["conv0"]["kernel"].shape == (3, 3, 4, 3)
  assert found[3]["linear"]["kernel"].shape == (3, 8)


ARGUMENTS = [
    f"--config.{key}={','.join(map(str, x)) if isinstance(x, tuple) else x}"
    for key, x in SIZES.items()
] + ["--config.checkpoint.deploy=last"]


def test_two_and_two_steps_are_four(tmp_path):
  command = runs.Runs(tmp_path, tiny.pictures(12, SIZE))

  def train(name, *args):
    return command.finish(command.start("toy_e4e", name, *ARGUMENTS, *args))

  whole = train("whole")
  cut = train("cut", "--config.steps=2") + train("cut")
  assert "going on from step 2" in cut
  assert list(runs.losses(whole)) == [1, 2, 3, 4]
  assert runs.losses(cut) == runs.losses(whole)
  states = [
      checkpoints.read_state(tmp_path / name, names=list(vars(build().state)))
      for name in ("whole", "cut")
  ]
  jax.tree.map(np.testing.assert_array_equal, *states)
  assert states[0]["step"] == 4 and states[0]["disc_params"] is not None

  folder = tmp_path / "whole/weights"
  assert {p.name for p in folder.iterdir()} == {"e4e", "generator"}
  network, found = weight_files.read(folder / "e4e", E4E)
  kept = {k: x for k, x in states[0]["model_state"].items() if k != "pool"}
  jax.tree.map(
      np.testing.assert_array_equal,
      dict(found),
      {"params": states[0]["params"], **kept},
  )
  generator, _ = weight_files.read(folder / "generator")
  models = Architecture(
      SIZE, (8, 8, 8), 8, 1, encoder_size=32, k=1, delta_k=1
  ).build()
  dataclasses.replace(models, generator=generator, e4e=network).check()

  pytest.importorskip("torch")
  export.export_run(tmp_path / "whole", tmp_path / "official")
  importer.import_files([tmp_path / "official/e4e.pt"], tmp_path / "back")
  again, back = weight_files.read(tmp_path / "back/e4e")
  assert again == network and network.head_features == 8
  jax.tree.map(np.testing.assert_array_equal, back, found)


if __name__ == "__main__":
  main(sys.argv[1])
