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
from sfe_jax.architecture import Models, Weights
from sfe_jax.directions import DirectionData, cars, faces, families, files
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.stylegan2 import Generator, Styles
from sfe_jax.pipeline import Edit
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


@dataclasses.dataclass(frozen=True)
class Forward:
  """Images -> X^ and the edited X^_E', two sets.

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
    """See `steps.Trainer.forward`."""
    del step
    data, power = sample(frozen.directions, rng)
    models = self.models
    nets = Weights(frozen.generator, frozen.inverter, None, frozen.e4e)
    n = images.shape[0]
    small = layers.resize_bilinear(images, models.inverter.input_size)
    x_e, target, delta = self._examples(nets, small, data, power)

    # The frozen Inverter on the real and the synthetic images, one batch.
    inputs = layers.resize_bilinear(x_e, models.inverter.input_size)
    if self.inversion:
      inputs = jnp.concatenate([small, inputs])
    inverted, _ = pipeline.run_inverter(models, nets, inputs)
    synthetic = jax.tree.map(lambda x: x[-n:], inverted)
    edit = directions.apply(data, synthetic.w, jnp.full(n, power))
    styles, skip = self._edited(nets, synthetic.w, edit)

    def edit_features(model_state, f_k, delta):
      """H with its own batch statistics for every call."""
      f_k, updates = models.feature_editor.apply(
          {"params": params, **model_state},
          f_k,
          delta,
          train,
          mutable=["batch_stats"] if train else [],
      )
      return f_k, {**model_state, **updates}

    features, sets, skips, targets = [], [], [], []
    if self.inversion:
      f_k, model_state = edit_features(
          model_state, inverted.f_k[:n], jnp.zeros_like(delta)
      )
      features.append(f_k)
      sets.append(jax.tree.map(lambda s: s[:n], inverted.styles))
      skips.append(inverted.skip[:n])
      targets.append(images)
    f_k, model_state = edit_features(model_state, synthetic.f_k, delta)
    features.append(f_k)
    sets.append(styles)
    skips.append(skip)
    targets.append(target)

    decode = common.decoder(models, self.remat)
    fakes = decode(
        nets,
        jax.tree.map(lambda *s: jnp.concatenate(s), *sets),
        jnp.concatenate(features),
        jnp.concatenate(skips),
    )
    out = Outputs(fakes, jnp.concatenate(targets), fakes[:n], images, None)
    return out, model_state

  def _examples(
      self, nets: Weights, images: jax.Array, data, power
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """X_E, X_E' and Delta from one pass of the generator."""
    models, n = self.models, images.shape[0]
    if models.e4e is None:
      w_e, _ = models.inverter.apply(nets.inverter, images, method="encode")
    else:
      w_e = models.e4e.apply(nets.e4e, images)
    edit = directions.apply(data, w_e, jnp.full(n, power))
    styles = pipeline.styles_of(
        models,
        nets,
        jnp.concatenate([w_e, w_e + edit.w_offset]),
        jnp.concatenate(
            [jnp.zeros_like(edit.style_offset), edit.style_offset]
        ),
    )
    generator, k = models.generator, models.delta_k
    half = generator.apply(nets.generator, styles, k, method="lower")
    f_e = half.features[k]
    pictures = generator.apply(
        nets.generator, styles, f_e, half.skip, k, method="upper"
    )
    return pictures[:n], pictures[n:], f_e[:n] - f_e[n:]

  def _edited(
      self, nets: Weights, w: jax.Array, edit: Edit
  ) -> tuple[Styles, jax.Array]:
    """Style vectors of w', and the RGB sum below F_k that they drive."""
    styles = pipeline.styles_of(
        self.models, nets, w + edit.w_offset, edit.style_offset
    )
    half = self.models.generator.apply(
        nets.generator, styles, self.models.k, method="lower"
    )
    return styles, half.skip


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
  powers = _powers(config)
  widths = generator.style_widths
  if not config.init.random:
    is_fitted = config.edits.set == "fitted"
    registry = directions.Registry.load(
        weights.locate(config.init.weights),
        "none" if is_fitted else config.edits.domain,
        generator.styles,
        widths,
        generator.w_dim,
    )
    return direction_set([registry.get(name) for name in powers], powers)
  space = directions.LatentSpace(generator.styles, widths, generator.w_dim)
  rng = np.random.default_rng(config.seed)
  drawn = [
      families.user(rng.standard_normal(generator.w_dim), space)
      for _ in powers
  ]
  return direction_set(drawn, powers)


def _powers(config: ConfigDict) -> dict[str, tuple[float, ...]]:
  """Direction names and powers of the set."""
  edits = config.edits
  sets = {
      ("faces", "full"): faces.TRAINING,
      ("faces", "small"): faces.TRAINING_SMALL,
      ("cars", "full"): cars.TRAINING,
  }
  if (edits.domain, edits.set) in sets:
    return sets[edits.domain, edits.set]
  if edits.set == "fitted":
    return _fitted_powers(config.init.weights, edits.user)
  if edits.set != "user":
    raise UserError(
        "edits.set must be full, small (faces), fitted or user, got"
        f" {edits.set!r} with edits.domain {edits.domain!r}"
    )
  powers = directions.parse_strengths(edits.user, "edits.user")
  if not powers:
    raise UserError("edits.set is user, so edits.user must name directions")
  return powers


def _fitted_powers(
    folder: str, names: Sequence[str]
) -> dict[str, tuple[float, ...]]:
  """The ends and the middles of the useful ranges of fitted directions.

  Args:
    folder: of weights.
    names: of some directions; none takes all.
  """
  fitted = files.fitted(weights.locate(folder) / "directions")
  found = {path.stem: about for path, about in fitted.items()}
  if not found:
    raise UserError(
        f"edits.set is fitted, but {folder} has no fitted directions; python -m"
        f" sfe_jax.directions --weights {folder} finds some"
    )
  if unknown := sorted(set(names) - set(found)):
    raise UserError(
        f"edits.user names {', '.join(unknown)}; fitted are"
        f" {', '.join(found)}"
    )
  return {
      name: tuple(
          power
          for power in (about.low, about.low / 2, about.high / 2, about.high)
          if power
      )
      for name, about in found.items()
      if name in names or not names
  }
