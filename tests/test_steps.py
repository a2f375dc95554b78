"""What the step that both phases share does with batches and memory."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sfe_jax import devices
from sfe_jax.architecture import Architecture
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.storage import weights
from sfe_jax.training import optim
from sfe_jax.training.stages import phase1
from sfe_jax.training.step import (
  EncoderTrainer,
  EncoderVariant,
  Objective,
  Outputs,
)
from tests import tiny
from tests.tiny_phases import PHASES, build, close, run
from tests.virtual_devices import named

pytestmark = pytest.mark.usefixtures("quick_compilation")


def gain_and_bias(params, model_state, frozen, images, step, rng, train):
  """A forward that takes no statistic over the batch."""
  del frozen, step, rng, train
  fakes = images * params["gain"] + params["bias"]
  n = images.shape[0]
  regulariser = jnp.full(n, jnp.sum(params["bias"] ** 2))
  return Outputs(fakes, images, fakes, images, regulariser), model_state


def stepped(**options):
  """{name: array} of a state and metrics after a step of gain_and_bias."""
  discriminator = Discriminator(8, (8, 8), mbstd_group=1)
  params = {"gain": jnp.full(3, 0.7), "bias": jnp.full(3, 0.1)}
  trainer = EncoderTrainer(
      gain_and_bias,
      Objective(),
      optim.ranger(1e-2),
      discriminator,
      optax.sgd(1e-2),
      **options,
  )
  stage = mock.Mock(
      state=trainer.init(params, {}, tiny.fill(discriminator)["params"]),
      frozen={},
      step=trainer.step,
  )
  return named(run(stage, n=4, size=8))


def test_micro_batches_equal_a_batch():
  """Where no statistic is taken over the batch (BatchNorm, minibatch std)."""
  close(stepped(accumulate=2), stepped(accumulate=1), 1e-5)


def test_r1_has_its_weight():
  published, tripled = stepped(), stepped(r1_gamma=30.0)
  close(
      {"r1": tripled["1/loss/d_r1"]}, {"r1": 3 * published["1/loss/d_r1"]}, 1e-5
  )
  assert published["1/loss/d_r1"] > 0


def test_settings_reach_the_trainer():
  with mock.patch.object(optim, "ranger", wraps=optim.ranger) as ranger:
    stage = build(
        "phase1",
        loss__r1_gamma=3.0,
        optimizer__learning_rate=0.5,
        optimizer__anneal=0.25,
        steps=8,
    )
  rate = ranger.call_args.args[0]
  for logged in (rate, stage.learning_rate):
    got = [logged(i) for i in (0, 6, 7, 8)]
    np.testing.assert_allclose(got, [0.5, 0.5, 0.25, 0], atol=1e-7)
  assert stage.step.__self__.r1_gamma == 3.0


@pytest.mark.parametrize("phase", PHASES)
def test_micro_batches_of_a_phase(phase):
  """Its losses are about those of the whole batch, whose statistics differ."""
  whole, parts = (
      named(
          run(
              build(phase, loss__lpips=0.0, compute__accumulate=accumulate),
              variant=EncoderVariant(True, False),
          )
      )
      for accumulate in (1, 2)
  )
  assert whole.keys() == parts.keys()
  assert all(np.isfinite(x).all() for x in parts.values())
  for name in ("1/loss/l2", "1/loss/d_main", "1/loss/adversarial"):
    np.testing.assert_allclose(parts[name], whole[name], rtol=0.1)


def test_evaluation_draws_by_the_pictures():
  def forward(params, model_state, frozen, images, step, rng, train):
    fakes = jnp.zeros_like(images) + jax.random.uniform(rng)
    return Outputs(fakes, images, fakes, images, None), model_state

  trainer = EncoderTrainer(
      forward, Objective(), optim.ranger(1e-2), None, optax.sgd(1e-2)
  )

  def drawn(state, images):
    out, _ = trainer.evaluate(state, {}, Batch(images))
    return out.fakes[0, 0, 0, 0]

  state = devices.replicate(trainer.init({"gain": jnp.ones(3)}, {}, None))
  rng = np.random.default_rng(0)
  first, second = rng.integers(0, 256, (2, 2, 8, 8, 3), np.uint8)
  values = [
      float(devices.pmap(drawn)(state, devices.split(x))[0])
      for x in (first, second, first)
  ]
  assert values[0] == values[2] != values[1]


@pytest.mark.parametrize(
    "changes, message",
    (
        (
            {"data__batch_size": 6, "compute__accumulate": 4},
            "batch_size 6 cannot be split over 1 devices and .* multiple of 4",
        ),
        ({"compute__accumulate": 0}, "compute.accumulate 0 micro-batches"),
        (
            {"data__batch_size": 12, "compute__accumulate": 2},
            "in groups of 4; a micro-batch of 6 does not allow this",
        ),
        (
            {"data__batch_size": 4, "compute__accumulate": 4},
            "micro-batch of 1 does not allow this; .* 2 or a multiple of 4",
        ),
        ({"data__batch_size": 3}, "micro-batch of 3 does not allow this"),
        ({"compute__dtype": "float16"}, "must be one of float32, bfloat16"),
        ({"model__k": 99}, "k must be odd and from 1 to 4 for images of 16"),
        ({"loss__size": 12}, "loss.size 12 must divide data.resolution 16"),
        (
            {"loss__identity_network": "arcface"},
            "arcface needs faces of 256 px, but .* computed at 16",
        ),
    ),
)
def test_what_does_not_fit_is_refused_before_training(changes, message):
  with pytest.raises(UserError, match=message):
    build("phase1", **changes)


def test_remat_keeps_fewer_activations():
  """Bytes phase 1 keeps for its gradient, at published sizes."""
  models = Architecture().build()
  variables = dict(weights.abstract(models.inverter))
  params = variables.pop("params")
  frozen = {"generator": weights.abstract(models.generator)}
  images = jax.ShapeDtypeStruct((1, 1024, 1024, 3), jnp.float32)

  def kept(remat):
    forward = phase1.Forward(models, 1e-4, "norm", remat)

    def gradient(params, variables, frozen, images):
      step, rng = jnp.int32(0), jax.random.key(0)

      def loss(params):
        out, _ = forward(params, variables, frozen, images, step, rng, True)
        return jnp.sum(out.fakes)

      return jax.vjp(loss, params)[1]

    saved = jax.eval_shape(gradient, params, variables, frozen, images)
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(saved))

  assert kept(True) < 0.6 * kept(False)
