"""The whole inference at 1024 px against the official code."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.rules import e4e, inverter, stylegan2
from sfe_jax import pipeline
from sfe_jax.architecture import Architecture, Models
from tests import golden_data as golden

TOLERANCE = 1e-3
EDIT_GFLOP = 1006
FURTHER_EDIT_GFLOP = 380


@functools.cache
def load():
  want = golden.expected("pipeline_1024")
  w_avg = 0.3 * golden.normal(want["latent_avg_seed"], 18, 512)
  modules, weights = {}, {}
  for field, name, family in (
      ("generator", "stylegan2_g_1024", stylegan2.FAMILY),
      ("inverter", "inverter", inverter.INVERTER_FAMILY),
      ("feature_editor", "feature_editor", inverter.FEATURE_EDITOR_FAMILY),
      ("e4e", "e4e_encoder_1024", e4e.E4E_FAMILY),
  ):
    state = golden.state(name)
    if family.with_w_avg:
      state["latent_avg"] = w_avg
    modules[field], converted = family.convert(state)
    weights[field] = jax.device_put(converted.variables)
  models = Models(**modules)
  models.check()
  assert models == Architecture().build()
  return models, weights


@functools.cache
def jitted():
  models, _ = load()
  functions = {
      "invert": functools.partial(pipeline.invert, models),
      "reconstruct": functools.partial(pipeline.reconstruct, models),
      "edit": functools.partial(pipeline.edit, models),
      "inverter_only": functools.partial(
          pipeline.reconstruct, dataclasses.replace(models, feature_editor=None)
      ),
  }
  return {name: jax.jit(function) for name, function in functions.items()}


def no_edit(models, n=1):
  return pipeline.Edit(
      jnp.zeros((n, models.generator.styles, models.generator.w_dim)),
      jnp.zeros((n, sum(models.generator.style_widths))),
  )


@pytest.mark.big
def test_pipeline():
  want = golden.expected("pipeline_1024")
  models, weights = load()
  run = jitted()

  def check(name, got):
    golden.check(f"pipeline_1024 {name}", got, want[name], TOLERANCE)

  def check_image(name, image):
    check(name, golden.like(image, want[name]))
    if f"{name}_stats" in want:
      check(f"{name}_stats", golden.stats(image))

  inversion = run["invert"](weights, golden.image(want["image_seed"], 1024, 1))
  check("w", inversion.w)
  check("w_e", inversion.w_e)
  check("F_k", golden.like(inversion.f_k, want["F_k"]))
  check_image("inversion", run["reconstruct"](weights, inversion))
  check_image("inverter_only", run["inverter_only"](weights, inversion))

  nothing = no_edit(models)
  direction = 0.3 * golden.normal(want["direction_seed"], 1, 18, 512)
  edit = nothing.replace(w_offset=direction)
  out = run["edit"](weights, inversion, edit, edit)
  check("delta", golden.like(out.delta, want["delta"]))
  check_image("edited", out.image)

  starts = np.cumsum([0, *models.generator.style_widths])
  offset = np.zeros((1, starts[-1]), np.float32)
  offset[0, starts[7] + 479] = 6
  offset[0, starts[4] + 100] = -4
  edit = nothing.replace(style_offset=offset)
  out = run["edit"](weights, inversion, edit, edit)
  check("delta_stylespace", golden.like(out.delta, want["delta_stylespace"]))
  check_image("edited_stylespace", out.image)


@pytest.mark.parametrize("first", (True, False))
def test_nothing_is_computed_twice(first):
  """XLA's operation count of one edit, and of a further one."""
  models = Architecture().build()
  limit = EDIT_GFLOP if first else FURTHER_EDIT_GFLOP
  weights = {
      name: jax.eval_shape(
          module.init, jax.random.key(0), *module.example_inputs()
      )
      for name, module in vars(models).items()
  }

  def once(weights, image, edit):
    inversion = pipeline.invert(models, weights, image)
    return pipeline.edit(models, weights, inversion, edit, edit)

  edit = jax.eval_shape(lambda: no_edit(models))
  image = jax.ShapeDtypeStruct((1, 1024, 1024, 3), jnp.float32)
  if first:
    lowered = jax.jit(once).lower(weights, image, edit)
  else:
    inversion = jax.eval_shape(
        functools.partial(pipeline.invert, models), weights, image
    )
    lowered = jax.jit(functools.partial(pipeline.edit, models)).lower(
        weights, inversion, edit, edit
    )
  cost = lowered.compile().cost_analysis()
  gflop = cost["flops"] / 1e9
  print(f"{'edit' if first else 'further edit'}: {gflop:.0f} GFLOP")
  assert 0.9 * limit <= gflop <= 1.15 * limit
