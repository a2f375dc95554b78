"""Directions as data, the registry and the mappers' shapes."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sfe_jax
from convert.rules import directions as rules
from convert.rules import mappers as mapper_rules
from sfe_jax.architecture import Architecture
from sfe_jax.directions import (
    LatentSpace,
    Registry,
    apply,
    effects,
    faces,
    families,
    files,
    table,
    training_sets,
    with_zero_mapper,
)
from sfe_jax.directions.registry import TABLES
from sfe_jax.drawn_faces.effects import EFFECTS
from sfe_jax.errors import UserError
from sfe_jax.models.mappers import DeltaMapper, LevelsMapper
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from sfe_jax.storage.labels import name_key

FFHQ = Architecture().generator()
SMALL = LatentSpace(10, (8, 8, 4), w_dim=8)


def normal(*shape, seed=0):
  rng = np.random.RandomState(seed)
  return rng.standard_normal(shape).astype(np.float32)


def mapper_params(levels=("coarse", "medium", "fine"), w_dim=8):
  mapper = LevelsMapper(w_dim, levels)
  return weights.init(mapper, jax.random.key(1))["params"]


def small_directions():
  pca = {
      "mean": normal(1, 8),
      "comp": normal(3, 1, 8),
      "std": np.array([1.0, 2.0, 3.0], np.float32),
  }
  return {
      "interfacegan": families.interfacegan(normal(1, 8), SMALL),
      "boundary": families.boundary(normal(1, 80), SMALL),
      "ganspace": families.ganspace(pca, 1, 2, 5, SMALL),
      "stylespace": families.stylespace(((3, 2), (0, 7)), SMALL),
      "user": families.user(normal(8), SMALL),
  }


def test_any_direction_uses_the_same_program():
  traces = []

  @jax.jit
  def run(data):
    traces.append(1)
    return apply(data, normal(2, 10, 8), normal(2))

  for data in small_directions().values():
    run(data)
  assert len(traces) == 1
  run(families.mapper(mapper_params(), SMALL))
  assert len(traces) == 2
  for data in small_directions().values():
    run(with_zero_mapper(data))
  run(families.mapper(mapper_params(("coarse",)), SMALL))
  assert len(traces) == 2


def test_zero_mapper_moves_nothing_and_is_shared():
  w_plus, strength = normal(2, 10, 8), normal(2)
  filled = []
  for data in small_directions().values():
    want = apply(data, w_plus, strength)
    filled.append(with_zero_mapper(data))
    got = apply(filled[-1], w_plus, strength)
    jax.tree.map(np.testing.assert_array_equal, got, want)
  for a, b in zip(*map(jax.tree.leaves, [d.mapper for d in filled[:2]])):
    assert a is b


def test_strength_is_per_image():
  w_plus = normal(3, 10, 8)
  strength = np.array([0.0, 2.0, -1.0], np.float32)
  data = families.mapper(mapper_params(("coarse", "fine")), SMALL)
  batch = apply(data, w_plus, strength)
  for i in range(3):
    one = apply(data, w_plus[i : i + 1], strength[i : i + 1])
    np.testing.assert_allclose(
        batch.w_offset[i], one.w_offset[0], rtol=1e-5, atol=1e-6
    )
  assert not np.any(batch.w_offset[0])
  assert not np.any(batch.w_offset[:, 4:8]), "the medium level is absent"
  assert np.abs(batch.w_offset[1, :4]).max() > 0.1


def test_ganspace_sets_a_coordinate():
  pca = {
      "mean": normal(1, 8),
      "comp": np.eye(3, 8, dtype=np.float32)[:, None],
      "std": np.array([1.0, 2.0, 3.0], np.float32),
  }
  data = families.ganspace(pca, 2, 0, 5, SMALL)
  w_plus = normal(2, 10, 8)
  edited = w_plus + apply(data, w_plus, jnp.full(2, 4.0)).w_offset
  reached = (edited[:, 0] - pca["mean"]) @ pca["comp"][2, 0] / 3
  np.testing.assert_allclose(reached, 4, rtol=1e-5)
  np.testing.assert_array_equal(edited[:, 5:], w_plus[:, 5:])


@pytest.mark.parametrize("shape", [(8,), (1, 8), (10, 8), (1, 80)])
def test_user_shapes(shape):
  direction = normal(*shape)
  got = families.user(direction, SMALL).linear
  rows = direction if direction.size == 80 else np.tile(direction, 10)
  np.testing.assert_array_equal(got, rows.reshape(10, 8))


@pytest.mark.parametrize("shape", [(9,), (2, 8), (8, 1), (1, 72), (1, 10, 8)])
def test_user_refuses_other_shapes(shape):
  with pytest.raises(UserError, match=r"\(8,\) or \(1, 8\).*\(10, 8\)"):
    families.user(normal(*shape), SMALL)


def test_user_refuses_bad_values():
  with pytest.raises(UserError, match="NaN"):
    families.user(np.full(8, np.nan), SMALL)
  with pytest.raises(UserError, match="dtype <U1"):
    families.user(np.array(["a"] * 8), SMALL)


def test_styleclip_global_needs_a_response():
  std = [np.ones(4, np.float32)] * 2
  with pytest.raises(UserError, match="beta 5 .* choose a smaller beta"):
    families.styleclip_global(np.eye(4), np.ones(4) / 2, std, 5.0)
  with pytest.raises(UserError, match="another generator"):
    families.styleclip_text(np.eye(4), np.ones(4) / 2, std, 0.1, SMALL)


def weights_folder(tmp_path):
  folder = tmp_path / "directions"
  folder.mkdir(parents=True)
  pca = {"mean": normal(1, 512), "comp": normal(80, 1, 512),
         "std": np.ones(80, np.float32)}
  for stem in ("age", "smile", "rotation"):
    np.savez(folder / f"{stem}.npz", direction=normal(1, 512))
  np.savez(folder / "Eyeglasses_boundary.npz", direction=normal(1, 18 * 512))
  np.savez(folder / "ffhq_pca.npz", **pca)
  np.savez(folder / "fs3.npz", matrix=normal(8, 512))
  np.savez(folder / "beard.npz", direction=normal(18, 512))
  return tmp_path


def test_tables():
  for entries in TABLES.values():
    assert all(entry.effect for entry in entries)
    assert len({name_key(entry.name) for entry in entries}) == len(entries)


def test_ranges_of_mappers():
  """The useful strengths that the official release documents."""
  ranges = {entry.name: (entry.low, entry.high) for entry in faces.ENTRIES}
  want = {"afro": (0, 0.14), "bobcut": (0, 0.18), "mohawk": (0, 0.10)}
  assert {name: ranges[name] for name in want} == want


def test_training_sets():
  outside = {}
  for (domain, name), powers in training_sets.PUBLISHED.items():
    entries = {entry.name: entry for entry in TABLES[domain]}
    outside[domain, name] = [
        (direction, power)
        for direction, some in powers.items()
        for power in some
        if not entries[direction].in_range(power)
    ]
  blond = [("blond hair", 8)]  # the release trains beyond its useful range
  assert outside == {
      ("faces", "release"): blond,
      ("faces", "paper"): blond,
      ("faces", "small"): blond,
      ("cars", "paper"): [],
  }
  release, paper, small = (
      training_sets.powers("faces", name, (), "weights")
      for name in ("release", "paper", "small")
  )
  assert (len(release), len(paper), len(small)) == (13, 13, 6)
  assert set(paper) - set(release) == {"smile", "fs_glasses", "gender"}
  for name in {*paper, *small} & set(release):
    assert release[name] == (paper | small)[name]


def test_senses():
  """Signs where the release's directions differ from what names suggest."""
  senses = {
      "fs_glasses": ("Eyeglasses", 1),
      "glasses": ("eye glasses", -1),
      "smile": ("Smiling", 1),
      "smiling": ("SMILING", -1),
      "trimmed_beard": ("no beard", 1),
      "sideburns": ("Sideburns", -1),
      "goatee": ("Goatee", -1),
      "grey hair": ("Gray_Hair", -1),
      "blond hair": ("blond-hair", -1),
      "black hair": ("Black_Hair", 1),
      "age": ("Young", -1),
      "gender": ("Male", -1),
      "rotation": ("Male", None),
      "bangs": ("Bangs", None),
  }
  entries = {entry.name: entry for entry in faces.ENTRIES}
  got = {
      name: (attribute, entries[name].sense(attribute))
      for name, (attribute, _) in senses.items()
  }
  assert got == senses


def test_attributes_are_celebas():
  """They are columns of CelebA's list_attr_celeba.txt."""
  celeba = {
      "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes",
      "Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair",
      "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
      "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones",
      "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard",
      "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
      "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair",
      "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
      "Wearing_Necktie", "Young",
  }  # fmt: skip
  named = {a for e in faces.ENTRIES for a in (*e.adds, *e.removes)}
  assert named and named <= celeba


def test_registry_finds_files(tmp_path):
  registry = Registry.of_weights(weights_folder(tmp_path), FFHQ)
  names = registry.names()
  assert {"age", "fs_glasses", "lipstick", "blond hair", "beard"} <= set(names)
  assert not {"fs_smiling", "afro", "fs3", "ffhq_pca"} & set(names)
  described = {d.name: d for d in registry.describe()}
  assert (described["age"].low, described["age"].high) == (-10, 10)
  assert described["head_angle_up"].low is None
  assert "Smiling_boundary.npz" in described["fs_smiling"].missing
  same = registry.get("Blond_Hair")
  assert same is registry.get("blond hair")
  assert not registry.entry("age").in_range(11)
  assert registry.entry("head_angle_up").in_range(1e6)


def test_registry_errors(tmp_path):
  registry = Registry.of_weights(weights_folder(tmp_path), FFHQ)
  with pytest.raises(UserError, match="'smilling'.*mean.*'smiling'.*--list"):
    registry.get("smilling")
  with pytest.raises(
      UserError, match="Smiling_boundary.npz is missing.*convert.*npy"
  ):
    registry.get("fs_smiling")
  with pytest.raises(
      UserError, match="mappers/afro is missing.*styleclip_mappers/afro.pt"
  ):
    registry.get("afro")


def test_registry_of_another_generator(tmp_path):
  """Directions that do not exist in a smaller generator say so."""
  folder = weights_folder(tmp_path)
  registry = Registry.of_weights(folder, Generator(32, (512,) * 4), "faces")
  described = {d.name: d for d in registry.describe()}
  assert described["age"].available
  assert described["nose_length"].available
  assert "another resolution" in described["fs_glasses"].missing
  assert "rows 8 to 8, this generator has 8" in (
      described["eyebrow_thickness"].missing
  )
  assert "channel 479 of convolution 8" in described["black hair"].missing
  assert "accepts" in described["beard"].missing
  with pytest.raises(UserError, match="'black hair' is not available"):
    registry.get("black hair")


def test_registry_of_another_domain(tmp_path):
  registry = Registry.of_weights(weights_folder(tmp_path), FFHQ, "none")
  assert registry.names() == ["beard"]


def generator(resolution, w_dim=512):
  return Generator(resolution, (8,) * 9, w_dim)


def test_published_directions_look_at_no_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  weights_folder(tmp_path / "weights")
  registry = Registry.published(FFHQ)
  families_offered = {registry.entry(n).family for n in registry.names()}
  assert families_offered == {"StyleSpace"}
  with pytest.raises(UserError, match="directions/age.npz is missing"):
    registry.get("age")
  with pytest.raises(UserError, match="unknown .*--list_edits`$"):
    registry.get("mine")


def test_the_generators_shape_chooses_the_table(tmp_path):
  def names(*shape, domain=None):
    offered = Registry.of_weights(tmp_path, generator(*shape), domain)
    return {d.name for d in offered.describe()}

  faces_too, cars_too = names(1024), names(512)
  assert "age" in faces_too and "cube" in cars_too
  assert not names(1024, 128) and not names(256)
  assert names(256, domain="faces") == faces_too
  folder = tmp_path / "directions"
  folder.mkdir()
  np.savez(folder / "mine.npz", direction=np.ones(512))
  about = files.About("GANSpace", "", -2, 3)
  files.write_fitted(folder / "pca1.npz", np.ones(512), about)
  assert names(1024) == faces_too | {"mine", "pca1"}
  assert names(512) == cars_too | {"mine", "pca1"}
  assert names(256) == names(1024, domain="none") == {"mine", "pca1"}


def test_published_names_of_another_generator(tmp_path):
  registry = Registry.of_weights(tmp_path, generator(256))
  for name, domain in (("age", "faces"), ("Cube", "cars")):
    with pytest.raises(UserError, match=f"which --domain {domain} offers"):
      registry.get(name)
  with pytest.raises(UserError, match="unknown direction 'eyes'; list them"):
    registry.get("eyes")


def test_a_fitted_direction_beside_a_published_one(tmp_path, caplog):
  folder = weights_folder(tmp_path)
  about = files.About("regression", "+ smiles", -2, 3, adds=("Smiling",))
  for name in ("Smiling", "smile"):
    path = folder / f"directions/{name}.npz"
    files.write_fitted(path, np.full(512, 2.0), about)
  registry = Registry.of_weights(folder, generator(1024))
  assert "Smiling.npz has the name of the published direction 'smiling'" in (
      caplog.text
  )
  assert registry.entry("smiling").family == "StyleSpace"
  fitted = registry.entry("fitted_Smiling")
  assert (fitted.low, fitted.high) == (-2, 3)
  assert registry.entry("smiling").sense("Smiling") == -1
  assert fitted.sense("smiling") == 1
  described = {d.name: d for d in registry.describe()}
  assert described["fitted_Smiling"].remark == (
      "'smiling' is the published direction"
  )
  assert "is a fitted direction, not the official smile.pt" in (
      described["smile"].missing
  )
  alone = Registry.of_weights(folder, generator(1024), "none")
  assert alone.names() == ["Smiling", "beard", "smile"]


def test_a_small_generator_takes_any_file_name(tmp_path):
  (tmp_path / "directions").mkdir()
  np.savez(tmp_path / "directions/age.npz", direction=np.ones(16))
  registry = Registry.of_weights(tmp_path, generator(16, 16))
  assert registry.names() == ["age"]


def test_fitted_files_of_earlier_versions(tmp_path):
  path = tmp_path / "smile.npz"
  np.savez(
      path, direction=np.ones(8), family="SeFa", effect="+ a", low=-1, high=2
  )
  assert files.about(path) == files.About("SeFa", "+ a", -1, 2)


def test_names_that_are_no_text(tmp_path):
  registry = Registry.of_weights(tmp_path, generator(1024))
  for name in (None, 3, ("age",)):
    with pytest.raises(UserError, match="must be a string such as 'age', got"):
      registry.get(name)


def test_table(tmp_path):
  header, none = table([]).splitlines()
  titles = ["name", "strengths", "family", "attribute", "effect"]
  assert header.split() == titles and none.startswith("(none; ")
  rows = Registry.of_weights(tmp_path, generator(1024)).describe()
  lines = table(rows, with_missing=False).splitlines()
  assert len(lines) == 1 + len(rows)
  columns = [lines[0].index(title) for title in titles]
  (makeup,) = [line for line in lines if line.startswith("fs_makeup")]
  cells = [makeup[a:b].strip() for a, b in zip(columns, [*columns[1:], None])]
  assert cells == [
      "fs_makeup", "-10..15", "Feature-Style", "+Heavy_Makeup",
      "+ adds make-up, - removes it; weak on men",
  ]  # fmt: skip
  (mohawk,) = [line for line in lines if line.startswith("mohawk")]
  assert mohawk.endswith("+ mohawk; background artefacts")
  assert "not available: " in table(rows)


SHIPPED = pathlib.Path(sfe_jax.__file__).parent / "pretrained/toy"


def test_shipped_directions_say_what_they_do():
  schema = weights.label_schema(SHIPPED / "perception")
  words = effects.of_schema(schema, EFFECTS)
  fitted = files.fitted(SHIPPED / "directions").values()
  told = {about.adds: about.effect for about in fitted if about.adds}
  assert told == {(label,): text.text() for label, text in words.items()}
  both = {text.text(sign) for text in words.values() for sign in (1, -1)}
  mostly = {about.effect for about in fitted if not about.adds}
  assert mostly <= {f"mostly: {text}" for text in both}


def test_damaged_file_does_not_stop_the_others(tmp_path):
  folder = weights_folder(tmp_path)
  (folder / "directions" / "age.npz").write_bytes(b"<html>quota</html>")
  registry = Registry.of_weights(folder, FFHQ)
  assert "smile" in registry.names()
  with pytest.raises(UserError, match="age.npz cannot be read"):
    registry.get("age")


def test_mapper_from_folder(tmp_path):
  module = LevelsMapper(8, ("coarse", "medium"))
  variables = weights.init(module, jax.random.key(0))
  small = Generator(64, (8,) * 5, 8)
  weights.write(tmp_path / "mappers" / "afro", module, variables)
  registry = Registry.of_weights(tmp_path, small, "faces")
  assert "afro" in registry.names()
  w_plus = normal(1, 10, 8)
  got = apply(registry.get("afro"), w_plus, jnp.full(1, 0.1)).w_offset
  want = 0.1 * module.apply(variables, w_plus)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)

  other = Registry.of_weights(tmp_path, FFHQ)
  with pytest.raises(UserError, match="'afro' is not available.*width.*512"):
    other.get("afro")


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_add_file(tmp_path, ending):
  path = tmp_path / f"mine{ending}"
  direction = normal(512)
  (np.save if ending == ".npy" else np.savez)(path, direction)
  registry = Registry.of_weights(tmp_path, FFHQ)
  assert registry.add_file(path) == "mine"
  assert registry.add_file(path, "other") == "other"
  edit = apply(registry.get("mine"), normal(1, 18, 512), jnp.full(1, 2.0))
  np.testing.assert_allclose(edit.w_offset[0, 5], 2 * direction)
  with pytest.raises(UserError, match="'MINE' .*is taken by direction 'mine'"):
    registry.add_file(path, "MINE")


def test_add_file_refuses(tmp_path):
  registry = Registry.of_weights(tmp_path, FFHQ)
  with pytest.raises(UserError, match="expected .npy or .npz.*convert"):
    registry.add_file(tmp_path / "age.pt")
  with pytest.raises(UserError, match="does not exist"):
    registry.add_file(tmp_path / "none.npy")
  np.save(tmp_path / "pickled.npy", np.array([{}], object))
  with pytest.raises(UserError, match="pickled"):
    registry.add_file(tmp_path / "pickled.npy")
  np.savez(tmp_path / "two.npz", a=normal(512), b=normal(512))
  with pytest.raises(UserError, match="holds a, b"):
    registry.add_file(tmp_path / "two.npz")
  np.save(tmp_path / "short.npy", normal(100))
  with pytest.raises(UserError, match=r"short.npy: .*\(100,\)"):
    registry.add_file(tmp_path / "short.npy")


def test_recognise_refuses():
  bad = normal(1, 512)
  bad[0, 3] = np.inf
  with pytest.raises(UserError, match="NaN or infinite"):
    rules.recognise(bad, "age")
  for shape in [(1, 500), (40, 512), (2, 1024), (1, 18, 512), ()]:
    with pytest.raises(UserError, match="no direction"):
      rules.recognise(normal(*shape) if shape else np.float32(1), "age")
  with pytest.raises(UserError, match="dtype object"):
    rules.recognise(np.array([{}], object), "pnet")
  pca = {"mean": normal(1, 512), "comp": normal(4, 1, 512), "std": normal(3)}
  with pytest.raises(UserError, match=r"comp has shape .* \(3, 1, 512\)"):
    rules.recognise(pca, "x_pca")
  with pytest.raises(UserError, match="not positive"):
    rules.recognise(pca | {"std": np.zeros(4, np.float32)}, "x_pca")
  with pytest.raises(UserError, match="two lists"):
    rules.recognise([[normal(3)], [normal(4)]], "S_mean_std")


def test_recognise_leaves_other_files_alone():
  for contents in ({"state_dict": {}}, [normal(3)], ([], []), "text", None):
    assert rules.recognise(contents, "any") is None


@pytest.mark.parametrize("stem", ["delta_i_c", "fs3"])
def test_text_matrices(stem):
  matrix = normal(20, 512)
  arrays = rules.recognise(matrix, stem)
  assert list(arrays) == ["matrix"]
  np.testing.assert_array_equal(rules.to_official(arrays), matrix)


def test_a_mapper_may_lack_any_level():
  state = {
      f"medium_mapping.mapping.{i}.{name}": normal(*shape)
      for i in range(1, 5)
      for name, shape in (("weight", (8, 8)), ("bias", (8,)))
  }
  module, _ = mapper_rules.STYLECLIP_FAMILY.convert(state)
  assert (module.w_dim, module.levels) == (8, ("medium",))
  del state["medium_mapping.mapping.3.bias"]
  with pytest.raises(UserError, match="medium_mapping.mapping.3.bias"):
    mapper_rules.STYLECLIP_FAMILY.convert(state)


def test_delta_mapper_treats_each_sample_alone():
  module = DeltaMapper(token_width=8, fine_width=12, clip_width=6)
  variables = weights.init(module, jax.random.key(0))
  style, clip = normal(3, 7 * 8 + 12), normal(3, 6, seed=1)
  run = jax.jit(module.apply)
  batch = run(variables, style, clip)
  assert batch.shape == style.shape
  for i in range(3):
    one = run(variables, style[i : i + 1], clip[i : i + 1])
    np.testing.assert_allclose(batch[i], one[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("cls", [LevelsMapper, DeltaMapper])
def test_published_sizes(cls, dtype):
  module = cls(dtype=dtype)
  variables = weights.abstract(module)
  inputs = module.example_inputs()
  out = jax.eval_shape(module.apply, variables, *inputs)
  assert (out.shape, out.dtype) == (inputs[0].shape, dtype)
  leaves = jax.tree.leaves(variables)
  assert all(leaf.dtype == jnp.float32 for leaf in leaves)
