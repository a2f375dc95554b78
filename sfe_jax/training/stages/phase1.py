"""Phase 1: trains the whole Inverter (paper, section 3.3)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from sfe_jax import pipeline
from sfe_jax.architecture import Models
from sfe_jax.errors import UserError
from sfe_jax.measures import losses
from sfe_jax.training.requirements import Requirement, network
from sfe_jax.training.stage import Stage
from sfe_jax.training.stages import common, networks
from sfe_jax.training.state import Frozen
from sfe_jax.training.step import Outputs

REGULARISERS = ("norm", "difference")


@dataclasses.dataclass(frozen=True)
class Forward:
  """Makes X^ and X^_w, two sets of images (equation 4).

  Attributes:
    models: networks; the Inverter is trained.
    blend_rate: during training F_k enters the generator with weight
      min(1, blend_rate * step) and F_w with the rest.
    regulariser: "norm" for the paper's ||F_k||_2, "difference" for the
      official code's mean square of F_k - F_w.
    remat: recompute the upper generator's activations in the backward pass.
  """

  models: Models
  blend_rate: float
  regulariser: str
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
    """See `EncoderTrainer.forward`.

    With `train` False the blend is 1, as in the deployed network.
    """
    del rng  # nothing in this phase is random
    variables = {**frozen, "inverter": {"params": params, **model_state}}
    inverted, updates = pipeline.run_inverter(
        self.models, variables, images, train=train
    )
    f_k, f_w = inverted.f_k, inverted.f_w
    blended = f_k.astype(f_w.dtype)
    if train:
      blend = jnp.minimum(1.0, self.blend_rate * step)
      blended = ((1.0 - blend) * f_w + blend * f_k).astype(f_w.dtype)
    decode = common.decoder(self.models, self.remat)
    fakes = decode(
        variables,
        jax.tree.map(lambda s: jnp.concatenate([s, s]), inverted.styles),
        jnp.concatenate([blended, f_w]),
        jnp.concatenate([inverted.skip, inverted.skip]),
    )
    if self.regulariser == "norm":
      regulariser = losses.feature_norm(f_k)
    else:
      regulariser = losses.feature_difference(f_k, f_w)
    out = Outputs(fakes, images, fakes, images, regulariser)
    return out, {**model_state, **updates}


def check(config: ConfigDict) -> None:
  """Raises UserError if the config contradicts itself."""
  networks.check(config)
  if config.loss.regulariser_form not in REGULARISERS:
    raise UserError(
        f"loss.regulariser_form must be one of {', '.join(REGULARISERS)}, got"
        f" {config.loss.regulariser_form!r}"
    )


def _names(config: ConfigDict) -> list[str]:
  """Networks besides the generator and the loss networks."""
  return ["discriminator"] if config.loss.adversarial else []


def requirements(config: ConfigDict) -> list[Requirement]:
  """Looks for the networks that the stage reads."""
  found = networks.requirements(config, *_names(config))
  if config.init.backbone and not config.init.random:
    trunk = network(config.init.weights, "iresnet50")
    if not trunk.found:
      way_out = "or start from scratch with --config.init.backbone=False"
      trunk = dataclasses.replace(trunk, problem=f"{trunk.problem}, {way_out}")
    found.append(trunk)
  return found


def build(config: ConfigDict) -> Stage:
  """Builds the stage of a config such as configs/ffhq_phase1.py.

  Raises:
    UserError: a network is missing, or sizes do not fit.
  """
  found = networks.load(config, *_names(config))
  forward = Forward(
      found.models,
      config.loss.blend_rate,
      config.loss.regulariser_form,
      config.compute.remat,
  )
  variables = networks.new_inverter(config, found, networks.key(config.seed))
  return common.stage(
      config, found, forward, "inverter", variables, columns=("X^", "X^_w")
  )
