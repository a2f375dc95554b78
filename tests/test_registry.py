"""Directions by name: tables, weight folders, files of the user."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sfe_jax
from sfe_jax.directions import (
    Registry,
    apply,
    effects,
    faces,
    files,
    table,
    training_sets,
)
from sfe_jax.directions.registry import TABLES
from sfe_jax.drawn_faces.effects import EFFECTS
from sfe_jax.errors import UserError
from sfe_jax.models.mappers import LevelsMapper
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from sfe_jax.storage.labels import name_key
from tests.tiny_directions import FFHQ, normal


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
