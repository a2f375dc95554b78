"""The training step of StyleGAN2 (Karras et al. 2020).

The step has the non-saturating logistic loss, lazy R1 and path-length
regularisation, style mixing, an exponential moving average of the generator
and, for small data sets, adaptive augmentation.  Both networks learn from the
same generated images: a step runs the generator forward once.
"""

import dataclasses
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax

from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.measures import losses
from sfe_jax.models import layers
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.training import augment, gan_sampling, optim
from sfe_jax.training.state import Frozen, Metrics, TrainState

PATH_EVERY = 4
_PATH_DECAY = 0.01
_PATH_SHRINK = 2  # path lengths are measured on 1/2 of the batch
_W_AVG_DECAY = 0.995
_EMA_RAMP = 0.05  # the average's half-life is at most 5 % of the images seen


class GanVariant(NamedTuple):
  """Which regularisers a step applies; each variant is compiled separately.

  Attributes:
    penalty: R1 on the discriminator.
    path: path-length regulariser on the generator.
  """

  penalty: bool
  path: bool


class OptState(NamedTuple):
  """What training keeps besides the parameters and their averages.

  Attributes:
    adam: state of the generator's optimiser.
    path_mean: () running mean of the path lengths.
    augment: () probability of an augmentation, in [0, 1].
  """

  adam: Any
  path_mean: jax.Array
  augment: jax.Array


@dataclasses.dataclass(frozen=True)
class GanTrainer:
  """The step of StyleGAN2, written for one device of axis `devices.AXIS`.

  Attributes:
    generator: the generator G.
    discriminator: the discriminator D.
    learning_rate: learning rate of both networks.
    r1: weight gamma of R1; 0 leaves it out.
    path: weight of the path-length regulariser; 0 leaves it out.
    mixing: probability that an image mixes the styles of two latents.
    ema: half-life of the generator's moving average in images.
    augment_target: wanted mean of sign(D(real)), see `augment.adapt`; 0 trains
      without augmentation.
    augment_images: number of images in which the augmentation probability may
      go from 0 to 1.
  """

  generator: Generator
  discriminator: Discriminator
  learning_rate: float
  r1: float
  path: float = 2.0
  mixing: float = 0.9
  ema: float = 10_000.0
  augment_target: float = 0.0
  augment_images: int = 500_000

  @property
  def sampler(self) -> gan_sampling.GanSampler:
    """Draws latents and generated images."""
    return gan_sampling.GanSampler(self.generator, self.mixing)

  @property
  def optimizer(self) -> optax.GradientTransformation:
    """Optimiser of the generator."""
    return optim.lazy_adam(self.learning_rate, PATH_EVERY)

  @property
  def disc_optimizer(self) -> optax.GradientTransformation:
    """Optimiser of the discriminator."""
    return optim.lazy_adam(self.learning_rate, losses.R1_EVERY)

  def init(self, variables: Any, disc_params: Any) -> TrainState:
    """Builds the training state at step 0.

    Args:
      variables: initial variables of the generator.
      disc_params: initial parameters of the discriminator.
    """
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state={"buffers": variables["buffers"]},
        opt_state=OptState(
            self.optimizer.init(params), jnp.zeros(()), jnp.zeros(())
        ),
        disc_params=disc_params,
        disc_opt_state=self.disc_optimizer.init(disc_params),
        ema=params,
    )

  def variant(self, step: int) -> GanVariant:
    """Returns the variant of step number `step`, counted from 0."""
    return GanVariant(
        self.r1 > 0 and step % losses.R1_EVERY == 0,
        self.path > 0 and step % PATH_EVERY == 0,
    )

  def step(
      self,
      variant: GanVariant,
      state: TrainState,
      frozen: Frozen,
      batch: Batch,
      rng: jax.Array,
  ) -> tuple[TrainState, Metrics]:
    """Runs one step of both networks; see `training.stage.Stage`."""
    del frozen
    reals = layers.to_float(batch.image)
    n = reals.shape[0]
    rng = jax.random.fold_in(rng, state.step)
    for_reals, for_fakes, for_paths = jax.random.split(rng, 3)
    reals = self._augment(state, reals, devices.example_keys(for_reals, n))
    keys = devices.example_keys(for_fakes, n)
    grads, disc_grads, metrics, w_mean = lax.pmean(
        self.gradients(state, reals, keys), devices.AXIS
    )
    metrics["grad_norm"] = optax.tree.norm(grads)
    state = self._update(state, grads)
    state = self._update_disc(state, disc_grads)
    if variant.path:
      keys = devices.example_keys(for_paths, n // _PATH_SHRINK)
      state, more = self._regularise(state, keys)
      metrics |= more
    if variant.penalty:
      state, more = self._penalise(state, reals)
      metrics |= more
    n *= lax.axis_size(devices.AXIS)
    if self.augment_target:
      p = augment.adapt(
          state.opt_state.augment,
          metrics["logits/real_sign"],
          self.augment_target,
          n / self.augment_images,
      )
      metrics["augment"] = p
      state = state.replace(opt_state=state.opt_state._replace(augment=p))
    return self._average(state, w_mean, n), metrics

  def gradients(
      self, state: TrainState, reals: jax.Array, keys: jax.Array
  ) -> tuple[Any, Any, Metrics, jax.Array]:
    """Computes the gradients of the adversarial losses.

    Args:
      state: training state.
      reals: (n, h, h, 3) real images, already augmented.
      keys: (n,) random keys.

    Returns:
      Gradients of the generator; gradients of the discriminator; metrics; mean
      of the mapped latents (w_dim,).  Nothing is averaged over devices yet.
    """

    for_fakes, for_changes = gan_sampling.split_each(keys)

    def make(params):
      fakes, w_mean = self.sampler.fakes(params, state.model_state, for_fakes)
      return self._augment(state, fakes, for_changes), w_mean

    fakes, pull_fakes, w_mean = jax.vjp(make, state.params, has_aux=True)
    fake_logits, pull_fake = jax.vjp(self.judge, state.disc_params, fakes)
    real_logits, pull_real = jax.vjp(
        lambda params: self.judge(params, reals), state.disc_params
    )
    g_main, g_logits = jax.value_and_grad(
        lambda fake: jnp.mean(losses.adversarial(fake))
    )(fake_logits)
    # `losses.discriminator` is the mean of its two parts; StyleGAN2 uses their
    # sum.
    d_main, d_logits = jax.value_and_grad(
        lambda both: 2.0 * losses.discriminator(*both)
    )((real_logits, fake_logits))
    (grads,) = pull_fakes(pull_fake(g_logits)[1])
    disc_grads = jax.tree.map(
        jnp.add, pull_real(d_logits[0])[0], pull_fake(d_logits[1])[0]
    )
    metrics = {
        "loss/g_main": g_main,
        "loss/d_main": d_main,
        "logits/real": jnp.mean(real_logits),
        "logits/fake": jnp.mean(fake_logits),
        "logits/real_sign": jnp.mean(jnp.sign(real_logits)),
    }
    return grads, disc_grads, metrics, w_mean

  def path_penalty(
      self, params: Any, state: TrainState, keys: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Mean squared deviation of the path lengths from their running mean.

    Args:
      params: parameters of the generator.
      state: training state, which holds the running mean.
      keys: (n,) random keys.

    Returns:
      Penalty () and next running mean ().
    """
    for_w, for_path = gan_sampling.split_each(keys)
    w_plus, _ = self.sampler.latents(params, state.model_state, for_w)
    lengths = self.sampler.path_lengths(
        params, state.model_state, w_plus, for_path
    )
    mean = lax.pmean(lax.stop_gradient(jnp.mean(lengths)), devices.AXIS)
    before = state.opt_state.path_mean
    mean = before + _PATH_DECAY * (mean - before)
    return jnp.mean(jnp.square(lengths - mean)), mean

  def _regularise(
      self, state: TrainState, keys: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """Updates the generator by the path-length regulariser alone."""

    def loss(params):
      penalty, mean = self.path_penalty(params, state, keys)
      return self.path * PATH_EVERY * penalty, (penalty, mean)

    grads, (penalty, mean) = jax.grad(loss, has_aux=True)(state.params)
    grads, penalty = lax.pmean((grads, penalty), devices.AXIS)
    state = self._update(state, grads)
    state = state.replace(opt_state=state.opt_state._replace(path_mean=mean))
    return state, {"loss/g_path": penalty, "path_mean": mean}

  def _penalise(
      self, state: TrainState, reals: jax.Array
  ) -> tuple[TrainState, Metrics]:
    """Updates the discriminator by R1 alone."""

    def loss(params):
      r1 = jnp.mean(losses.r1(lambda x: self.judge(params, x), reals))
      return 0.5 * self.r1 * losses.R1_EVERY * r1, r1

    grads, r1 = jax.grad(loss, has_aux=True)(state.disc_params)
    grads, r1 = lax.pmean((grads, r1), devices.AXIS)
    return self._update_disc(state, grads), {"loss/d_r1": r1}

  def _update(self, state: TrainState, grads: Any) -> TrainState:
    adam = state.opt_state.adam
    updates, adam = self.optimizer.update(grads, adam, state.params)
    return state.replace(
        params=optax.apply_updates(state.params, updates),
        opt_state=state.opt_state._replace(adam=adam),
    )

  def _update_disc(self, state: TrainState, grads: Any) -> TrainState:
    updates, adam = self.disc_optimizer.update(
        grads, state.disc_opt_state, state.disc_params
    )
    return state.replace(
        disc_params=optax.apply_updates(state.disc_params, updates),
        disc_opt_state=adam,
    )

  def _average(
      self, state: TrainState, w_mean: jax.Array, n: int
  ) -> TrainState:
    """Ends a step over n images: updates the averages of G and of w."""
    step = state.step + 1
    half_life = jnp.minimum(self.ema, _EMA_RAMP * n * step)
    decay = jnp.exp2(-n / half_life)
    buffers = dict(state.model_state["buffers"])
    w_avg = buffers["w_avg"]
    buffers["w_avg"] = w_mean + _W_AVG_DECAY * (w_avg - w_mean)
    return state.replace(
        step=step,
        model_state={"buffers": buffers},
        ema=jax.tree.map(
            lambda old, new: new + decay * (old - new), state.ema, state.params
        ),
    )

  def judge(self, params: Any, images: jax.Array) -> jax.Array:
    """The discriminator's logits (n,) of images (n, h, h, 3)."""
    logits = self.discriminator.apply({"params": params}, images)
    return cast(jax.Array, logits)

  def _augment(
      self, state: TrainState, images: jax.Array, keys: jax.Array
  ) -> jax.Array:
    if not self.augment_target:
      return images
    return augment.augment(images, state.opt_state.augment, keys)
