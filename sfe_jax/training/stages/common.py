"""What the stages e4e, phase 1 and phase 2 share: trainer, scores, grids."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from absl import logging
from ml_collections import ConfigDict

from sfe_jax import pipeline
from sfe_jax.architecture import Models
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.measures import msssim
from sfe_jax.models import layers
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.training import optim
from sfe_jax.training.objective import Objective
from sfe_jax.training.stage import Stage
from sfe_jax.training.stages.networks import InitialNetworks
from sfe_jax.training.state import Frozen, Metrics, TrainState
from sfe_jax.training.step import EncoderTrainer, Forward

_FROZEN = ("generator", "e4e", "inverter")


def stage(
    config: ConfigDict,
    found: InitialNetworks,
    forward: Forward,
    name: str,
    variables: Any,
    columns: tuple[str, ...],
    directions: Any = None,
) -> Stage:
  """Builds a stage that trains network `name` with an `EncoderTrainer`.

  Args:
    config: sections loss, optimizer and compute are read here.
    found: networks at the start of the run.
    forward: makes sets of n images, one after another.
    name: name of the trained network.
    variables: its initial variables.
    columns: titles of the sets of images, for grids.
    directions: the training directions of phase 2.

  Raises:
    UserError: a batch cannot be split as the config says.
  """
  _check_batch(config, found.discriminator)
  rate = _learning_rate(config)
  trainer = _trainer(config, found, forward, rate)
  _announce_validation_loss(trainer.objective)
  # Kept on the host; on the first device they would use memory beside the
  # replicated copies.
  given = jax.device_get(found.variables)
  disc_params = None
  if found.discriminator is not None:
    disc_params = given["discriminator"]["params"]
  model_state = dict(variables)
  params = model_state.pop("params")
  modules = {k: m for k, m in vars(found.models).items() if m is not None}
  trained = {name: modules.pop(name)}
  if isinstance(found.discriminator, Discriminator):  # not the latents' one
    trained["discriminator"] = found.discriminator
  evaluation = _Evaluation(trainer, columns)
  return Stage(
      trained=trained,
      given={
          key: (module, given[key])
          for key, module in modules.items()
          if key in given
      },
      state=jax.device_get(trainer.init(params, model_state, disc_params)),
      frozen=_frozen(config, given, directions),
      variant=trainer.variant,
      learning_rate=functools.partial(optim.rate_at, rate),
      step=trainer.step,
      validate=evaluation.validate,
      grid=evaluation.grid,
  )


def _learning_rate(config: ConfigDict) -> optax.ScalarOrSchedule:
  """Learning rate of the trained network."""
  settings = config.optimizer
  return optim.annealed(settings.learning_rate, config.steps, settings.anneal)


def _trainer(
    config: ConfigDict,
    found: InitialNetworks,
    forward: Forward,
    rate: optax.ScalarOrSchedule,
) -> EncoderTrainer:
  loss, compute = config.loss, config.compute
  return EncoderTrainer(
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
      optimizer=optim.ranger(rate),
      discriminator=found.discriminator,
      disc_optimizer=optim.adam(config.optimizer.disc_learning_rate),
      adversarial_start=loss.adversarial_start,
      r1_gamma=loss.r1_gamma,
      accumulate=compute.accumulate,
      remat=compute.remat,
  )


def _announce_validation_loss(objective: Objective) -> None:
  """Logs which terms validation/loss holds, since loss/total holds more."""
  terms = [f"{objective.l2:g} l2"]
  if objective.lpips_net is not None and objective.lpips:
    terms.append(f"{objective.lpips:g} lpips")
  if objective.identity_net is not None and objective.identity:
    terms.append(f"{objective.identity:g} identity")
  logging.info(
      "validation/loss is %s; unlike loss/total it leaves out the regulariser"
      " and the adversarial loss",
      " + ".join(terms),
  )


def _frozen(
    config: ConfigDict, given: dict[str, Any], directions: Any
) -> Frozen:
  """The argument of the step that training does not change."""
  frozen = {name: given[name] for name in _FROZEN if name in given}
  for role in ("perceptual", "identity"):
    network = config.loss[f"{role}_network"]
    if network in given:
      frozen[role] = given[network]
  if directions is not None:
    frozen["directions"] = directions
  return frozen


@dataclasses.dataclass(frozen=True)
class _Evaluation:
  """Scores and grids of held-out images.

  Attributes:
    trainer: runs the network as it is deployed.
    columns: titles of the sets of images that it makes.
  """

  trainer: EncoderTrainer
  columns: tuple[str, ...]

  def validate(
      self, state: TrainState, frozen: Frozen, batch: Batch
  ) -> Metrics:
    """Scores of each image: {name: (n,)}.

    The comparison losses and "ms_ssim" are those of the first set of images.
    "loss" is the weighted sum of the comparison losses, averaged over all sets;
    it includes neither regulariser nor adversarial loss.
    """
    out, values = self.trainer.evaluate(state, frozen, batch)
    n = batch.image.shape[0]
    total = self.trainer.objective.total(values)
    metrics = {name: value[:n] for name, value in values.items()}
    metrics["loss"] = jnp.mean(total.reshape(-1, n), 0)
    if msssim.scales_for(out.fakes.shape[1]):  # not defined below 11 px
      metrics["ms_ssim"] = _ms_ssim(out.fakes[:n], out.targets[:n])
    return metrics

  def grid(
      self, state: TrainState, frozen: Frozen, batch: Batch
  ) -> dict[str, jax.Array]:
    """The images, every set made of them, and X_E' if there are edited ones."""
    out, _ = self.trainer.evaluate(state, frozen, batch)
    n = batch.image.shape[0]
    sheets = {"X": layers.to_float(batch.image)}
    for i, title in enumerate(self.columns):
      sheets[title] = out.fakes[i * n : (i + 1) * n]
    if "edited" in self.columns:
      sheets["X_E'"] = out.targets[-n:]
    return sheets


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
  # Phase 1 judges two sets of fakes but one of reals.  A single image has no
  # group: its statistic is zero, which would tell reals from fakes.
  uneven = any(n % min(group, n) for n in (micro, 2 * micro))
  if uneven or micro < min(2, group):
    raise UserError(
        f"the discriminator compares images in groups of {group}; a"
        f" micro-batch of {micro} does not allow this; choose data.batch_size"
        f" ({batch}) / compute.accumulate ({parts}) as 2 or a multiple of"
        f" {group}, or set loss.adversarial=0"
    )


def decoder(models: Models, remat: bool) -> Callable[..., jax.Array]:
  """Returns `pipeline.decode` of `models`.

  Args:
    models: networks.
    remat: recompute its activations in the backward pass to save memory.
  """
  decode = functools.partial(pipeline.decode, models)
  return jax.checkpoint(decode) if remat else decode


def _ms_ssim(a: jax.Array, b: jax.Array) -> jax.Array:
  """MS-SSIM (n,) of images in [-1, 1], with as many scales as fit."""
  scales = msssim.scales_for(a.shape[1])

  def unit(x):
    return jnp.clip((x + 1.0) / 2.0, 0.0, 1.0)

  return msssim.ms_ssim(unit(a), unit(b), scales)
