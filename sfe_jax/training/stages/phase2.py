"""Phase 2: trains the Feature Editor (paper, section 3.4)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sfe_jax import directions, pipeline
from sfe_jax.architecture import Models
from sfe_jax.directions import DirectionData, families, training_sets
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from sfe_jax.training.stages import common, networks
from sfe_jax.training.stages.stage import Stage
from sfe_jax.training.state import Frozen
from sfe_jax.training.step import Outputs


@flax.struct.dataclass
class DirectionSet:
  """The set D: directions and their powers as data, one leading axis each.

  Attributes:
    data: (directions, ...) of every array.
    powers: (directions, most powers), repeated to fill the rows.
    counts: (directions,) int32, how many powers of a row count.
  """

  data: DirectionData
  powers: jax.Array
  counts: jax.Array


def direction_set(
    data: Sequence[DirectionData], powers: dict[str, tuple[float, ...]]
) -> DirectionSet:
  """Stacks directions of any families with their powers, in one order."""
  if any(d.mapper is not None for d in data):
    data = [directions.with_zero_mapper(d) for d in data]
  counts = [len(p) for p in powers.values()]
  rows = [np.resize(p, max(counts)) for p in powers.values()]
  return DirectionSet(
      jax.tree.map(lambda *x: np.stack(x), *data),
      np.array(rows, np.float32),
      np.array(counts, np.int32),
  )


def sample(
    edits: DirectionSet, rng: jax.Array
) -> tuple[DirectionData, jax.Array]:
  """One direction uniformly, then one of its powers uniformly."""
  which, power = jax.random.split(rng)
  i = jax.random.randint(which, (), 0, edits.counts.shape[0])
  j = jax.random.randint(power, (), 0, edits.counts[i])
  return jax.tree.map(lambda x: x[i], edits.data), edits.powers[i, j]


@flax.struct.dataclass
class Example:
  """A synthetic training pair (section 3.4).

  Attributes:
    image: (n, h, h, 3), X_E, generated from E's latents of real images.
    target: (n, h, h, 3), X_E', the same with edited latents.
    delta: Delta between both, equation 5.
  """

  image: jax.Array
  target: jax.Array
  delta: jax.Array


@dataclasses.dataclass(frozen=True)
class Forward:
  """Images -> X^ and the edited X^_E', two sets (section 3.4).

  Attributes:
    models: networks; `e4e` None takes the Inverter's own w for E's.
    inversion: whether the inversion branch is trained (ablation "w/o inv
      loss"); without it there is one set, and nothing to judge.
    remat: recomputes the upper generator's activations.
  """

  models: Models
  inversion: bool = True
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
    """See `EncoderTrainer.forward`."""
    del step
    models, n = self.models, images.shape[0]
    direction, power = sample(frozen["directions"], rng)
    small = layers.resize_bilinear(images, models.inverter.input_size)
    example = self._example(frozen, small, direction, jnp.full(n, power))

    # The frozen Inverter on the real and the synthetic images, one batch.
    inputs = layers.resize_bilinear(example.image, small.shape[1])
    if self.inversion:
      inputs = jnp.concatenate([small, inputs])
    inverted, _ = pipeline.run_inverter(models, frozen, inputs)
    parts = []
    if self.inversion:
      parts.append(self._unedited(jax.tree.map(lambda x: x[:n], inverted)))
    synthetic = jax.tree.map(lambda x: x[-n:], inverted)
    edit = directions.apply(direction, synthetic.w, jnp.full(n, power))
    moved = pipeline.lower(
        models, frozen, synthetic.w + edit.w_offset, edit.style_offset
    )
    parts.append((synthetic.f_k, example.delta, moved.styles, moved.skip))

    features = []
    for f_k, delta, _, _ in parts:  # each set has batch statistics of its own
      variables = {"feature_editor": {"params": params, **model_state}}
      f_k, updates = pipeline.edit_features(
          models, variables, f_k, delta, train
      )
      features.append(f_k)
      model_state = {**model_state, **updates}
    _, _, styles, skips = zip(*parts)
    decode = common.decoder(models, self.remat)
    fakes = decode(
        frozen,
        jax.tree.map(lambda *s: jnp.concatenate(s), *styles),
        jnp.concatenate(features),
        jnp.concatenate(skips),
    )
    targets = [images] * self.inversion + [example.target]
    out = Outputs(fakes, jnp.concatenate(targets), fakes[:n], images, None)
    return out, model_state

  def _unedited(self, inverted: pipeline.Inverted) -> tuple[Any, ...]:
    """F_k, Delta = 0, styles and RGB output below F_k: the inversion branch."""
    delta = jnp.zeros_like(inverted.f_e)
    return inverted.f_k, delta, inverted.styles, inverted.skip

  def _example(
      self,
      frozen: Frozen,
      images: jax.Array,
      direction: DirectionData,
      power: jax.Array,
  ) -> Example:
    """X_E, X_E' and Delta from one pass of the generator."""
    models, n = self.models, images.shape[0]
    if models.e4e is None:
      w_e, _ = models.inverter.apply(
          frozen["inverter"], images, method="encode"
      )
    else:
      w_e = pipeline.encode(models.e4e, frozen["e4e"], images)
    edit = directions.apply(direction, w_e, power)
    made = pipeline.lower(
        models,
        frozen,
        jnp.concatenate([w_e, w_e + edit.w_offset]),
        jnp.concatenate(
            [jnp.zeros_like(edit.style_offset), edit.style_offset]
        ),
    )
    f_e = pipeline.delta_features(models, frozen, made)
    pictures = pipeline.decode(
        models, frozen, made.styles, made.f_k, made.skip
    )
    delta = pipeline.difference(f_e[:n], f_e[n:])
    return Example(pictures[:n], pictures[n:], delta)


def build(config: ConfigDict) -> Stage:
  """The stage of a config such as configs/ffhq_phase2.py.

  Raises:
    UserError: a network or direction is missing, or sizes do not fit.
  """
  if not config.init.inverter:
    raise UserError(
        "name phase 1's workdir, or a weight folder, with"
        " --config.init.inverter"
    )
  found = networks.load(config, *["e4e"] * config.edits.encoder)
  inverter, variables = networks.trained(
      config.init.inverter, "inverter", dtype=found.models.inverter.dtype
  )
  models = dataclasses.replace(found.models, inverter=inverter)
  models.check()
  found = dataclasses.replace(
      found,
      models=models,
      discriminator=found.discriminator if config.edits.inversion else None,
      variables=found.variables | {"inverter": variables},
  )
  editor = weights.init(models.feature_editor, networks.key(config.seed))
  columns = ("X^",) * config.edits.inversion + ("edited",)
  return common.stage(
      config,
      found,
      Forward(models, config.edits.inversion, config.compute.remat),
      "feature_editor",
      editor,
      columns=columns,
      directions=_directions(config, models.generator),
  )


def _directions(config: ConfigDict, generator: Generator) -> DirectionSet:
  """The set D that section `edits` asks for."""
  edits, folder = config.edits, config.init.weights
  powers = training_sets.powers(edits.domain, edits.set, edits.user, folder)
  if not config.init.random:
    registry = directions.Registry.of_weights(
        weights.locate(folder),
        generator,
        "none" if edits.set == "fitted" else edits.domain,
    )
    return direction_set([registry.get(name) for name in powers], powers)
  space = directions.LatentSpace.of(generator)
  rng = np.random.default_rng(config.seed)
  drawn = [
      families.user(rng.standard_normal(generator.w_dim), space)
      for _ in powers
  ]
  return direction_set(drawn, powers)
