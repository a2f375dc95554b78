"""Directions and mappers against the official code."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.rules import directions as rules
from convert.rules import mappers
from sfe_jax.architecture import Architecture
from sfe_jax.directions import LatentSpace, Registry, apply, families
from sfe_jax.directions.registry import TABLES
from tests import golden_data as golden

TOLERANCE = 1e-4
FFHQ = Architecture().generator()
SPACE = LatentSpace.of(FFHQ)
OFFICIAL = golden.SHARED / "assets" / "directions"
needs_files = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason=f"no official direction files in {OFFICIAL}"
)
run = jax.jit(apply)


def edit(data, w_plus, strength):
  return run(data, w_plus, jnp.full(len(w_plus), strength, jnp.float32))


def official(name):
  """Contents of a direction file, as the converter's reader returns them."""
  import torch

  path = OFFICIAL / name
  if path.suffix == ".pt":
    return torch.load(path, weights_only=True)
  if path.suffix == ".npy":
    return np.load(path)
  return pickle.loads(path.read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A weights folder with all official direction files, converted."""
  folder = tmp_path_factory.mktemp("weights")
  (folder / "directions").mkdir()
  for path in OFFICIAL.iterdir():
    if path.suffix != ".txt":
      arrays = rules.recognise(official(path.name), path.stem)
      np.savez(folder / "directions" / f"{path.stem}.npz", **arrays)
  return folder


@needs_files
@pytest.mark.parametrize(
    "key, domain, name, strength",
    [
        ("interfacegan_age_5", "faces", "age", 5),
        ("interfacegan_smile_5", "faces", "smile", 5),
        ("interfacegan_rotation_5", "faces", "rotation", 5),
        ("fs_Smiling_5", "faces", "fs_smiling", 5),
        ("fs_Eyeglasses_5", "faces", "fs_glasses", 5),
        ("fs_Heavy_Makeup_5", "faces", "fs_makeup", 5),
        ("ganspace_ffhq_eye_openness_10", "faces", "eye_openness", 10),
        ("ganspace_ffhq_face_roundness_10", "faces", "face_roundness", 10),
        ("ganspace_cars_cube_10", "cars", "cube", 10),
        ("ganspace_cars_color_10", "cars", "color", 10),
    ],
)
def test_published_direction(folder, key, domain, name, strength):
  want = golden.expected("directions")
  w_plus = golden.normal(want["w_seed"], 3, 18, 512)
  registry = Registry.of_weights(folder, FFHQ, domain)
  got = edit(registry.get(name), w_plus, strength)
  rows = slice(None) if key.startswith("ganspace") else slice(None, None, 6)
  # Compared as offsets: beside w itself their errors would not show.
  start = w_plus[:, rows, ::16]
  golden.check(
      key, got.w_offset[:, rows, ::16], want[key] - start, TOLERANCE
  )
  assert not np.any(got.style_offset)


STYLESPACE = [
    (domain, entry.name)
    for domain, table in TABLES.items()
    for entry in table
    if entry.family == "StyleSpace"
]


@pytest.mark.parametrize("domain, name", STYLESPACE)
def test_stylespace(tmp_path, domain, name):
  want = golden.expected("stylespace_edits_power2")[f"{domain[:-1]}:{name}"]
  registry = Registry.of_weights(tmp_path, FFHQ, domain)
  w_plus = np.zeros((1, 18, 512), np.float32)
  got = edit(registry.get(name), w_plus, 2.0)
  ends = np.cumsum(SPACE.widths)
  offsets = np.split(np.asarray(got.style_offset[0]), ends[:-1])
  rows = {
      (conv, channel, offset[channel])
      for conv, offset in enumerate(offsets)
      for channel in np.flatnonzero(offset)
  }
  assert rows == {tuple(row) for row in want}
  assert not np.any(got.w_offset)


def test_stylespace_is_complete():
  assert {f"{d[:-1]}:{name}" for d, name in STYLESPACE} == set(
      golden.expected("stylespace_edits_power2")
  )


@pytest.mark.parametrize(
    "name, levels",
    [("full", ("coarse", "medium", "fine")), ("nofine", ("coarse", "medium"))],
)
def test_styleclip_mapper(name, levels):
  name = f"styleclip_mapper_{name}"
  want = golden.expected("styleclip_mapper")
  state = golden.state(name)
  assert mappers.STYLECLIP_FAMILY.recognises(state)
  module, converted = mappers.STYLECLIP_FAMILY.convert(state)
  assert module.levels == levels
  w_plus = golden.normal(want["w_seed"], 3, 18, 512)
  got = jax.jit(module.apply)(converted.variables, w_plus)
  golden.check(name, got[:, :, ::16], want[name], TOLERANCE)

  data = families.mapper(converted.variables["params"], SPACE)
  got = edit(data, w_plus, 0.1).w_offset
  golden.check(
      f"{name} at 0.1", got[:, :, ::16], 0.1 * want[name], TOLERANCE
  )
  check_export(mappers.STYLECLIP_FAMILY, module, converted, state)


def check_export(family, module, converted, state):
  exported = family.export(module, converted.variables, converted.kept)
  assert exported.keys() == state.keys()
  for key, value in state.items():
    np.testing.assert_array_equal(exported[key], value)


def test_delta_mapper():
  want = golden.expected("delta_mapper")
  state = golden.state("delta_mapper")
  assert mappers.DELTA_FAMILY.recognises(state)
  assert not mappers.STYLECLIP_FAMILY.recognises(state)
  module, converted = mappers.DELTA_FAMILY.convert(state)
  rng = np.random.RandomState(int(want["s_then_clip_seed"]))
  style = rng.standard_normal((1, 6048)).astype(np.float32)
  clip = rng.standard_normal((1, 1024)).astype(np.float32)
  got = jax.jit(module.apply)(converted.variables, style, clip)
  golden.check("delta_mapper", got, want["delta_s"], TOLERANCE)
  check_export(mappers.DELTA_FAMILY, module, converted, state)


@functools.cache
def global_inputs():
  seed = golden.expected("styleclip_global")["delta_i_c_then_text_seed"]
  rng = np.random.RandomState(int(seed))
  delta_i_c = (rng.standard_normal((6048, 512)) * 0.05).astype(np.float32)
  text = rng.standard_normal(512).astype(np.float32)
  return delta_i_c, text / np.linalg.norm(text)


@needs_files
def test_styleclip_global():
  want = golden.expected("styleclip_global")
  _, std = official("S_mean_std")
  arguments = (*global_inputs(), std, float(want["beta"]))
  got = families.styleclip_global(*arguments)
  assert [len(x) for x in got] == [len(x) for x in std]
  golden.check(
      "styleclip_global", np.concatenate(got), want["direction"], TOLERANCE
  )

  data = families.styleclip_text(*arguments, SPACE)
  w_plus = np.zeros((2, 18, 512), np.float32)
  offset = edit(data, w_plus, 3.0).style_offset
  convs = [x for i, x in enumerate(got) if i % 3 != 1]
  golden.check(
      "styleclip_global at 3",
      offset,
      np.tile(2 * np.concatenate(convs), (2, 1)),
      TOLERANCE,
  )


@needs_files
def test_official_files_survive_conversion(folder):
  for path in OFFICIAL.iterdir():
    if path.suffix == ".txt":
      continue
    with np.load(folder / "directions" / f"{path.stem}.npz") as file:
      got = rules.to_official(dict(file))
    want = official(path.name)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
      assert a.dtype == np.asarray(b).dtype
      np.testing.assert_array_equal(a, b)
