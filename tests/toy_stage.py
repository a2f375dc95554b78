"""A stage that trains in milliseconds, its config, and the train command on it.

  python -m tests.toy_stage --config=tests/toy_stage.py --workdir=W
"""

import functools
import os
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from ml_collections import config_dict

from sfe_jax import devices
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.storage import images
from sfe_jax.training import optim, stages
from sfe_jax.training.requirements import Requirement
from sfe_jax.training.stage import Stage
from sfe_jax.training.state import TrainState


class Pictures:
  """A source, see `data.Source`: noise, the same everywhere."""

  resolution = 8

  def __len__(self):
    return 23

  def __getitem__(self, index):
    shape = (self.resolution, self.resolution, 3)
    return np.random.default_rng(index).integers(0, 256, shape, np.uint8)

  def write(self, folder):
    for i in range(len(self)):
      images.write(folder / f"{i:02}.png", self[i])


def get_config(variant: str = ""):
  if variant not in ("", "wide"):
    raise ValueError(f"no variant {variant!r}")
  return config_dict.ConfigDict({
      "stage": "toy",
      "seed": 0,
      "steps": 4,
      "width": 12 if variant else 6,
      "nan_at": -1,
      "needs": "",
      "optimizer": {"learning_rate": 1e-2, "anneal": 0.0},
      "data": {
          "source": "folder",
          "path": "",
          "name": "",
          "split": "train",
          "validation_path": "",
          "validation_count": 5,
          "resolution": 8,
          "batch_size": 4,
          "flip": True,
          "threads": 1,
      },
      "log": {
          "every": 1,
          "grid_every": 100,
          "validate_every": 100,
          "grid_count": 3,
          "profile_at": -1,
      },
      "init": {"random": True, "strength": 0.1},
      "compute": {"precision": "highest"},
      "checkpoint": {
          "every": 2, "keep": 2, "best": "l2", "deploy": "best"
      },
  })


class Autoencoder(nn.Module):
  width: int

  @nn.compact
  def __call__(self, x, train=False):
    x = nn.Conv(self.width, (3, 3), (2, 2), use_bias=False, name="down")(x)
    x = nn.BatchNorm(not train, axis_name=devices.AXIS, name="norm")(x)
    return nn.ConvTranspose(3, (3, 3), (2, 2), name="up")(nn.relu(x))


def check(config) -> None:
  if config.width < 1:
    raise UserError(f"width must be at least 1, got {config.width}")


def requirements(config):
  if not config.needs:
    return []
  return [Requirement("a thing", config.needs, "it is nowhere")]


def build(config) -> Stage:
  """Learns to remove noise; its discriminator only counts."""
  net = Autoencoder(config.width)
  rate = optim.annealed(
      config.optimizer.learning_rate, config.steps, config.optimizer.anneal
  )
  tx = optax.adam(rate)
  blank = jnp.zeros((1, 8, 8, 3))
  variables = net.init(jax.random.key(config.seed), blank)
  params = variables["params"]

  def step(variant, state, frozen, batch, rng):
    rng = jax.random.fold_in(rng, state.step)
    x = layers.to_float(batch.image)
    n, *shape = x.shape
    # The same noise however the batch is split.
    index = lax.axis_index(devices.AXIS) * n + jnp.arange(n)
    noise = jax.vmap(
        lambda i: jax.random.uniform(jax.random.fold_in(rng, i), shape)
    )(index)
    noisy = x + frozen["generator"] * noise

    def loss(params):
      out, updates = net.apply(
          {"params": params, **state.model_state},
          noisy,
          True,
          mutable=["batch_stats"],
      )
      return jnp.mean(jnp.square(out - x)), updates

    (value, model_state), grads = jax.value_and_grad(loss, has_aux=True)(
        state.params
    )
    value, grads = lax.pmean((value, grads), devices.AXIS)
    updates, opt_state = tx.update(grads, state.opt_state)
    value = jnp.where(state.step + 1 == config.nan_at, jnp.nan, value)
    state = TrainState(
        state.step + 1,
        optax.apply_updates(state.params, updates),
        model_state,
        opt_state,
        state.disc_params,
        jax.tree.map(lambda x: x + 1, state.disc_opt_state),
    )
    metrics = {"loss/l2": value, "loss/rms": jnp.sqrt(value)}
    return state, metrics | {"loss/third": value} if variant else metrics

  def decode(state, batch):
    x = layers.to_float(batch.image)
    return x, net.apply({"params": state.params, **state.model_state}, x)

  def validate(state, frozen, batch):
    x, y = decode(state, batch)
    return {
        "l2": jnp.mean(jnp.square(x - y), (1, 2, 3)),
        "l1": jnp.mean(jnp.abs(x - y), (1, 2, 3)),
    }

  def grid(state, frozen, batch):
    x, y = decode(state, batch)
    return {"input": x, "output": y}

  return Stage(
      trained={"autoencoder": net},
      given={},
      state=TrainState(
          step=jnp.zeros((), jnp.int32),
          params=params,
          model_state={"batch_stats": variables["batch_stats"]},
          opt_state=tx.init(params),
          disc_params={"kernel": jnp.ones(2)},
          disc_opt_state={"count": jnp.zeros((), jnp.int32)},
      ),
      frozen={"generator": jnp.full((), config.init.strength)},
      variant=lambda step: step % 3 == 0,
      learning_rate=functools.partial(optim.rate_at, rate),
      step=step,
      validate=validate,
      grid=grid,
  )


def register():
  """Makes "toy" a stage like those that ship."""
  stages.STAGES += ("toy",)
  sys.modules[f"{stages.__name__}.toy"] = sys.modules[__name__]


if __name__ == "__main__":
  if os.environ.get("TOY_WITHOUT_TENSORFLOW"):  # which takes seconds to import
    sys.modules["tensorflow"] = None
  from sfe_jax import command_line, train

  register()
  command_line.run(train.main, train.define_flags)
