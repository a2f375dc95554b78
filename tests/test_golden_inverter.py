"""Inverter, Fuser and Feature Editor against the official code."""

import functools

import jax
import numpy as np
import pytest

from convert.rules import inverter as rules
from tests import golden_data as golden

TOLERANCE = 1e-4


def _nhwc(seed, c=512):
  return golden.normal(seed, 2, c, 64, 64).transpose(0, 2, 3, 1)


@functools.cache
def load(name):
  state = golden.state(name)
  if name == "feature_editor":
    return *rules.FEATURE_EDITOR_FAMILY.convert(state), state
  state["latent_avg"] = np.zeros((18 if name == "inverter" else 14, 512),
                                 np.float32)
  return *rules.INVERTER_FAMILY.convert(state), state


def test_inverter():
  want = golden.expected("inverter")
  module, converted, _ = load("inverter")

  @jax.jit
  def run(variables, images, f_w):
    w, f_pred = module.apply(variables, images, method="encode")
    return w, f_pred, module.apply(variables, f_pred, f_w, method="fuse")

  images = golden.image(want["image_seed"], 256, 2)
  w, f_pred, f_k = run(converted.variables, images, _nhwc(want["F_w_seed"]))
  golden.check("inverter w", w, want["w"], TOLERANCE)
  for name, got in (("F_pred", f_pred), ("F_k", f_k)):
    golden.check(
        f"inverter {name}", golden.like(got, want[name]), want[name], TOLERANCE
    )
    stats = want[f"{name}_stats"]
    golden.check(f"inverter {name}_stats", golden.stats(got), stats, TOLERANCE)


def test_feature_editor():
  want = golden.expected("feature_editor")
  module, converted, _ = load("feature_editor")
  got = jax.jit(module.apply)(
      converted.variables, _nhwc(want["F_k_seed"]), _nhwc(want["delta_seed"])
  )
  golden.check(
      "feature_editor", golden.like(got, want["F_edited"]), want["F_edited"],
      TOLERANCE,
  )
  golden.check(
      "feature_editor stats", golden.stats(got), want["F_edited_stats"],
      TOLERANCE,
  )


def test_train_mode():
  """Batch statistics, and the running statistics they leave behind."""
  want = golden.expected("train_mode")
  inputs = golden.expected("inverter")
  module, converted, _ = load("inverter")
  images = golden.image(inputs["image_seed"], 256, 2)

  @jax.jit
  def encode(variables, images):
    return module.apply(
        variables, images, True, method="encode", mutable=["batch_stats"]
    )

  (w, f_pred), updated = encode(converted.variables, images)
  golden.check("train_mode w", w, want["w"], TOLERANCE)
  golden.check(
      "train_mode F_pred", golden.like(f_pred, want["F_pred"]), want["F_pred"],
      TOLERANCE,
  )
  stem = updated["batch_stats"]["backbone"]["trunk"]["stem_bn"]
  for ours, theirs in (("mean", "running_mean"), ("var", "running_var")):
    golden.check(f"train_mode {theirs}_conv1", stem[ours],
                 want[f"{theirs}_conv1"], TOLERANCE)

  inputs = golden.expected("feature_editor")
  module, converted, _ = load("feature_editor")

  @jax.jit
  def edit(variables, f_k, delta):
    return module.apply(
        variables, f_k, delta, True, mutable=["batch_stats"]
    )

  got, updated = edit(
      converted.variables,
      _nhwc(inputs["F_k_seed"]),
      _nhwc(inputs["delta_seed"]),
  )
  golden.check(
      "train_mode F_edited", golden.like(got, want["F_edited"]),
      want["F_edited"], TOLERANCE,
  )
  last = updated["batch_stats"]["fusion"]["block4"]["bn3"]
  for ours, theirs in (("mean", "running_mean"), ("var", "running_var")):
    golden.check(f"train_mode {theirs}_editor", last[ours],
                 want[f"{theirs}_editor"], TOLERANCE)


@pytest.mark.parametrize("name", ("inverter", "inverter_14", "feature_editor"))
def test_export_is_bit_exact(name):
  module, converted, state = load(name)
  family = (
      rules.FEATURE_EDITOR_FAMILY
      if name == "feature_editor"
      else rules.INVERTER_FAMILY
  )
  exported = family.export(module, converted.variables, converted.kept)
  assert exported.keys() == state.keys()
  for key, value in state.items():
    np.testing.assert_array_equal(exported[key], value, key)
