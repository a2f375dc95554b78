"""What E and both phases share: losses, optimisers, validation, grids."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from sfe_jax import pipeline
from sfe_jax.architecture import Models
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.measures import msssim
from sfe_jax.models import layers
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.training import optim
from sfe_jax.training.stages.networks import Networks
from sfe_jax.training.stages.stage import Stage
from sfe_jax.training.state import Frozen, Metrics, TrainState
from sfe_jax.training.step import EncoderTrainer, Forward, Objective


def stage(
    config: ConfigDict,
    found: Networks,
    forward: Forward,
    name: str,
    variables: Any,
    columns: Sequence[str],
    directions: Any = None,
) -> Stage:
  """A stage that trains network `name`.

  Args:
    config: sections loss, optimizer and compute are read here.
    found: the networks around it.
    forward: makes pictures, sets of n one after another.
    name: of the trained network.
    variables: its initial variables.
    columns: titles of the sets of pictures.
    directions: the set D, in phase 2.

  Raises:
    UserError: a batch cannot be split as the config says.
  """
  loss, compute = config.loss, config.compute
  _check_batch(config, found.discriminator)
  trainer = EncoderTrainer(
      forward=forward,
      objective=Objective(
          l2=loss.l2,
          lpips=loss.lpips,
          identity=loss.identity,
          adversarial=loss.adversarial,
          regulariser=loss.get("regulariser", 0.0),
          size=loss.size,
          lpips_net=found.lpips,
          identity_net=found.identity,
      ),
      optimizer=optim.ranger(
          optim.annealed(
              config.optimizer.learning_rate,
              config.steps,
              config.optimizer.anneal,
          )
      ),
      discriminator=found.discriminator,
      disc_optimizer=optim.adam(config.optimizer.disc_learning_rate),
      adversarial_start=loss.adversarial_start,
      r1_gamma=loss.r1_gamma,
      accumulate=compute.accumulate,
      remat=compute.remat,
  )
  # On the host: the first device would hold them beside the loop's copies.
  given = jax.device_get(found.variables)
  frozen = {
      name: given[name]
      for name in ("generator", "e4e", "inverter")
      if name in given
  }
  for role in ("perceptual", "identity"):
    if loss[f"{role}_network"] in given:
      frozen[role] = given[loss[f"{role}_network"]]
  if directions is not None:
    frozen["directions"] = directions
  disc_params = None
  if found.discriminator is not None:
    disc_params = given["discriminator"]["params"]
  variables = dict(variables)
  params = variables.pop("params")

  def validate(state: TrainState, frozen: Frozen, batch: Batch) -> Metrics:
    out, values = trainer.evaluate(state, frozen, batch)
    n = batch.image.shape[0]
    total = trainer.objective.total(values)
    first = {key: value[:n] for key, value in values.items()}
    metrics = first | {"loss": jnp.mean(total.reshape(-1, n), 0)}
    if msssim.scales_for(out.fakes.shape[1]):  # not defined below 11 px
      metrics["ms_ssim"] = _ms_ssim(out.fakes[:n], out.targets[:n])
    return metrics

  def grid(
      state: TrainState, frozen: Frozen, batch: Batch
  ) -> dict[str, jax.Array]:
    out, _ = trainer.evaluate(state, frozen, batch)
    n = batch.image.shape[0]
    sheets = {"X": layers.to_float(batch.image)}
    sheets |= {c: out.fakes[i * n : (i + 1) * n]
               for i, c in enumerate(columns)}
    if "edited" in columns:
      sheets["X_E'"] = out.targets[-n:]
    return sheets

  modules = {k: m for k, m in vars(found.models).items() if m is not None}
  trained = {name: modules.pop(name)}
  if isinstance(found.discriminator, Discriminator):  # of images, not latents
    trained["discriminator"] = found.discriminator
  return Stage(
      trained=trained,
      given={
          key: (module, given[key])
          for key, module in modules.items()
          if key in given
      },
      state=jax.device_get(trainer.init(params, variables, disc_params)),
      frozen=frozen,
      variant=trainer.variant,
      step=trainer.step,
      validate=validate,
      grid=grid,
  )


def _check_batch(config: ConfigDict, disc: nn.Module | None) -> None:
  """Raises UserError where a batch cannot be split as the config says."""
  batch, parts = config.data.batch_size, config.compute.accumulate
  devices = jax.device_count()
  if parts < 1 or batch % (devices * parts):
    raise UserError(
        f"data.batch_size {batch} cannot be split over {devices} devices and"
        f" compute.accumulate {parts} micro-batches; choose a multiple of"
        f" {devices * max(parts, 1)}"
    )
  micro = batch // parts
  if not isinstance(disc, Discriminator):
    return
  group = disc.mbstd_group
  # Phase 1 judges two sets.  One image has no group: its statistic is zero,
  # by which reals alone would give themselves away.
  uneven = any(n % min(group, n) for n in (micro, 2 * micro))
  if uneven or micro < min(2, group):
    raise UserError(
        f"the discriminator compares images in groups of {group}, for which"
        f" micro-batches of {micro} will not do; choose data.batch_size"
        f" ({batch}) / compute.accumulate ({parts}) as 2 or a multiple of"
        f" {group}, or loss.adversarial=0"
    )


def decoder(models: Models, remat: bool) -> Callable[..., jax.Array]:
  """`pipeline.decode` of `models`; `remat` recomputes its activations."""
  decode = functools.partial(pipeline.decode, models)
  return jax.checkpoint(decode) if remat else decode


def _ms_ssim(a: jax.Array, b: jax.Array) -> jax.Array:
  """MS-SSIM of images in [-1, 1] with as many scales as their size allows."""
  scales = msssim.scales_for(a.shape[1])

  def unit(x):
    return jnp.clip((x + 1.0) / 2.0, 0.0, 1.0)

  return msssim.ms_ssim(unit(a), unit(b), scales)
