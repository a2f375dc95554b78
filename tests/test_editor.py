"""The Python API on tiny random networks."""

import ast
import collections
import dataclasses
import inspect
import shutil
import textwrap

import jax
import numpy as np
import pytest

from sfe_jax import Editor, images, pipeline
from sfe_jax import editor as editor_module
from sfe_jax.directions import Entry, Registry, strengths
from sfe_jax.errors import UserError
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from tests import tiny

W = {"age_test": 0, "smile_test": 1, "age": 2, "smile": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("weights")
  (folder / "directions").mkdir()
  for name, seed in W.items():
    direction = np.random.default_rng(seed).standard_normal((1, 512))
    np.savez(folder / "directions" / f"{name}.npz", direction=direction)
  return folder


@pytest.fixture(scope="module")
def editor(folder):
  models, variables = tiny.networks()
  registry = Registry.of_weights(folder, models.generator, "faces")
  return Editor(models, variables, registry)


@pytest.fixture(scope="module")
def inversion(editor):
  return editor.invert(tiny.pictures(3))


def close(a, b, tolerance=1e-5):
  np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())


def test_results_carry_everything(editor, inversion):
  out = editor.edit(inversion, {"age_test": 2})
  assert out.image.shape == (3, 64, 64, 3)
  assert out.w.shape == (3, 10, 512)
  assert out.f_k.shape == out.delta.shape == (3, 16, 16, 16)
  assert np.abs(out.delta).max() > 0
  direction = np.random.default_rng(0).standard_normal((1, 512))
  close(out.w, np.float32(inversion.w + 2 * direction))


def test_no_edit_is_the_inversion(editor, inversion):
  close(editor.edit(inversion, {}).image, editor.reconstruct(inversion))


def test_edits_add_up(editor, inversion):
  both = editor.edit(inversion, {"age_test": 2, "smile_test": -1})
  one = editor.edit(inversion, {"age_test": 2})
  other = editor.edit(inversion, {"smile_test": -1})
  close(both.w - inversion.w, (one.w - inversion.w) + (other.w - inversion.w))
  assert np.abs(both.image - one.image).max() > 1e-3


def test_strength_per_image(editor, inversion):
  strengths = np.array([1.0, -2.0, 0.5])
  out = editor.edit(inversion, {"age_test": strengths})
  for i, strength in enumerate(strengths):
    alone = editor.edit(inversion, {"age_test": float(strength)})
    close(out.image[i], alone.image[i])


def test_list_of_strengths_is_a_strip(editor, inversion):
  out = editor.edit(inversion, {"age_test": [-1, 2], "smile_test": 1})
  assert out.image.shape == (2, 3, 64, 64, 3)
  alone = editor.edit(inversion, {"age_test": 2, "smile_test": 1})
  close(out.image[1], alone.image)


@pytest.mark.parametrize("batch_size", (1, 2, 8))
def test_batch_size_does_not_matter(editor, inversion, batch_size):
  other = Editor(
      editor.models, editor.variables, editor.directions, batch_size=batch_size
  )
  again = other.invert(tiny.pictures(3))
  for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(inversion)):
    close(a, b)


def test_uint8_and_float_are_the_same_picture(editor, inversion):
  floats = tiny.pictures(3) / np.float32(127.5) - 1
  close(editor.invert(floats).w, inversion.w)


def test_background_is_not_edited(editor, inversion):
  """A mask over everything leaves Delta zero, half a mask half of it."""
  all_of_it = editor.edit(inversion, {"age_test": 3}, np.ones((64, 64)))
  assert np.abs(all_of_it.delta).max() == 0
  left = np.zeros((64, 64))
  left[:, :32] = 1
  half = editor.edit(inversion, {"age_test": 3}, left)
  free = editor.edit(inversion, {"age_test": 3})
  assert np.abs(half.delta[:, :, :8]).max() == 0
  close(half.delta[:, :, 8:], free.delta[:, :, 8:])


def test_compiles_once_per_shape(monkeypatch, folder):
  traces = collections.Counter()

  def count(name):
    original = getattr(pipeline, name)

    def counted(*args):
      traces[name] += 1
      return original(*args)

    monkeypatch.setattr(pipeline, name, counted)

  for name in ("invert", "reconstruct", "edit"):
    count(name)
  editor = tiny.editor(folder=folder, batch_size=2)
  inversion = editor.invert(tiny.pictures(3))
  for name in ("age_test", "smile_test"):
    for strength in (1, -2.5):
      editor.edit(inversion, {name: strength})
  editor.edit(inversion, {"age_test": 3, "smile_test": [1, 2, 3]})
  editor.reconstruct(editor.invert(tiny.pictures(5)))
  editor.edit(editor.invert(tiny.pictures(2)), {})
  assert traces == {"invert": 1, "reconstruct": 1, "edit": 1}


@pytest.mark.parametrize(
    "call, message",
    (
        (lambda e, i: e.invert(np.zeros((64, 60, 3), np.uint8)), "expected"),
        (lambda e, i: e.invert(np.zeros((0, 64, 64, 3))), "expected"),
        (lambda e, i: e.invert(np.full((64, 64, 3), 255.0)), r"\[-1, 1\]"),
        (lambda e, i: e.invert(np.full((64, 64, 3), np.nan)), r"\[-1, 1\]"),
        (lambda e, i: e.invert(np.zeros((64, 64, 3), int)), "int64"),
        (lambda e, i: e.edit(i, {"aeg_test": 1}), "did you mean 'age_test'"),
        (lambda e, i: e.edit(i, {"age": np.ones(2)}), "age: .* one per pic"),
        (lambda e, i: e.edit(i, {"age": np.nan}), "age: .* finite"),
        (lambda e, i: e.edit(i, {"age": 1e39}), "age: .* finite"),
        (lambda e, i: e.edit(i, {"age": "x"}), "age: .* number .* got 'x'"),
        (lambda e, i: e.edit(i, {"age": 1j}), "age: .* number .* got 1j"),
        (lambda e, i: e.edit(i, {"age": None}), "age: .* number .* got None"),
        (lambda e, i: e.edit(i, {"age": [1, "x"]}), "age: .* got 'x'"),
        (lambda e, i: e.edit(i, {None: 1}), "named by strings, got None"),
        (lambda e, i: e.edit(i, "age"), "dict from name to strength"),
        (
            lambda e, i: e.edit(i, {"age": [1, 2], "smile": [1]}),
            "one length, got 2 for age, 1 for smile",
        ),
        (lambda e, i: e.edit(tiny.pictures(1), {"age": 1}), "editor.invert"),
        (lambda e, i: e.reconstruct(tiny.pictures(1)), "editor.invert"),
        (
            lambda e, i: e.edit(i, {"age": 1}, np.ones((2, 64, 64))),
            r"shape \(2, 64, 64\), expected \(64, 64\) or \(3, 64, 64\)",
        ),
        (lambda e, i: e.edit(i, {"age": 1}, np.ones(5)), r"shape \(5,\)"),
        (
            lambda e, i: e.edit(i, {"age": 1}, np.full((64, 64), 255)),
            "from 255 to 255; divide",
        ),
        (
            lambda e, i: e.edit(i, {"age": 1}, np.full((64, 64), np.nan)),
            r"numbers in \[0, 1\]",
        ),
        (lambda e, i: Editor.load("nowhere"), "no such weight folder"),
    ),
)
def test_mistakes_have_a_clear_message(editor, inversion, call, message):
  with pytest.raises(UserError, match=message):
    call(editor, inversion)


def test_useless_results_are_reported(editor, inversion, caplog):
  editor.edit(inversion, {"age": 10, "smile": [-2, 2]})  # at the limit
  assert not caplog.records
  for _ in range(2):  # it warns once
    editor.edit(inversion, {"age": np.array([0, 11, -20])})
  (record,) = caplog.records
  assert record.message == "age -20 is outside the useful range -10..10"
  afro = Entry("afro", "", 0, 0.14)
  assert not strengths.remark(afro, np.float32([0, 0.14]))
  caplog.clear()
  editor.edit(inversion, {"age_test": np.float32([1e38, 0, 0])})
  (record,) = caplog.records
  assert "1 of 3 pictures edited by age_test [" in record.message
  assert "not finite" in record.message
  caplog.clear()
  white = jax.numpy.full((2, 4, 4, 3), 1.5).at[0].set(0.5)
  editor_module._warn_if_useless(white, {"age": 3})
  (record,) = caplog.records
  assert "1 of 2 pictures edited by age 3 are completely" in record.message


def test_the_example_of_the_docstring(editor, monkeypatch, tmp_path):
  example = inspect.getdoc(editor_module).partition("\n\n")[2]
  code = ast.parse(textwrap.dedent(example))
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(Editor, "load", lambda folder: editor)
  images.write("photo.jpg", tiny.pictures(1, 90)[0][:80])
  scope = {}
  exec(compile(code, "example", "exec"), scope)
  close(
      images.read("inversion.png"),
      images.to_uint8(editor.reconstruct(scope["inversion"])[0]),
  )
  assert images.read("strip.png").shape == (64, 3 * 64, 3)
  assert (images.read("edited.png") != images.read("inversion.png")).any()


def test_networks_must_fit(editor):
  models = dataclasses.replace(
      editor.models,
      inverter=dataclasses.replace(editor.models.inverter, styles=14),
  )
  with pytest.raises(UserError, match="w.* rows 10 against 14"):
    Editor(models, editor.variables, editor.directions)
  cars = dataclasses.replace(tiny.ARCHITECTURE, delta_k=7).build()
  wide = dataclasses.replace(cars.feature_editor, delta_features=64)
  with pytest.raises(UserError, match="width of Delta 16 against 64"):
    dataclasses.replace(cars, feature_editor=wide).check()


def test_load_reads_what_was_written(tmp_path):
  tiny.write_weights(tmp_path)
  loaded = Editor.load(tmp_path)
  assert loaded.models == tiny.shared().models
  picture = tiny.pictures(1)
  close(loaded.invert(picture).f_k, tiny.shared().invert(picture).f_k)
  (tmp_path / "e4e" / "network.json").write_text("{")
  with pytest.raises(UserError, match="cannot be read"):
    Editor.load(tmp_path)


@pytest.mark.parametrize(
    "resolution, way",
    (
        (None, "sfe_editor_light.pt"),
        (1024, "sfe_editor_light.pt"),
        (512, "--config=cars_phase2.py"),
        (256, "--config=toy_phase2.py"),
    ),
)
def test_the_way_to_a_missing_network(tmp_path, monkeypatch, resolution, way):
  folder = tmp_path / "weights"
  for name in ("generator", "inverter", "e4e"):
    (folder / name).mkdir(parents=True)
  if resolution:
    found = dataclasses.replace(Generator(), resolution=resolution)
    monkeypatch.setattr(weights, "module", lambda *_: found)
  with pytest.raises(UserError, match=f"feature_editor: .*{way}.*--without="):
    Editor.load(folder)
  (tmp_path / "trained.json").write_text("{}")
  with pytest.raises(UserError, match="training run .* --without=feature_edit"):
    Editor.load(folder)


def test_load_refuses_another_network(tmp_path):
  tiny.write_weights(tmp_path)
  shutil.rmtree(tmp_path / "generator")
  (tmp_path / "e4e").rename(tmp_path / "generator")
  tiny.write_weights(tmp_path / "again")
  (tmp_path / "again" / "e4e").rename(tmp_path / "e4e")
  with pytest.raises(UserError, match="holds a E4E, expected a Generator"):
    Editor.load(tmp_path)


def test_bfloat16_is_close():
  exact = tiny.shared()
  models = tiny.ARCHITECTURE.build(jax.numpy.bfloat16)
  half = Editor(models, exact.variables, exact.directions)
  picture = tiny.pictures(2)
  inversion = half.invert(picture)
  assert inversion.f_k.dtype == jax.numpy.bfloat16
  assert inversion.w.dtype == inversion.skip.dtype == np.float32
  want = exact.reconstruct(exact.invert(picture))
  got = half.reconstruct(inversion)
  assert got.dtype == np.float32
  error = np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))
  assert 1e-5 < error < 0.1
