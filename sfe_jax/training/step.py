"""The training step that both phases share.

A phase says how its pictures are made (`forward`); here they are compared,
judged by the discriminator, differentiated and applied.  All functions are for
one device of axis `devices.AXIS`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

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
from sfe_jax.models.irse import ArcFace, identity_crop
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.models.resnet import ResNet50, resize_nearest
from sfe_jax.training.state import Frozen, Metrics, TrainState

_MOCO_SIZE = 224


class EncoderVariant(NamedTuple):
  """Which parts of a step run; each variant is compiled on its own.

  XLA runs convolution gradients inside `lax.cond` 100 times slower on CPUs, and
  reserves memory for both branches elsewhere.

  Attributes:
    adversarial: the discriminator judges and learns.
    penalty: R1 is applied as well.
  """

  adversarial: bool
  penalty: bool


@flax.struct.dataclass
class Outputs:
  """What a phase makes of a batch.

  Attributes:
    fakes: (m, h, w, 3), sets of n images one after another.
    targets: (n or m, h, w, 3), what they should look like; n serve every set.
    judged: fakes that the discriminator judges: images, or rows of w+.
    reals: what it compares them with.
    regulariser: (n,), None where the phase has none.
    shown: fakes that the discriminator learns from; None for `judged`.
  """

  fakes: jax.Array
  targets: jax.Array
  judged: jax.Array
  reals: jax.Array
  regulariser: jax.Array | None
  shown: jax.Array | None = None


Forward = Callable[
    [Any, Any, Frozen, jax.Array, jax.Array, jax.Array, bool],
    tuple[Outputs, Any],
]


@dataclasses.dataclass(frozen=True)
class Objective:
  """Weighted sum of the losses; a weight of zero leaves a loss out.

  Attributes:
    l2: weight of the mean squared error.
    lpips: weight of the perceptual distance, LPIPS's or Perception's.
    identity: weight of the identity loss.
    adversarial: weight of the adversarial loss.
    regulariser: weight of the phase's own regulariser.
    size: side at which images are compared.
    lpips_net: the perceptual network.
    identity_net: ArcFace for faces, ResNet50 (MoCo) for anything else,
      Perception where it was trained for the domain.
  """

  l2: float = 1.0
  lpips: float = 0.8
  identity: float = 0.1
  adversarial: float = 0.01
  regulariser: float = 0.01
  size: int = 256
  lpips_net: LPIPS | Perception | None = None
  identity_net: ArcFace | ResNet50 | Perception | None = None

  def compare(
      self, frozen: Frozen, fakes: jax.Array, targets: jax.Array
  ) -> Metrics:
    """Losses between (m, h, w, 3) and n or m targets: {name: (m,)}."""
    m, n = fakes.shape[0], targets.shape[0]
    fakes = losses.reduce_to(fakes, self.size)
    targets = losses.reduce_to(targets, self.size)

    def of_all(x):
      """Repeats the targets' features for every set of fakes."""
      return jnp.tile(x, (m // n,) + (1,) * (x.ndim - 1))

    out = {"l2": losses.l2(fakes, of_all(targets))}
    if self.lpips_net is not None and self.lpips:
      net, variables = self.lpips_net, frozen["perceptual"]
      a = net.apply(variables, fakes, method="features")
      b = net.apply(variables, lax.stop_gradient(targets), method="features")
      b = jax.tree.map(of_all, b)
      out["lpips"] = net.apply(variables, a, b, method="compare")
    if self.identity_net is not None and self.identity:
      a = self._embed(frozen, fakes)
      b = of_all(self._embed(frozen, lax.stop_gradient(targets)))
      out["identity"] = losses.identity(a, b)
    return out

  def _embed(self, frozen: Frozen, images: jax.Array) -> jax.Array:
    net = self.identity_net
    if isinstance(net, Perception):
      return net.apply(frozen["identity"], images, method="embed")
    if isinstance(net, ArcFace):
      images = identity_crop(images, net.input_size)
    else:
      images = resize_nearest(images, _MOCO_SIZE)
    return net.apply(frozen["identity"], images)

  def total(self, values: Metrics) -> jax.Array:
    """Weighted sum of {loss name: array}; unnamed losses count as zero."""
    return sum(getattr(self, name) * value for name, value in values.items())


@dataclasses.dataclass(frozen=True)
class EncoderTrainer:
  """Builds the step that trains E, the Inverter or the Feature Editor.

  Attributes:
    forward: (params, model_state, frozen, images, step, rng, train) ->
      (Outputs, model_state); images are (n, h, w, 3) in [-1, 1].
    objective: losses.
    optimizer: of the trained network.
    discriminator: None trains without.
    disc_optimizer: of the discriminator.
    adversarial_start: step from which the discriminator takes part.
    r1_gamma: weight of R1, applied every R1_EVERY steps.
    accumulate: micro-batches per step; gradients are averaged over them.
    remat: recomputes activations in the backward pass to save memory.
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
    """The state at step 0."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=self.optimizer.init(params),
        disc_params=disc_params,
        disc_opt_state=self.disc_optimizer.init(disc_params),
    )

  def variant(self, step: int) -> EncoderVariant:
    """What step number `step`, counted from 0, does."""
    plays = self.discriminator is not None and step >= self.adversarial_start
    return EncoderVariant(plays, plays and step % losses.R1_EVERY == 0)

  def step(
      self,
      variant: EncoderVariant,
      state: TrainState,
      frozen: Frozen,
      batch: Batch,
      rng: jax.Array,
  ) -> tuple[TrainState, Metrics]:
    """One optimiser step, see `training.stages.stage.Stage`."""
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
    """The state after averaged gradients, see `gradients`."""
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
    """`gradients` averaged over micro-batches; batch statistics move on."""
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

    if count == 1:  # a loop is slow on CPUs, like a branch: see EncoderVariant
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
    """Gradients of both losses from one forward pass, not yet averaged.

    Args:
      variant: what takes part.
      state: parameters and step.
      frozen: other networks.
      images: (n, h, w, 3) in [-1, 1].
      rng: of this batch.

    Returns:
      Gradients of the trained network and of the discriminator (None where it
      rests), the new model state, metrics.
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
      disc_grads, disc_values = self._judging(state, *detached, variant)
      metrics |= disc_values
    return grads, disc_grads, model_state, metrics

  def _checkpoint(self, function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.checkpoint(function) if self.remat else function

  def _judge(self, params: Any, x: jax.Array, parts: int = 1) -> jax.Array:
    return self.discriminator.apply({"params": params}, x, parts)

  def _fooling(self, state: TrainState, out: Outputs) -> jax.Array:
    """The encoder's adversarial loss: ()."""
    parts = out.judged.shape[0] // out.reals.shape[0]

    @self._checkpoint
    def logits(fakes):
      return self._judge(state.disc_params, fakes, parts)

    return jnp.mean(losses.adversarial(logits(out.judged)))

  def _judging(self, state, fakes, reals, variant) -> tuple[Any, Metrics]:
    """The discriminator's gradients and losses."""
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
    """The pictures and losses in inference mode: {name: (m,)}.

    What is random, such as the direction, follows from the pictures of all
    devices: it differs between batches and is the same at every step.
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
