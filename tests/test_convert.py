"""Conversion of official files of every kind, and export."""

import argparse
import dataclasses
import logging
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from convert import export, importer, official, reader
from convert.rules import discriminator
from sfe_jax.errors import UserError
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.storage import weights
from tests import official_files, tiny
from tests.tiny_official import (
  NETWORKS,
  STYLES,
  W_DIM,
  latent_avg,
  lpips_halves,
  state,
)

ROOT = pathlib.Path(__file__).parents[1]
AVERAGE = latent_avg(STYLES, W_DIM)
_PSP_OPTIONS = {"encoder_type": "GradualStyleEncoder", "device": "cuda:0"}
_OPTIMISER = {"state": {0: {"step": 5}}, "param_groups": [{"lr": 1e-4}]}


def sfe_editor():
  """The contents of sfe_editor.pt, the full version."""
  return {
      "state_dict": state("feature_editor", prefix="encoder.")
      | state("inverter", prefix="inverter.")
      | state("discriminator", prefix="discriminator.")
      | state("generator", prefix="decoder.")
      | state("e4e", prefix="e4e_encoder."),
      "encoder_opt": _OPTIMISER,
      "disc_opt": _OPTIMISER,
      "latent_avg": AVERAGE,
  }


def moco():
  return {
      "epoch": 800,
      "arch": "resnet50",
      "state_dict": state("moco", prefix="module.encoder_q.")
      | state("moco", 1, "module.encoder_k.")
      | {"module.queue": np.ones((2, 3)), "module.queue_ptr": np.zeros(1)},
      "optimizer": _OPTIMISER,
  }


def encoder_file(name, options):
  return {
      "state_dict": state(name, prefix="encoder.")
      | state("generator", prefix="decoder."),
      "latent_avg": AVERAGE,
      "opts": options,
  }


def torch_files():
  """Everything that comes as .pt or .pth: {file name: contents}."""
  vgg, vgg_lin = lpips_halves("vgg")
  alex, alex_lin = lpips_halves("alex")
  return {
      "a": sfe_editor(),
      "b": {
          "state_dict": state("inverter", prefix="encoder."),
          "latent_avg": AVERAGE,
      },
      "c": {"g_ema": state("generator"), "latent_avg": latent_avg(W_DIM)},
      "d": encoder_file("e4e", {"encoder_type": "Encoder4Editing"}),
      "e": encoder_file("psp", argparse.Namespace(**_PSP_OPTIONS)),
      "f": moco(),
      "g": vgg,
      "h": alex,
      "i": alex_lin,
      "j": vgg_lin,
      "k": state("arcface"),
      "l": state("curricularface", prefix="module."),
      "m": state("iresnet50"),
      "n": state("inception"),
      "o": {"d": state("rosinality_d", 1), "d_optim": _OPTIMISER},
      "purple_hair": {
          "state_dict": state("styleclip_mapper", prefix="mapper."),
          "opts": {"mapper_type": "LevelsMapper"},
      },
      "q": {"delta_mapper": None} | state("delta_mapper"),
  }


def write_nvidia(path):
  nvidia = state("nvidia") | {"mapping.w_avg": AVERAGE[0]}
  options = {"z_dim": W_DIM, "img_resolution": 8}
  raw = nvidia | {"synthesis.b4.const": np.ones((6, 4, 4), np.float32)}
  official_files.write_nvidia_pickle(
      path,
      {
          "G": ("Generator", raw, options),
          "D": ("Discriminator", state("discriminator"), {}),
          "G_ema": ("Generator", nvidia, options),
      },
  )


# {network in the weight folder: (name in NETWORKS, seed) of its tensors}
FOUND = {
    name: (name, 0)
    for name in (
        "arcface",
        "curricularface",
        "delta_mapper",
        "discriminator",
        "e4e",
        "feature_editor",
        "generator",
        "inception",
        "inverter",
        "iresnet50",
        "lpips_alex",
        "lpips_vgg",
        "moco",
        "psp",
    )
} | {
    "discriminator@o": ("rosinality_d", 1),
    "generator_raw": ("generator", 0),
    "mappers/purple_hair": ("styleclip_mapper", 0),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """A folder of all official files under meaningless names."""
  folder = tmp_path_factory.mktemp("official")
  for i, (name, contents) in enumerate(torch_files().items()):
    official_files.write_torch(folder / name, contents, legacy=i % 2 == 0)
  (folder / "deep" / "down").mkdir(parents=True)
  write_nvidia(folder / "deep" / "down" / "p")
  return folder


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
  """The weight folder made of them."""
  folder = tmp_path_factory.mktemp("weights") / "new"
  importer.import_files([files], folder)
  yield folder
  shutil.rmtree(folder)


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
  """The weight folder as official files again."""
  exported = tmp_path_factory.mktemp("exported")
  export.export_folder(folder, exported)
  return exported


def networks_in(folder):
  found = folder.glob("**/network.json")
  return {p.parent.relative_to(folder).as_posix() for p in found}


def assert_same(got, want):
  jax.tree.map(np.testing.assert_array_equal, got, want)


def split_average(variables):
  """Splits variables into those without the mean latent, and it."""
  rest = dict(variables)
  buffers = dict(rest.pop("buffers", {}))
  inner = buffers.pop("backbone", buffers)
  average = inner.pop("w_avg", None)
  return rest | ({"buffers": buffers} if buffers else {}), average


def test_nothing_else_is_found(folder):
  assert networks_in(folder) == set(FOUND)
  assert not [p for p in folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("name", FOUND)
def test_network_has_the_numbers_of_its_file(folder, name):
  which, seed = FOUND[name]
  _, want_module = NETWORKS[which]
  module, variables = weights.read(folder / name)
  assert module == want_module
  got, average = split_average(variables)
  want, needs_average = split_average(tiny.fill(want_module, seed))
  if name == "generator_raw":
    want["params"]["const"] = np.ones((4, 4, 6), np.float32)
  assert_same(got, want)
  if needs_average is None:
    assert average is None
  else:
    np.testing.assert_array_equal(average, AVERAGE)
  info = weights.describe(folder / name)["info"]
  assert len(info["source"]["sha256"]) == 64


def test_own_file_is_preferred_to_a_bundle(folder):
  """Equal numbers in several files count once; export follows the own file."""
  source = {
      name: weights.describe(folder / name)["info"]["source"]["file"]
      for name in ("feature_editor", "inverter", "e4e", "generator")
  }
  assert source == {
      "feature_editor": "a",
      "inverter": "b",
      "e4e": "d",
      "generator": "c",
  }


def test_every_family_is_reached(files):
  seen = []
  for path in files.rglob("*"):
    if path.is_file():
      found = official.find(reader.read(path), path.name)
      seen += [part.family for part in found.parts]
  merged = [official.lpips.VGG, official.lpips.ALEX]
  for family in official.FAMILIES:
    assert family in seen + merged, family.name


@pytest.mark.parametrize("blocks", (1, 9))
def test_rosinality_discriminators_of_any_size(blocks):
  module = Discriminator(4 << blocks, (3,) * (blocks + 1))
  family = discriminator.ROSINALITY_FAMILY
  tensors = family.export(module, tiny.fill(module))
  (part,) = official.find({"d": tensors}, "any").parts
  assert part.family is family
  got, converted = official.convert(part)
  assert got == module
  assert_same(converted.variables, tiny.fill(module))


def test_conversion_needs_nothing_of_training():
  """Users who only edit do not install the packages of training."""
  code = """
import sys
for name in ("clu", "grain", "ml_collections", "tensorflow"):
  sys.modules[name] = None
import convert.__main__
"""
  subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_export_and_reimport_change_no_bit(folder, exported, tmp_path):
  again = tmp_path / "again"
  importer.import_files([exported], again)
  assert networks_in(again) == networks_in(folder)
  for name in networks_in(folder):
    before, after = (weights.describe(f / name) for f in (folder, again))
    assert after["sizes"] == before["sizes"], name
    assert after["info"].get("kept") == before["info"].get("kept"), name
    assert_same(weights.read(again / name), weights.read(folder / name))


def test_export_has_the_tensors_of_the_release(files, exported):
  """Equal to the bit, with batch counters and the shape of latent_avg."""

  def flat(tree, prefix=""):
    for key, value in tree.items():
      if isinstance(value, dict):
        yield from flat(value, f"{prefix}{key}/")
      elif isinstance(value, np.ndarray):
        yield prefix + key, value

  for name, file in (
      ("generator", "c"),
      ("e4e", "d"),
      ("psp", "e"),
      ("feature_editor", "a"),
      ("inverter", "b"),
      ("moco", "f"),
      ("arcface", "k"),
      ("iresnet50", "m"),
      ("delta_mapper", "q"),
      ("mappers/purple_hair", "purple_hair"),
  ):
    got = dict(flat(reader.read(exported / f"{name}.pt")))
    want = dict(flat(reader.read(files / file)))
    dropped = ("encoder_k", "queue", ".fc.", "discriminator.")
    for key, value in want.items():
      if not any(part in key for part in dropped) and not (
          name == "psp" and "decoder." in key
      ):
        np.testing.assert_array_equal(got[key], value, f"{name}: {key}")
        assert got[key].dtype == value.dtype, key


def test_sizes_that_tensors_do_not_show_survive(tmp_path):
  """Only our own entry holds equal stage widths, input sizes and strides."""
  small = dataclasses.replace(tiny.ARCHITECTURE, w_dim=8)
  models = tiny.write_weights(tmp_path / "weights", small)
  export.export_folder(tmp_path / "weights", tmp_path / "official")
  importer.import_files([tmp_path / "official"], tmp_path / "again")
  for name, network in vars(models).items():
    module, variables = weights.read(tmp_path / "again" / name)
    assert module == network and hash(module) == hash(network)
    assert_same(variables, tiny.fill(network))


@pytest.mark.parametrize("shape", ((W_DIM,), (1, W_DIM), (STYLES, W_DIM)))
def test_mean_latent_of_any_published_shape(tmp_path, shape):
  contents = {"g_ema": state("generator"), "latent_avg": latent_avg(*shape)}
  official_files.write_torch(tmp_path / "a.pt", contents)
  importer.import_files([tmp_path / "a.pt"], tmp_path / "weights")
  _, variables = weights.read(tmp_path / "weights" / "generator")
  np.testing.assert_array_equal(variables["buffers"]["w_avg"], AVERAGE)
  back = export.contents(export.find(tmp_path / "weights"), "generator")
  np.testing.assert_array_equal(back["latent_avg"], contents["latent_avg"])


def test_mean_latent_is_computed_where_a_training_checkpoint_lacks_it(tmp_path):
  contents = {
      "g": state("generator", 1),
      "d": state("rosinality_d"),
      "g_ema": state("generator"),
      "g_optim": _OPTIMISER,
      "d_optim": _OPTIMISER,
      "args": argparse.Namespace(size=8),
  }
  official_files.write_torch(tmp_path / "120000.pt", contents)
  importer.import_files([tmp_path / "120000.pt"], tmp_path / "weights")
  assert networks_in(tmp_path / "weights") == {
      "generator",
      "generator_raw",
      "discriminator",
  }
  for name, seed in (("generator", 0), ("generator_raw", 1)):
    module, variables = weights.read(tmp_path / "weights" / name)
    average = variables["buffers"]["w_avg"]
    z = np.random.RandomState(0).standard_normal((20_000, W_DIM))
    w = module.apply(variables, np.float32(z), method="mapping")
    error = np.abs(average - np.mean(w, 0)) / np.std(w, 0)
    assert average.shape == (STYLES, W_DIM) and error.max() < 0.06
    want, _ = split_average(tiny.fill(module, seed))
    assert_same(split_average(variables)[0], want)


def test_encoders_without_mean_latent(tmp_path):
  contents = encoder_file("e4e", {"start_from_latent_avg": True})
  del contents["latent_avg"]
  part = official.find(contents, "any").parts[0]
  with pytest.raises(UserError, match="e4e: the file lacks latent_avg"):
    official.convert(part)
  contents["opts"] = {"start_from_latent_avg": False}
  part, generator = official.find(contents, "any").parts
  _, converted = official.convert(part)
  assert not converted.variables["buffers"]["w_avg"].any()
  _, converted = official.convert(generator)
  assert converted.variables["buffers"]["w_avg"].any()


def test_what_is_left_out_is_told(tmp_path, caplog):
  official_files.write_torch(tmp_path / "moco.pt", moco())
  with caplog.at_level(logging.INFO, "absl"):
    importer.import_files([tmp_path / "moco.pt"], tmp_path / "weights")
  for text in ("moco.pt: moco", "encoder_k", "queue", "optimiser", "head"):
    assert text in caplog.text


def test_cars_feature_editor_round_trip():
  family, module = NETWORKS["cars_editor"]
  got, converted = family.convert(state("cars_editor"))
  assert got == module
  assert_same(converted.variables, tiny.fill(module))
