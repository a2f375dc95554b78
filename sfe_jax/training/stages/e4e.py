"""Trains the encoder E of images to w+ (e4e, Tov et al. 2021)."""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import lax
from ml_collections import ConfigDict

from sfe_jax import devices, pipeline
from sfe_jax.errors import UserError
from sfe_jax.measures import losses
from sfe_jax.models.e4e import E4E
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from sfe_jax.training.requirements import Requirement
from sfe_jax.training.stage import Stage
from sfe_jax.training.stages import common, networks
from sfe_jax.training.state import Frozen
from sfe_jax.training.step import Outputs


def active_rows(
    w_plus: jax.Array, step: jax.Array, start: int, every: int
) -> jax.Array:
  """Progressive training: rows of w+ equal the first row until their turn.

  Args:
    w_plus: (n, styles, w_dim).
    step: () number of steps done.
    start: step from which the second row has its own value.
    every: number of steps from one row's turn to the next row's.

  Returns:
    (n, styles, w_dim).
  """
  count = 2 + (step - start) // every
  row = jnp.arange(w_plus.shape[1])[:, None]
  return jnp.where(row < count, w_plus, w_plus[:, :1])


def recall(
    pool: jax.Array, codes: jax.Array, rng: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Image-pool trick for latents, as in the official e4e code.

  With probability 1/2 a new latent enters the pool, and the latent that it
  evicts is shown to the discriminator instead.

  Args:
    pool: (size, styles, w_dim), past latents.
    codes: (n, styles, w_dim), new latents.
    rng: random key.

  Returns:
    Latents (n, styles, w_dim) to show, and the next pool.
  """
  for_part, for_place = jax.random.split(rng)
  n = codes.shape[0]
  parts = jax.random.bernoulli(for_part, 0.5, (n,))
  places = jax.random.randint(for_place, (n,), 0, pool.shape[0])

  def one(pool, inputs):
    code, part, place = inputs
    past = pool[place]
    pool = pool.at[place].set(jnp.where(part, code, past))
    return pool, jnp.where(part, past, code)

  pool, shown = lax.scan(one, pool, (codes, parts, places))
  return shown, pool


@dataclasses.dataclass(frozen=True)
class Forward:
  """Makes G(E(X)); rows of w+ are judged against mapped z.

  Attributes:
    generator: the generator G.
    e4e: the encoder E.
    row_start: argument `start` of `active_rows`.
    row_every: argument `every` of `active_rows`.
    remat: recompute the generator's activations in the backward pass.
  """

  generator: Generator
  e4e: E4E
  row_start: int
  row_every: int
  remat: bool = False

  def __call__(
      self,
      params: Any,
      model_state: Any,
      frozen: Frozen,
      images: jax.Array,
      step: jax.Array,
      rng: jax.Array,
      train: bool,
  ) -> tuple[Outputs, Any]:
    """See `EncoderTrainer.forward`.

    With `train` False all rows of w+ are active, as in the deployed encoder.
    """
    variables = {"params": params, **model_state}
    w_plus, updates = pipeline.encode(self.e4e, variables, images, train)
    if train:
      w_plus = active_rows(w_plus, step, self.row_start, self.row_every)

    def synthesize(w_plus):
      return self.generator.apply(
          frozen["generator"], w_plus, method="synthesize"
      )

    fakes = (jax.checkpoint(synthesize) if self.remat else synthesize)(w_plus)
    for_z, for_pool = jax.random.split(rng)
    pool = model_state["pool"]["codes"]
    shown, pool = _share_of_recall(pool, w_plus, for_pool)
    out = Outputs(
        fakes=fakes,
        targets=images,
        judged=_rows(w_plus),
        reals=self._mapped(frozen, w_plus.shape, for_z),
        regulariser=losses.row_distance(w_plus),
        shown=_rows(shown),
    )
    return out, {**model_state, **updates, "pool": {"codes": pool}}

  def _mapped(
      self, frozen: Frozen, shape: tuple[int, ...], rng: jax.Array
  ) -> jax.Array:
    """Mapped random z, as many rows as w+ of a shape (n, styles, w_dim)."""
    n, *rest = shape
    z = jax.vmap(lambda key: jax.random.normal(key, rest))(
        devices.example_keys(rng, n)
    )
    mapped = self.generator.apply(
        frozen["generator"], _rows(z), method="mapping"
    )
    return cast(jax.Array, mapped)


def _share_of_recall(
    pool: jax.Array, w_plus: jax.Array, rng: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Runs `recall` on the latents of all devices.

  Every device computes the same pool.

  Args:
    pool: (size, styles, w_dim), past latents.
    w_plus: (n, styles, w_dim), new latents of this device.
    rng: random key, the same on all devices.

  Returns:
    Latents (n, styles, w_dim) to show on this device, and the next pool.
  """
  n = w_plus.shape[0]
  codes = lax.stop_gradient(w_plus)
  codes = lax.all_gather(codes, devices.AXIS, tiled=True)
  shown, pool = recall(pool, codes, rng)
  first = lax.axis_index(devices.AXIS) * n
  return lax.dynamic_slice_in_dim(shown, first, n), pool


def _rows(w_plus: jax.Array) -> jax.Array:
  """(n, styles, w_dim) -> (n * styles, w_dim)."""
  return w_plus.reshape(-1, w_plus.shape[-1])


def check(config: ConfigDict) -> None:
  """Raises UserError if the config contradicts itself."""
  networks.check(config)
  for name in ("row_every", "pool"):
    if config.latent[name] < 1:
      raise UserError(
          f"latent.{name} must be 1 or more, got {config.latent[name]}"
      )


def requirements(config: ConfigDict) -> list[Requirement]:
  """Looks for the networks that the stage reads."""
  return networks.requirements(config)


def build(config: ConfigDict) -> Stage:
  """Builds the stage of a config such as configs/toy_e4e.py.

  Raises:
    UserError: a network is missing, or sizes do not fit.
  """
  latent = config.latent
  found = networks.load_given(config)
  generator = found.models.generator
  e4e = networks.architecture(config, generator).e4e(
      jnp.dtype(config.compute.dtype), devices.AXIS
  )
  every_row = latent.row_start + (generator.styles - 2) * latent.row_every
  if config.steps <= every_row:
    logging.warning(
        "all rows of w+ are trained from step %d on, which a run of %d steps"
        " does not reach: the last rows stay untrained; lower latent.row_start"
        " or latent.row_every, or raise steps",
        every_row, config.steps,
    )
  for_e, for_d = jax.random.split(networks.key(config.seed))
  variables = jax.device_get(weights.init(e4e, for_e))
  w_avg = np.asarray(found.variables["generator"]["buffers"]["w_avg"])
  variables["buffers"]["w_avg"] = w_avg
  variables["pool"] = {"codes": np.tile(w_avg, (latent.pool, 1, 1))}
  judge = None
  if config.loss.adversarial:
    judge = LatentDiscriminator(e4e.w_dim, latent.disc_widths)
    found.variables["discriminator"] = weights.init(judge, for_d)
  found = dataclasses.replace(
      found,
      models=dataclasses.replace(found.models, e4e=e4e),
      discriminator=judge,
  )
  forward = Forward(
      generator, e4e, latent.row_start, latent.row_every, config.compute.remat
  )
  return common.stage(
      config, found, forward, "e4e", variables, columns=("X^",)
  )
