"""Training computes the pictures that the Editor makes of the same weights."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sfe_jax import Editor, devices, pipeline
from sfe_jax.architecture import Models
from sfe_jax.directions import Entry
from sfe_jax.metrics.methods import EncoderAlone
from sfe_jax.models import layers
from sfe_jax.storage import images as image_files
from sfe_jax.training.stages import phase1, phase2
from tests import test_e4e_stage, tiny, tiny_phases

pytestmark = pytest.mark.usefixtures("quick_compilation")
N, SIZE = 2, 16


@dataclasses.dataclass
class OneDirection:
  """Stands in for a `Registry`."""

  data: Any

  def get(self, name):
    return self.data

  def entry(self, name):
    return Entry(name, "")


def networks(stage):
  """(models, variables) of a stage, trained and given."""
  modules = {name: module for name, (module, _) in stage.given.items()}
  modules = modules | stage.trained
  (trained,) = stage.trained.keys() - {"discriminator"}
  variables = {name: stage.frozen[name] for name in stage.given}
  state = {"params": stage.state.params, **stage.state.model_state}
  names = [f.name for f in dataclasses.fields(Models)]
  models = Models(**{name: modules.get(name) for name in names})
  return models, {k: v for k, v in variables.items() if k in names} | {
      trained: state
  }


def forward(stage, function, step, rng):
  """The fake pictures of a training step, with running batch statistics."""
  state = stage.state

  @jax.jit
  def fakes(frozen, images, rng):
    out, _ = function(
        state.params, state.model_state, frozen, images, step, rng, False
    )
    return out.fakes

  return fakes(stage.frozen, layers.to_float(tiny.pictures(N, SIZE)), rng)


def close(got, want):
  error = np.abs(np.asarray(got) - np.asarray(want)).max()
  assert error <= 2e-5 * np.abs(want).max(), error


def test_e4e_is_the_evaluated_encoder(monkeypatch):
  stage = test_e4e_stage.build()
  state, pictures = stage.state, tiny.pictures(N, SIZE)

  def fakes(images):
    trainer = stage.step.__self__
    out, _ = trainer.forward(
        state.params,
        state.model_state,
        stage.frozen,
        layers.to_float(images),
        0,
        jax.random.key(0),
        False,
    )
    return out.fakes

  got = devices.pmap(fakes)(pictures[None])[0]
  models = Models(
      stage.given["generator"][0], None, None, stage.trained["e4e"]
  )
  variables = {
      "generator": stage.frozen["generator"],
      "e4e": {"params": state.params, **state.model_state},
  }
  method = EncoderAlone(models, variables, OneDirection(None))
  # The pictures as they are before they are rounded.
  monkeypatch.setattr(image_files, "to_uint8", np.asarray)
  close(got, method.reconstruct(method.encode(pictures)))


def test_phase_1_is_the_inversion_without_h():
  stage = tiny_phases.build("phase1")
  models, variables = networks(stage)
  got = forward(
      stage, phase1.Forward(models, 1.0, "norm"), 1, jax.random.key(0)
  )
  models = dataclasses.replace(models, feature_editor=None, e4e=None)
  editor = Editor(models, variables, OneDirection(None), batch_size=N)
  want = editor.reconstruct(editor.invert(tiny.pictures(N, SIZE)))
  close(got[:N], want)
  assert np.abs(got[:N] - got[N:]).max() > 1e-2  # F_k is not F_w


def test_phase_2_is_the_edit_of_the_synthetic_picture():
  """X_E = G(E(X)) is inverted, and edited by the Delta of E(X)."""
  stage = tiny_phases.build("phase2")
  models, variables = networks(stage)
  rng = jax.random.key(1)
  got = forward(stage, phase2.Forward(models), 0, rng)
  direction, power = phase2.sample(stage.frozen["directions"], rng)
  editor = Editor(models, variables, OneDirection(direction), batch_size=N)
  pictures = tiny.pictures(N, SIZE)
  close(got[:N], editor.reconstruct(editor.invert(pictures)))

  @jax.jit
  def synthetic(variables, images):
    w_e, _ = pipeline.encode(models.e4e, variables["e4e"], images)
    x_e = models.generator.apply(
        variables["generator"], w_e, method="synthesize"
    )
    found, _ = pipeline.run_inverter(models, variables, x_e, w_e)
    return pipeline.Inversion(found.w, found.f_k, found.skip, w_e, found.f_e)

  images = layers.to_float(jnp.asarray(pictures))
  inversion = synthetic(editor.variables, images)
  edited = editor.edit(inversion, {"it": float(power)})
  close(got[N:], edited.image)
  assert np.abs(edited.delta).max() > 1e-2
  unedited = editor.reconstruct(inversion)
  assert np.abs(edited.image - unedited).max() > 1e-3
