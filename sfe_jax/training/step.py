"""The training step of e4e, phase 1 and phase 2.

A stage's `forward` makes the images.  This module computes the losses, the
discriminator's part, the gradients and the update.  All functions are written
for one device of the axis `devices.AXIS`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.measures import losses
from sfe_jax.models import layers
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.training.objective import Objective
from sfe_jax.training.state import Frozen, Metrics, TrainState


class EncoderVariant(NamedTuple):
  """Which parts of a step run.

  Each variant is compiled separately, because XLA runs convolution gradients
  inside `lax.cond` about 100 times slower on CPUs, and elsewhere reserves
  memory for both branches.

  Attributes:
    adversarial: the adversarial loss and the discriminator's update.
    penalty: R1, within the discriminator's update.
  """

  adversarial: bool
  penalty: bool


class Outputs(flax.struct.PyTreeNode):
  """What a stage's forward pass makes of n images.

  Attributes:
    fakes: (m, h, w, 3), generated images in sets of n, one after another.
    targets: (n or m, h, w, 3), the images that `fakes` should equal; n targets
      serve every set.
    judged: generated images (m, h, w, 3), or rows of w+ (r, w_dim), for the
      adversarial loss.
    reals: real images or mapped latents that `judged` is compared with.
    regulariser: (n,), None for a stage without one.
    shown: the discriminator's fake inputs; None means `judged`.
  """

  fakes: jax.Array
  targets: jax.Array
  judged: jax.Array
  reals: jax.Array
  regulariser: jax.Array | None
  shown: jax.Array | None = None


# (params, model_state, frozen, images, step, rng, train) -> (outputs, new
# model_state), see `EncoderTrainer.forward`.
Forward = Callable[
    [Any, Any, Frozen, jax.Array, jax.Array, jax.Array, bool],
    tuple[Outputs, Any],
]


@dataclasses.dataclass(frozen=True)
class EncoderTrainer:
  """The step that trains the encoder E, the Inverter or the Feature Editor.

  Attributes:
    forward: (params, model_state, frozen, images, step, rng, train) ->
      (Outputs, new model_state); images are (n, h, w, 3) in [-1, 1].  With
      `train` False it must run the network as it is deployed.
    objective: losses of the trained network.
    optimizer: optimiser of the trained network.
    discriminator: discriminator of images or latents; None trains without the
      adversarial loss.
    disc_optimizer: optimiser of the discriminator.
    adversarial_start: first step, counted from 0, with the adversarial loss and
      the discriminator's update.
    r1_gamma: weight of R1, applied every `losses.R1_EVERY` steps; 0 leaves it
      out.
    accumulate: number of micro-batches per step; gradients are averaged over
      them.
    remat: recompute activations in the backward pass to save memory.
  """

  forward: Forward
  objective: Objective
  optimizer: optax.GradientTransformation
  discriminator: Discriminator | LatentDiscriminator | None
  disc_optimizer: optax.GradientTransformation
  adversarial_start: int = 0
  r1_gamma: float = 10.0
  accumulate: int = 1
  remat: bool = False

  def init(self, params: Any, model_state: Any, disc_params: Any) -> TrainState:
    """Builds the training state at step 0.

    Args:
      params: initial parameters of the trained network.
      model_state: its other variables.
      disc_params: parameters of the discriminator; None without one.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=self.optimizer.init(params),
        disc_params=disc_params,
        disc_opt_state=self.disc_optimizer.init(disc_params),
    )

  def variant(self, step: int) -> EncoderVariant:
    """Returns the variant of step number `step`, counted from 0."""
    plays = self.discriminator is not None and step >= self.adversarial_start
    return EncoderVariant(
        plays, plays and self.r1_gamma > 0 and step % losses.R1_EVERY == 0
    )

  def step(
      self,
      variant: EncoderVariant,
      state: TrainState,
      frozen: Frozen,
      batch: Batch,
      rng: jax.Array,
  ) -> tuple[TrainState, Metrics]:
    """Runs one step; see `training.stage.Stage` for the arguments."""
    rng = jax.random.fold_in(rng, state.step)
    images = layers.to_float(batch.image)
    model_state, results = self._accumulated(
        variant, state, frozen, images, rng
    )
    grads, disc_grads, metrics = lax.pmean(results, devices.AXIS)
    metrics["grad_norm"] = optax.tree.norm(grads)
    return self.apply(variant, state, grads, disc_grads, model_state), metrics

  def apply(
      self,
      variant: EncoderVariant,
      state: TrainState,
      grads: Any,
      disc_grads: Any,
      model_state: Any,
  ) -> TrainState:
    """Applies gradients that are already averaged over all devices.

    Args:
      variant: parts of the step that run.
      state: state before the step.
      grads: gradients of the trained network, see `gradients`.
      disc_grads: gradients of the discriminator; ignored if the variant is not
        adversarial.
      model_state: new model state.

    Returns:
      The state after the step.
    """
    updates, opt_state = self.optimizer.update(
        grads, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)
    disc_params, disc_opt_state = state.disc_params, state.disc_opt_state
    if variant.adversarial:
      updates, disc_opt_state = self.disc_optimizer.update(
          disc_grads, disc_opt_state, disc_params
      )
      disc_params = optax.apply_updates(disc_params, updates)
    return TrainState(
        state.step + 1,
        params,
        model_state,
        opt_state,
        disc_params,
        disc_opt_state,
    )

  def _accumulated(
      self, variant: EncoderVariant, state: TrainState, frozen, images, rng
  ) -> tuple[Any, tuple[Any, Any, Metrics]]:
    """Averages `gradients` over the micro-batches.

    Running batch statistics are updated by one micro-batch after another.
    """
    n, count = images.shape[0], self.accumulate

    def one(model_state, inputs):
      images, i = inputs
      grads, disc_grads, model_state, metrics = self.gradients(
          variant,
          state.replace(model_state=model_state),
          frozen,
          images,
          jax.random.fold_in(rng, i),
      )
      return model_state, (grads, disc_grads, metrics)

    if count == 1:  # like branches, loops are slow on CPUs: see EncoderVariant
      return one(state.model_state, (images, 0))
    images = images.reshape(count, n // count, *images.shape[1:])
    model_state, results = lax.scan(
        one, state.model_state, (images, jnp.arange(count))
    )
    return model_state, jax.tree.map(lambda x: jnp.mean(x, 0), results)

  def gradients(
      self,
      variant: EncoderVariant,
      state: TrainState,
      frozen: Frozen,
      images: jax.Array,
      rng: jax.Array,
  ) -> tuple[Any, Any, Any, Metrics]:
    """Computes both networks' gradients from one forward pass.

    Args:
      variant: parts of the step that run.
      state: training state.
      frozen: variables of the networks that are not trained.
      images: (n, h, w, 3) in [-1, 1].
      rng: random key of this micro-batch.

    Returns:
      Gradients of the trained network; gradients of the discriminator (None if
      the variant is not adversarial); the new model state; metrics.  Nothing is
      averaged over devices yet.
    """

    def encoder_loss(params):
      out, model_state = self.forward(
          params, state.model_state, frozen, images, state.step, rng, True
      )
      compare = self._checkpoint(self.objective.compare)
      values = {
          name: jnp.mean(value)
          for name, value in compare(frozen, out.fakes, out.targets).items()
      }
      if out.regulariser is not None:
        values["regulariser"] = jnp.mean(out.regulariser)
      if variant.adversarial:
        values["adversarial"] = self._fooling(state, out)
      total = self.objective.total(values)
      shown = out.judged if out.shown is None else out.shown
      detached = lax.stop_gradient((shown, out.reals))
      return total, (detached, model_state, values)

    (total, aux), grads = jax.value_and_grad(encoder_loss, has_aux=True)(
        state.params
    )
    detached, model_state, values = aux
    metrics = {f"loss/{name}": value for name, value in values.items()}
    metrics["loss/total"] = total
    disc_grads = None
    if variant.adversarial:
      fakes, reals = detached
      disc_grads, disc_values = self._judging(state, fakes, reals, variant)
      metrics |= disc_values
    return grads, disc_grads, model_state, metrics

  def _checkpoint(self, function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.checkpoint(function) if self.remat else function

  def _judge(self, params: Any, x: jax.Array, parts: int = 1) -> jax.Array:
    """The discriminator's logits of x, which holds `parts` sets."""
    assert self.discriminator is not None
    logits = self.discriminator.apply({"params": params}, x, parts)
    return cast(jax.Array, logits)

  def _fooling(self, state: TrainState, out: Outputs) -> jax.Array:
    """The adversarial loss () of the trained network."""
    parts = out.judged.shape[0] // out.reals.shape[0]

    @self._checkpoint
    def logits(fakes):
      return self._judge(state.disc_params, fakes, parts)

    return jnp.mean(losses.adversarial(logits(out.judged)))

  def _judging(
      self,
      state: TrainState,
      fakes: jax.Array,
      reals: jax.Array,
      variant: EncoderVariant,
  ) -> tuple[Any, Metrics]:
    """Gradients and losses of the discriminator."""
    parts = fakes.shape[0] // reals.shape[0]

    def disc_loss(params):
      main = losses.discriminator(
          self._judge(params, reals), self._judge(params, fakes, parts)
      )
      values = {"loss/d_main": main}
      if not variant.penalty:
        return main, values
      logits = self._checkpoint(functools.partial(self._judge, params))
      r1 = jnp.mean(losses.r1(logits, reals))
      r1 *= 0.5 * self.r1_gamma * losses.R1_EVERY
      return main + r1, values | {"loss/d_r1": r1}

    return jax.grad(disc_loss, has_aux=True)(state.disc_params)

  def evaluate(
      self, state: TrainState, frozen: Frozen, batch: Batch
  ) -> tuple[Outputs, Metrics]:
    """Runs the network as it is deployed and compares the images.

    Random choices, such as the direction of phase 2, depend only on the images
    of all devices: they differ between batches and are the same at every step.

    Args:
      state: training state.
      frozen: variables of the networks that are not trained.
      batch: n images.

    Returns:
      The outputs, and {loss name: (m,)} of `Objective.compare`.
    """
    content = jnp.sum(batch.image, dtype=jnp.uint32)
    content = lax.psum(content, devices.AXIS)
    out, _ = self.forward(
        state.params,
        state.model_state,
        frozen,
        layers.to_float(batch.image),
        state.step,
        jax.random.fold_in(jax.random.key(0), content),
        False,
    )
    return out, self.objective.compare(frozen, out.fakes, out.targets)
