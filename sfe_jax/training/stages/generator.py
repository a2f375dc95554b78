"""Trains StyleGAN2 on a set of pictures, see `training.gan`."""

import dataclasses
import functools
from typing import cast

import jax
from ml_collections import ConfigDict

from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from sfe_jax.training import gan, optim
from sfe_jax.training.requirements import Requirement
from sfe_jax.training.stage import Stage
from sfe_jax.training.stages import networks
from sfe_jax.training.state import Frozen, Metrics, TrainState


def check(config: ConfigDict) -> None:
  """Raises UserError if the config contradicts itself."""
  networks.compute_dtype(config)
  networks.levels(config.data.resolution)
  if config.augment.target and config.augment.images < 1:
    raise UserError(
        f"augment.images must be 1 or more, got {config.augment.images}"
    )


def requirements(config: ConfigDict) -> list[Requirement]:
  """Returns nothing: the stage needs pictures alone."""
  del config
  return []


def build(config: ConfigDict) -> Stage:
  """Builds the stage of a config such as configs/toy_generator.py.

  Raises:
    UserError: the batch does not fit the devices or the discriminator.
  """
  generator, discriminator = _modules(config)
  trainer = gan.GanTrainer(
      generator,
      discriminator,
      config.optimizer.learning_rate,
      r1=config.loss.r1_gamma,
      path=config.loss.path,
      mixing=config.loss.mixing,
      ema=config.optimizer.ema_images,
      augment_target=config.augment.target,
      augment_images=config.augment.images,
  )
  for_g, for_d = jax.random.split(networks.key(config.seed))
  variables = weights.init(generator, for_g)
  disc_params = weights.init(discriminator, for_d)["params"]
  evaluation = _Evaluation(trainer)
  return Stage(
      trained={"generator": generator, "discriminator": discriminator},
      given={},
      state=jax.device_get(trainer.init(variables, disc_params)),
      frozen={},
      variant=trainer.variant,
      learning_rate=functools.partial(optim.rate_at, trainer.learning_rate),
      step=trainer.step,
      validate=evaluation.validate,
      grid=evaluation.grid,
  )


@dataclasses.dataclass(frozen=True)
class _Evaluation:
  """Scores and grids of the averaged generator."""

  trainer: gan.GanTrainer

  def _samples(self, state: TrainState, n: int, psi: float) -> jax.Array:
    """Images (n, h, h, 3) of the averaged generator, always of the same z."""
    generator = self.trainer.generator
    keys = devices.example_keys(jax.random.key(0), n)
    z = jax.vmap(lambda key: jax.random.normal(key, (generator.w_dim,)))(keys)
    averaged = {"params": state.ema, **state.model_state}
    return cast(jax.Array, generator.apply(averaged, z, psi))

  def validate(
      self, state: TrainState, frozen: Frozen, batch: Batch
  ) -> Metrics:
    """Logits (n,) of the discriminator: held-out pictures and samples."""
    del frozen
    reals = layers.to_float(batch.image)
    fakes = self._samples(state, reals.shape[0], 1.0)
    return {
        "logits/real": self.trainer.judge(state.disc_params, reals),
        "logits/fake": self.trainer.judge(state.disc_params, fakes),
    }

  def grid(
      self, state: TrainState, frozen: Frozen, batch: Batch
  ) -> dict[str, jax.Array]:
    """Held-out pictures, and samples with truncation psi 0.7 and 1."""
    del frozen
    reals = layers.to_float(batch.image)
    n = reals.shape[0]
    made = {str(psi): self._samples(state, n, psi) for psi in (0.7, 1.0)}
    return {"real": reals} | made


def channels(resolution: int, width: int, max_width: int) -> tuple[int, ...]:
  """Channels of the features at 4, 8, ..., `resolution` px.

  Args:
    resolution: height and width of the images, a power of two, at least 8.
    width: channels at `resolution`; halving the resolution doubles them.
    max_width: largest number of channels.

  Raises:
    UserError: the resolution is not allowed.
  """
  blocks = networks.levels(resolution)
  return tuple(
      min(max_width, width << (blocks - 1 - i)) for i in range(blocks)
  )


def _modules(config: ConfigDict) -> tuple[Generator, Discriminator]:
  """The networks; raises UserError if the batch does not fit."""
  model, resolution = config.model, config.data.resolution
  sizes = {
      "resolution": resolution,
      "channels": channels(resolution, model.width, model.max_width),
      "dtype": networks.compute_dtype(config),
  }
  generator = Generator(
      w_dim=model.w_dim, mapping_layers=model.mapping_layers, **sizes
  )
  discriminator = Discriminator(axis_name=devices.AXIS, **sizes)
  batch, count = config.data.batch_size, jax.device_count()
  if config.loss.path and batch % (2 * count):
    raise UserError(
        "the path-length regulariser uses half of each device's pictures:"
        f" data.batch_size must be a multiple of {2 * count}, got {batch}; or"
        " set loss.path=0"
    )
  group = min(discriminator.mbstd_group, batch)
  if batch % group:
    raise UserError(
        "data.batch_size must be a multiple of the discriminator's group of"
        f" {group} pictures, got {batch}"
    )
  return generator, discriminator
