"""Trains a small perception network on pictures of one domain.

The network learns to recognise a picture after its geometry and colours are
changed and a part is hidden (NT-Xent loss of SimCLR, Chen et al. 2020), so that
its embedding tells individuals apart.  It also learns the pictures' labels, if
there are any.
"""

import dataclasses
import functools
import os
from collections.abc import Hashable
from typing import Any, cast

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
from sfe_jax.training.requirements import Requirement, labels_path
from sfe_jax.training.stage import Stage
from sfe_jax.training.stages import networks
from sfe_jax.training.state import Frozen, Metrics, TrainState

# The first view keeps everything that labels describe; the second view keeps
# the individual alone.
FIRST = augment.Amounts(
    flip=False,
    shift=0.0625,
    angle=0.1,
    scale=0.05,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    hue=0.0,
)
SECOND = augment.Amounts(
    flip=False,
    shift=0.125,
    angle=0.25,
    scale=0.1,
    brightness=0.1,
    contrast=0.2,
    saturation=0.3,
    hue=0.15,
)
# Smallest and largest side of the square that the second view hides, as a share
# of the image's side.
_HIDDEN = (0.2, 0.5)


@dataclasses.dataclass(frozen=True)
class PerceptionTrainer:
  """The step of the perception network, for one device of `devices.AXIS`.

  Attributes:
    network: the network to train.
    schema: columns of the labels; empty for pictures without labels.
    optimizer: optimiser of the network.
    temperature: temperature of the contrastive loss.
    contrastive_weight: weight of the contrastive loss.
    labels_weight: weight of the mean loss of all labels.
  """

  network: Perception
  schema: Schema
  optimizer: optax.GradientTransformation
  temperature: float
  contrastive_weight: float
  labels_weight: float

  def init(self, params: Any) -> TrainState:
    """Builds the training state at step 0."""
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
    """Runs one step; see `training.stage.Stage` for the arguments."""
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
    """Computes losses and scores of two views of n pictures.

    Args:
      params: parameters of the network.
      first: (n, h, h, 3), views that the labels describe.
      second: (n, h, h, 3), other views of the same pictures.
      label: (n, outputs), None for pictures without labels.

    Returns:
      Losses {name: (n,)}, where "loss" is the weighted sum of the others; and
      scores {name: (n,)}: "found", the share of the two views whose nearest
      neighbour is the other view; and for every label its squared error, or 1
      if it is right and else 0.
    """
    n = first.shape[0]
    made = self.network.apply(
        {"params": params}, jnp.concatenate([first, second])
    )
    embeddings, outputs = cast(tuple[jax.Array, jax.Array], made)
    contrastive, found = nt_xent(embeddings, self.temperature)
    values = {"contrastive": contrastive}
    scores = {"found": found}
    total = self.contrastive_weight * contrastive
    if label is not None:
      each = []
      for column, span in labels.spans(self.schema):
        out, want = outputs[:n, span], label[:, span]
        each.append(label_loss(column, out, want))
        scores |= label_score(column, out, want)
      values["labels"] = jnp.mean(jnp.stack(each), 0)
      total += self.labels_weight * values["labels"]
    return values | {"loss": total}, scores

  def validate(
      self, state: TrainState, frozen: Frozen, batch: Batch
  ) -> Metrics:
    """Losses and scores {name: (n,)} of the pictures and a second view."""
    del frozen
    images = layers.to_float(batch.image)
    _, second = views(images, jax.random.key(0))
    losses, scores = self.losses(state.params, images, second, batch.label)
    return losses | scores


def views(images: jax.Array, rng: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Makes two random views of each image.

  Args:
    images: (n, h, h, 3) in [-1, 1].
    rng: random key, the same on all devices.

  Returns:
    Two arrays of the same shape.
  """

  def keys(i):
    return devices.example_keys(jax.random.fold_in(rng, i), images.shape[0])

  first = augment.augment(images, 1.0, keys(0), FIRST)
  second = augment.augment(images, 1.0, keys(1), SECOND)
  return first, jax.vmap(_hide)(second, keys(2))


def _hide(image: jax.Array, key: jax.Array) -> jax.Array:
  """Sets a random square of an image (h, h, 3) to grey."""
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
  """Normalised temperature-scaled cross entropy over the views of all devices.

  Every view should be nearer to the other view of its picture than to any view
  of another picture (Chen et al. 2020, equation 1).

  Args:
    embeddings: (2n, d) of this device, unit norm; rows i and i + n are views of
      one picture.
    temperature: divisor of the similarities.

  Returns:
    Two arrays (n,), means over the two views of each picture: the loss, and the
    share of the views whose nearest neighbour is the other view.
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
  losses, shares = jnp.mean(pairs, 1)
  return losses, shares


def label_loss(column: Column, out: jax.Array, want: jax.Array) -> jax.Array:
  """Loss (n,) of one label.

  Args:
    column: the label.
    out: (n, outputs of the label), scores of the network.
    want: (n, outputs of the label), true values.

  Returns:
    Cross entropy of a binary label or a category, squared error of a
    standardised value.
  """
  if column.kind == BINARY:
    return optax.sigmoid_binary_cross_entropy(out, want)[:, 0]
  if column.kind == CATEGORICAL:
    return optax.softmax_cross_entropy(out, want)
  return jnp.square(out - want)[:, 0]


def label_score(column: Column, out: jax.Array, want: jax.Array) -> Metrics:
  """Score {name: (n,)} of one label, see `label_loss` for the arguments.

  It is "accuracy/LABEL", 1 if a binary label or a category is right and else 0,
  or "error/LABEL", the squared error of a standardised value.
  """
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
  """The pictures and two views of each."""
  del state, frozen
  images = layers.to_float(batch.image)
  first, second = views(images, jax.random.key(0))
  return {"picture": images, "view 1": first, "view 2": second}


def widths(resolution: int, width: int, max_width: int) -> tuple[int, ...]:
  """Channels from full resolution down to 4 px.

  Args:
    resolution: height and width of the images, a power of two, at least 8.
    width: channels at `resolution`; halving the resolution doubles them.
    max_width: largest number of channels.

  Raises:
    UserError: the resolution is not allowed.
  """
  return tuple(
      min(max_width, width << i) for i in range(networks.levels(resolution))
  )


def check(config: ConfigDict) -> None:
  """Raises UserError if the config contradicts itself."""
  networks.compute_dtype(config)
  networks.levels(config.data.resolution)
  if config.data.batch_size < 2:
    raise UserError(
        "data.batch_size must be 2 or more to tell pictures apart, got"
        f" {config.data.batch_size}"
    )


def requirements(config: ConfigDict) -> list[Requirement]:
  """Looks for the file of labels, if the config names one."""
  path = labels_path(config)
  if not path:
    return []
  problem = ""
  if not os.path.isfile(path):
    problem = (
        "no such file; name one with --config.data.labels, or train without"
        " labels: --config.data.labels="
    )
  return [Requirement("labels", path, problem)]


def build(config: ConfigDict) -> Stage:
  """Builds the stage of a config such as configs/toy_perception.py.

  Raises:
    UserError: the labels cannot be read.
  """
  data, model, loss = config.data, config.model, config.loss
  schema: Schema = ()
  if path := labels_path(config):
    schema = labels.read(path).schema
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
      learning_rate=functools.partial(
          optim.rate_at, config.optimizer.learning_rate
      ),
      step=trainer.step,
      validate=trainer.validate,
      grid=grid,
      info={"perception": {"labels": labels.to_json(schema)}},
  )
