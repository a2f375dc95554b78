"""Trains a small network to perceive pictures of one domain.

It learns to find a picture again after geometry and colours were changed and a
part was hidden (NT-Xent, Chen et al. 2020: SimCLR), so that its embedding tells
individuals apart; and the labels of the pictures, where there are any.
"""

import dataclasses
import os
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from ml_collections import ConfigDict

from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.perception import Perception
from sfe_jax.storage import labels, weights
from sfe_jax.storage.labels import BINARY, CATEGORICAL, Column, Schema
from sfe_jax.training import augment, optim
from sfe_jax.training.stages import networks
from sfe_jax.training.stages.stage import Stage
from sfe_jax.training.state import Frozen, Metrics, TrainState

# The first view keeps what labels tell, the second only who is seen.
FIRST = augment.Strength(
    flip=False,
    shift=0.0625,
    angle=0.1,
    scale=0.05,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    hue=0.0,
)
SECOND = augment.Strength(
    flip=False,
    shift=0.125,
    angle=0.25,
    scale=0.1,
    brightness=0.1,
    contrast=0.2,
    saturation=0.3,
    hue=0.15,
)
_HIDDEN = (0.2, 0.5)  # side of the square that the second view hides


@dataclasses.dataclass(frozen=True)
class PerceptionTrainer:
  """The step; functions are for one device of axis `devices.AXIS`.

  Attributes:
    network: what is trained.
    schema: its labels, empty without.
    optimizer: of its parameters.
    temperature: of the contrastive loss.
    contrastive_weight: of it.
    labels_weight: of the mean loss of all labels.
  """

  network: Perception
  schema: Schema
  optimizer: optax.GradientTransformation
  temperature: float
  contrastive_weight: float
  labels_weight: float

  def init(self, params: Any) -> TrainState:
    """The state at step 0."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state={},
        opt_state=self.optimizer.init(params),
        disc_params=None,
        disc_opt_state=None,
    )

  def step(
      self,
      variant: Hashable,
      state: TrainState,
      frozen: Frozen,
      batch: Batch,
      rng: jax.Array,
  ) -> tuple[TrainState, Metrics]:
    """One optimiser step, see `training.stages.stage.Stage`."""
    del variant, frozen
    rng = jax.random.fold_in(rng, state.step)
    first, second = views(layers.to_float(batch.image), rng)

    def loss(params):
      values, _ = self.losses(params, first, second, batch.label)
      means = {name: jnp.mean(value) for name, value in values.items()}
      return means["loss"], means

    grads, means = jax.grad(loss, has_aux=True)(state.params)
    grads, means = lax.pmean((grads, means), devices.AXIS)
    updates, opt_state = self.optimizer.update(
        grads, state.opt_state, state.params
    )
    total = means.pop("loss")
    metrics = {f"loss/{name}": value for name, value in means.items()}
    metrics |= {"loss/total": total, "grad_norm": optax.tree.norm(grads)}
    return state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
    ), metrics

  def losses(
      self,
      params: Any,
      first: jax.Array,
      second: jax.Array,
      label: jax.Array | None,
  ) -> tuple[Metrics, Metrics]:
    """Losses, and scores for people, of two views of n pictures.

    Args:
      params: of the network.
      first: (n, h, h, 3), of which the label is true.
      second: (n, h, h, 3).
      label: (n, outputs), None without.

    Returns:
      {name: (n,)}: "loss", which is the weighted sum of the others; and
      scores per picture: whether its other view is the nearest of all, and of
      every label the squared error or whether it is right.
    """
    n = first.shape[0]
    embeddings, outputs = self.network.apply(
        {"params": params}, jnp.concatenate([first, second])
    )
    contrastive, found = nt_xent(embeddings, self.temperature)
    losses, scores = {"contrastive": contrastive}, {"found": found}
    total = self.contrastive_weight * contrastive
    if label is not None:
      values = []
      for column, span in labels.spans(self.schema):
        out, want = outputs[:n, span], label[:, span]
        values.append(label_loss(column, out, want))
        scores |= label_score(column, out, want)
      losses["labels"] = jnp.mean(jnp.stack(values), 0)
      total += self.labels_weight * losses["labels"]
    return losses | {"loss": total}, scores

  def validate(
      self, state: TrainState, frozen: Frozen, batch: Batch
  ) -> Metrics:
    """Losses and scores of the pictures themselves and a second view."""
    del frozen
    images = layers.to_float(batch.image)
    _, second = views(images, jax.random.key(0))
    losses, scores = self.losses(state.params, images, second, batch.label)
    return losses | scores


def views(images: jax.Array, rng: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Two random views of (n, h, h, 3) images in [-1, 1], of the same shape."""

  def keys(i):
    return devices.example_keys(jax.random.fold_in(rng, i), images.shape[0])

  first = augment.augment(images, 1.0, keys(0), FIRST)
  second = augment.augment(images, 1.0, keys(1), SECOND)
  return first, jax.vmap(_hide)(second, keys(2))


def _hide(image: jax.Array, key: jax.Array) -> jax.Array:
  """Greys a random square of (h, h, 3)."""
  for_side, for_place = jax.random.split(key)
  size = image.shape[0]
  low, high = _HIDDEN
  side = size * jax.random.uniform(for_side, minval=low, maxval=high)
  start = jax.random.uniform(for_place, (2,), maxval=size) - side / 2
  axis = jnp.arange(size)
  y, x = ((start[i] <= axis) & (axis < start[i] + side) for i in (0, 1))
  return jnp.where((y[:, None] & x)[..., None], 0.0, image)


def nt_xent(
    embeddings: jax.Array, temperature: float
) -> tuple[jax.Array, jax.Array]:
  """Normalised temperature-scaled cross entropy of the views of all devices.

  Every view shall be nearer to the other one of its picture than to any view of
  any other picture (Chen et al. 2020, equation 1).

  Args:
    embeddings: (2n, d) of this device, unit norm; rows i and i + n are views of
      one picture.
    temperature: divides similarities.

  Returns:
    Per picture (n,): the loss, and the share of its views whose nearest is the
    other one; means of both views.
  """
  total = embeddings.shape[0]
  every = lax.all_gather(embeddings, devices.AXIS, tiled=True)
  own = lax.axis_index(devices.AXIS) * total + jnp.arange(total)
  other = jnp.roll(own, total // 2)
  similar = jnp.matmul(embeddings, every.T, precision="highest") / temperature
  similar = jnp.where(jnp.arange(len(every)) == own[:, None], -jnp.inf, similar)
  loss = optax.softmax_cross_entropy_with_integer_labels(similar, other)
  found = jnp.argmax(similar, -1) == other
  pairs = jnp.stack([loss, found]).reshape(2, 2, -1)
  return tuple(jnp.mean(pairs, 1))


def label_loss(column: Column, out: jax.Array, want: jax.Array) -> jax.Array:
  """Cross entropy, or squared error of a standardised value: (n,)."""
  if column.kind == BINARY:
    return optax.sigmoid_binary_cross_entropy(out, want)[:, 0]
  if column.kind == CATEGORICAL:
    return optax.softmax_cross_entropy(out, want)
  return jnp.square(out - want)[:, 0]


def label_score(column: Column, out: jax.Array, want: jax.Array) -> Metrics:
  """Whether a binary label or a category is right, or the squared error."""
  if column.kind == BINARY:
    right = (out > 0)[:, 0] == (want > 0.5)[:, 0]
  elif column.kind == CATEGORICAL:
    right = jnp.argmax(out, -1) == jnp.argmax(want, -1)
  else:
    return {f"error/{column.name}": jnp.square(out - want)[:, 0]}
  return {f"accuracy/{column.name}": right.astype(jnp.float32)}


def grid(
    state: TrainState, frozen: Frozen, batch: Batch
) -> dict[str, jax.Array]:
  """Pictures beside their two views."""
  del state, frozen
  images = layers.to_float(batch.image)
  first, second = views(images, jax.random.key(0))
  return {"picture": images, "view 1": first, "view 2": second}


def widths(resolution: int, width: int, max_width: int) -> tuple[int, ...]:
  """Channels from full size down to 4 px: doubling, at most `max_width`.

  Raises:
    UserError: the resolution is no power of two from 8 on.
  """
  return tuple(
      min(max_width, width << i) for i in range(networks.levels(resolution))
  )


def build(config: ConfigDict) -> Stage:
  """The stage of a config such as configs/toy_perception.py.

  Raises:
    UserError: no power of two as size, one picture per batch, or unreadable
      labels.
  """
  data, model, loss = config.data, config.model, config.loss
  if data.batch_size < 2:
    raise UserError(
        "data.batch_size must be 2 or more to tell pictures apart, got"
        f" {data.batch_size}"
    )
  schema = ()
  if data.labels:
    schema = labels.read(os.path.join(data.path, data.labels)).schema
  network = Perception(
      data.resolution,
      widths(data.resolution, model.width, model.max_width),
      model.embedding,
      len(labels.outputs(schema)),
      networks.compute_dtype(config),
  )
  trainer = PerceptionTrainer(
      network,
      schema,
      optim.adam(config.optimizer.learning_rate),
      loss.temperature,
      loss.contrastive,
      loss.labels,
  )
  variables = weights.init(network, networks.key(config.seed))
  return Stage(
      trained={"perception": network},
      given={},
      state=jax.device_get(trainer.init(variables["params"])),
      frozen={},
      variant=lambda step: None,
      step=trainer.step,
      validate=trainer.validate,
      grid=grid,
      info={"perception": {"labels": labels.to_json(schema)}},
  )
