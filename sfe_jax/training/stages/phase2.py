"""Phase 2: trains the Feature Editor (paper, section 3.4)."""

import dataclasses
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from sfe_jax import directions, pipeline
from sfe_jax.architecture import Models
from sfe_jax.directions import DirectionData, families, training_sets
from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.inverter import Inverter
from sfe_jax.models.stylegan2 import Generator, Styles
from sfe_jax.storage import weights
from sfe_jax.training import requirements as needs
from sfe_jax.training.direction_set import (
    DirectionSet,
    direction_set,
    sample,
)
from sfe_jax.training.requirements import Requirement
from sfe_jax.training.stage import Stage
from sfe_jax.training.stages import common, networks
from sfe_jax.training.state import Frozen
from sfe_jax.training.step import Outputs


@flax.struct.dataclass
class Example:
  """A synthetic training pair (section 3.4).

  Attributes:
    image: (n, h, h, 3), X_E, generated from E's latents of real images.
    target: (n, h, h, 3), X_E', generated from the edited latents.
    delta: (n, h', w', c'), Delta between both (equation 5).
  """

  image: jax.Array
  target: jax.Array
  delta: jax.Array


@flax.struct.dataclass
class EditorInput:
  """Inputs of the Feature Editor and of the generator's layers above F_k.

  Attributes:
    f_k: (n, h, w, c), the Inverter's features.
    delta: (n, h', w', c'), the change that the Feature Editor applies.
    styles: style vectors of the image to make.
    skip: (n, h, w, 3), RGB output below layer k.
  """

  f_k: jax.Array
  delta: jax.Array
  styles: Styles
  skip: jax.Array


@dataclasses.dataclass(frozen=True)
class Forward:
  """Makes X^ and the edited X^_E', two sets of images (section 3.4).

  Attributes:
    models: networks; if `e4e` is None, the Inverter's w replaces E's latents.
    inversion: train the inversion branch too; False is the ablation "w/o inv
      loss", which has one set of images and no discriminator.
    remat: recompute the upper generator's activations in the backward pass.
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
    n = images.shape[0]
    direction, power = sample(frozen["directions"], rng)
    powers = jnp.full(n, power)
    small = layers.resize_bilinear(images, self._inverter.input_size)
    example = self._example(frozen, small, direction, powers)
    parts = self._inputs(frozen, small, example, direction, powers)
    features = []
    for part in parts:  # each set has its own batch statistics
      variables = {"feature_editor": {"params": params, **model_state}}
      f_k, updates = pipeline.edit_features(
          self.models, variables, part.f_k, part.delta, train
      )
      features.append(f_k)
      model_state = {**model_state, **updates}
    decode = common.decoder(self.models, self.remat)
    fakes = decode(
        frozen,
        jax.tree.map(lambda *s: jnp.concatenate(s), *(p.styles for p in parts)),
        jnp.concatenate(features),
        jnp.concatenate([part.skip for part in parts]),
    )
    targets = example.target
    if self.inversion:
      targets = jnp.concatenate([images, targets])
    return Outputs(fakes, targets, fakes[:n], images, None), model_state

  @property
  def _inverter(self) -> Inverter:
    assert self.models.inverter is not None
    return self.models.inverter

  def _inputs(
      self,
      frozen: Frozen,
      images: jax.Array,
      example: Example,
      direction: DirectionData,
      powers: jax.Array,
  ) -> list[EditorInput]:
    """Inverts the real images and X_E, in one batch.

    Args:
      frozen: variables of the networks that are not trained.
      images: (n, h, h, 3) real images at the Inverter's input size.
      example: the synthetic pair.
      direction: the direction that was drawn.
      powers: (n,) its strength.

    Returns:
      Inputs for the inversion of the real images (unless `inversion` is False)
      and for the edit of the synthetic ones.
    """
    n = images.shape[0]
    inputs = layers.resize_bilinear(example.image, images.shape[1])
    if self.inversion:
      inputs = jnp.concatenate([images, inputs])
    inverted, _ = pipeline.run_inverter(self.models, frozen, inputs)
    parts = []
    if self.inversion:
      real = jax.tree.map(lambda x: x[:n], inverted)
      delta = jnp.zeros_like(real.f_e)
      parts.append(EditorInput(real.f_k, delta, real.styles, real.skip))
    synthetic = jax.tree.map(lambda x: x[-n:], inverted)
    edit = directions.apply(direction, synthetic.w, powers)
    moved = pipeline.lower(
        self.models, frozen, synthetic.w + edit.w_offset, edit.style_offset
    )
    parts.append(
        EditorInput(synthetic.f_k, example.delta, moved.styles, moved.skip)
    )
    return parts

  def _example(
      self,
      frozen: Frozen,
      images: jax.Array,
      direction: DirectionData,
      powers: jax.Array,
  ) -> Example:
    """Makes X_E, X_E' and Delta in one pass of the generator.

    Args:
      frozen: variables of the networks that are not trained.
      images: (n, h, h, 3) real images at the encoders' input size.
      direction: the direction that was drawn.
      powers: (n,) its strength.
    """
    models, n = self.models, images.shape[0]
    w_e = pipeline.editing_latents(models, frozen, images)
    edit = directions.apply(direction, w_e, powers)
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


def check(config: ConfigDict) -> None:
  """Raises UserError if the config contradicts itself."""
  networks.check(config)


def requirements(config: ConfigDict) -> list[Requirement]:
  """Looks for the networks and directions that the stage reads."""
  found = networks.requirements(config, *_names(config))
  inverter = config.init.inverter
  found.append(needs.trained_network(inverter, "init.inverter", "inverter"))
  if not config.init.random:
    found += _direction_requirements(config)
  return found


def build(config: ConfigDict) -> Stage:
  """Builds the stage of a config such as configs/ffhq_phase2.py.

  Raises:
    UserError: a network or direction is missing, or sizes do not fit.
  """
  found = _networks(config)
  models = found.models
  assert models.feature_editor is not None
  variables = weights.init(models.feature_editor, networks.key(config.seed))
  inversion = config.edits.inversion
  return common.stage(
      config,
      found,
      Forward(models, inversion, config.compute.remat),
      "feature_editor",
      variables,
      columns=("X^", "edited") if inversion else ("edited",),
      directions=_directions(config, models.generator),
  )


def _networks(config: ConfigDict) -> networks.InitialNetworks:
  """All networks, with the Inverter, and its discriminator, of phase 1."""
  found = networks.load(config, *_names(config))
  dtype = networks.compute_dtype(config)
  module, variables = networks.trained(
      config.init.inverter, "inverter", **networks.fields("inverter", dtype)
  )
  models = dataclasses.replace(found.models, inverter=cast(Inverter, module))
  models.check()
  found = dataclasses.replace(
      found,
      models=models,
      variables=found.variables | {"inverter": variables},
  )
  if not _has_discriminator(config):
    return found
  if not _phase1_discriminator(config):
    logging.info("the discriminator starts from %s", config.init.weights)
    return found
  module, variables = networks.trained(
      config.init.inverter,
      "discriminator",
      **networks.fields("discriminator", dtype),
  )
  logging.info("the discriminator starts from %s", config.init.inverter)
  return dataclasses.replace(
      found,
      discriminator=cast(Discriminator, module),
      variables=found.variables | {"discriminator": variables},
  )


def _names(config: ConfigDict) -> list[str]:
  """Networks that `init.weights` must hold besides those of all stages."""
  names = []
  if config.edits.encoder:
    names.append("e4e")
  if _has_discriminator(config) and not _phase1_discriminator(config):
    names.append("discriminator")
  return names


def _has_discriminator(config: ConfigDict) -> bool:
  """Whether there is an adversarial loss: it judges inversions alone."""
  return bool(config.loss.adversarial) and config.edits.inversion


def _phase1_discriminator(config: ConfigDict) -> bool:
  """Whether `init.inverter` holds the discriminator that phase 1 trained."""
  return needs.holds(config.init.inverter, "discriminator")


def _direction_requirements(config: ConfigDict) -> list[Requirement]:
  """Looks for the directions of the set D.

  Returns:
    One requirement for each missing file, or one for the whole set if nothing
    is missing.
  """
  folder = weights.locate(config.init.weights)
  where = weights.shown(folder / "directions")
  what = f"directions of edits.set {config.edits.set}"
  try:
    powers = _powers(config)
    generator = _generator(config)
    registry = _registry(config, generator)
  except UserError as error:
    return [Requirement(what, where, str(error))]
  space = directions.LatentSpace.of(generator)
  missing: dict[str, list[str]] = {}
  for name in powers:
    try:
      registry.entry(name).check(folder, space)
    except UserError as error:
      missing.setdefault(str(error), []).append(name)
  if not missing:
    return [Requirement(what, where, note=f"{len(powers)} directions")]
  return [
      Requirement(f"direction {', '.join(names)}", where, reason)
      for reason, names in missing.items()
  ]


def _generator(config: ConfigDict) -> Generator:
  """The generator of `init.weights`; without one, of the config's sizes."""
  folder = weights.locate(config.init.weights) / "generator"
  try:
    return cast(Generator, weights.module(folder, Generator))
  except UserError:
    sizes = networks.architecture(config)
    resolution = config.data.resolution
    return dataclasses.replace(sizes, resolution=resolution).generator()


def _directions(config: ConfigDict, generator: Generator) -> DirectionSet:
  """The set D that section `edits` asks for."""
  powers = _powers(config)
  if not config.init.random:
    registry = _registry(config, generator)
    return direction_set([registry.get(name) for name in powers], powers)
  space = directions.LatentSpace.of(generator)
  rng = np.random.default_rng(config.seed)
  drawn = [
      families.user(rng.standard_normal(generator.w_dim), space)
      for _ in powers
  ]
  return direction_set(drawn, powers)


def _registry(
    config: ConfigDict, generator: Generator
) -> directions.Registry:
  """The directions that `init.weights` offers for a generator."""
  edits = config.edits
  return directions.Registry.of_weights(
      weights.locate(config.init.weights),
      generator,
      "none" if edits.set == "fitted" else edits.domain,
  )


def _powers(config: ConfigDict) -> dict[str, tuple[float, ...]]:
  """Direction names and powers of the set D."""
  edits = config.edits
  return training_sets.powers(
      edits.domain, edits.set, edits.user, config.init.weights
  )
