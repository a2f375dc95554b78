"""Whole folders: other files, copies, conflicts, failures, export."""

import contextlib
import logging
import os
import pathlib
import zipfile

import jax
import numpy as np
import pytest
import torch

from convert import export, importer
from sfe_jax.directions import Registry
from sfe_jax.errors import UserError
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import weights
from tests import official_files, tiny
from tests.tiny_official import (
  STYLES,
  W_DIM,
  editor_state,
  latent_avg,
  lpips_halves,
  run,
  state,
  tree,
)

write = official_files.write_torch


def numbers(folder):
  """One number by which Feature Editors of different seeds differ."""
  _, variables = weights.read(folder)
  return float(variables["params"]["fusion"]["conv"]["bias"][0])


def bias(seed):
  return float(state("feature_editor", seed)["conv.bias"][0])


# Files that are skipped without a message.
JUNK = {
    "README.txt": b"hello",
    "photo.jpg": b"\xff\xd8\xff\xe0",
    "shape_predictor_68_face_landmarks.dat": b"dlib",
    "empty.py": b"",
    ".DS_Store": b"\0\0",
    ".cache/blob": b"<html>",
}


def test_folder_with_junk(tmp_path, caplog):
  src = tmp_path / "src"
  for name, data in JUNK.items():
    path = src / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  (src / "LICENSE").write_text("Permission is hereby granted")
  write(src / "net.pt", editor_state())
  write(src / "79999_iter.pth", {"cp.resnet.conv1.weight": np.ones(3)})
  write(src / "mobilenet.pth", {"module.body.stage1.0.0.weight": np.ones(3)})
  np.save(src / "pnet.npy", np.array([{"conv1": 1}], object))
  np.save(src / "latents.npy", np.ones((3, 7)))
  np.save(src / "counts.npy", np.arange(512))
  np.save(src / "my_age.npy", np.ones((1, 512), np.float32))
  with zipfile.ZipFile(src / "jit191.pt", "w") as archive:
    for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
      archive.writestr(f"jit191/{name}", "")
  (src / "tf.pkl").write_bytes(
      official_files.pickle_of_global("dnnlib.tflib.network", "Network")
  )
  dst = tmp_path / "dst"
  with caplog.at_level(logging.INFO, "absl"):
    assert run("--src", src, "--dst", dst) == 0
  assert sorted(p.name for p in dst.iterdir()) == [
      "directions",
      "feature_editor",
  ]
  assert [p.name for p in (dst / "directions").iterdir()] == ["my_age.npz"]
  skipped = [r.message for r in caplog.records if "skipped" in r.message]
  for name, why in (
      ("79999_iter.pth", "no network that this project knows"),
      ("mobilenet.pth", "no network that this project knows"),
      ("LICENSE", "unknown format"),
      ("pnet.npy", "Python objects"),
      ("latents.npy", "no direction"),
      ("counts.npy", "expected floats"),
      ("jit191.pt", "TorchScript"),
      ("tf.pkl", "TensorFlow"),
  ):
    (message,) = [m for m in skipped if f"/{name}" in m]
    assert why in message and "\n" not in message
  assert len(skipped) == 8


def test_named_files_are_not_skipped(tmp_path):
  """A file that is skipped in a folder is an error if named itself."""
  write(tmp_path / "known.pt", editor_state())
  write(tmp_path / "unknown.pt", {"x.weight": np.ones(3)})
  np.save(tmp_path / "latents.npy", np.ones((3, 7)))
  (tmp_path / "text").write_text("hello")
  for name, message in (
      ("unknown.pt", "unknown.pt holds no network that this project knows"),
      ("latents.npy", r"latents.npy: .*shape \(3, 7\), which no direction has"),
      ("text", "text is of an unknown format"),
      ("absent.pt", "absent.pt: no such file or folder"),
  ):
    sources = ["--src", tmp_path / "known.pt", "--src", tmp_path / name]
    with pytest.raises(UserError, match=message):
      run(*sources, "--dst", tmp_path / "dst")
    assert not (tmp_path / "dst").exists()


def test_lpips_halves_find_each_other(tmp_path, caplog):
  vgg, vgg_lin = lpips_halves("vgg")
  squeeze_lin = vgg_lin | {
      f"lin{i}.model.1.weight": np.ones((1, n, 1, 1), np.float32)
      for i, n in enumerate((4, 8, 16, 24, 24, 32, 32))
  }
  write(tmp_path / "vgg16.pth", vgg)
  write(tmp_path / "squeeze.pth", squeeze_lin)
  with pytest.raises(UserError, match="vgg16.*half of an LPIPS network; give"):
    run("--src", tmp_path, "--dst", tmp_path / "dst")
  write(tmp_path / "vgg.pth", vgg_lin)
  assert run("--src", tmp_path, "--dst", tmp_path / "dst") == 0
  assert [p.name for p in (tmp_path / "dst").iterdir()] == ["lpips_vgg"]
  assert "squeeze.pth is half of an LPIPS network" in caplog.text


def test_differing_networks_get_the_name_of_their_file(tmp_path, caplog):
  """Copies count once; two files may have the same name."""
  folders = [tmp_path / "src" / name for name in "abcd"]
  for folder in folders:
    folder.mkdir(parents=True)
  for folder, file, seed in zip(folders, ("x", "y", "y", "z"), (0, 1, 2, 0)):
    write(folder / f"{file}.pt", editor_state(seed))
  run("--src", tmp_path / "src", "--dst", tmp_path / "dst")
  want = {
      "feature_editor": 0,
      "feature_editor@y": 1,
      "feature_editor@y-2": 2,
  }
  assert {p.name for p in (tmp_path / "dst").iterdir()} == set(want)
  for name, seed in want.items():
    assert numbers(tmp_path / "dst" / name) == bias(seed)
  assert "holds another feature_editor" in caplog.text
  # The names survive export.
  run("--export", "--src", tmp_path / "dst", "--dst", tmp_path / "official")
  run("--src", tmp_path / "official", "--dst", tmp_path / "again")
  again = {p.name: numbers(p) for p in (tmp_path / "again").iterdir()}
  assert again["feature_editor"] == bias(0)
  assert again["feature_editor@y"] == bias(1) and len(again) == 3


def test_networks_of_one_release_are_preferred(tmp_path):
  """The Feature Editor's file is preferred to the Inverter's."""
  average = {"latent_avg": latent_avg(STYLES, W_DIM)}
  write(
      tmp_path / "a.pt",
      {"state_dict": state("inverter", 1, "encoder.")} | average,
  )
  tensors = editor_state()["state_dict"] | state("inverter", 0, "inverter.")
  write(tmp_path / "b.pt", {"state_dict": tensors} | average)
  run("--src", tmp_path, "--dst", tmp_path / "dst")
  for name, file in (("inverter", "b.pt"), ("inverter@a", "a.pt")):
    info = weights.describe(tmp_path / "dst" / name)["info"]
    assert info["source"]["file"] == file


def test_directions_of_one_name(tmp_path):
  for i, (folder, value) in enumerate((("a", 1), ("b", 1), ("c", 2))):
    (tmp_path / "src" / folder).mkdir(parents=True)
    direction = np.full((1, 512), value, np.float32)
    write(tmp_path / "src" / folder / "mine.pt", direction, legacy=i == 0)
    write(tmp_path / "src" / folder / f"own{i}.pt", direction)
  run("--src", tmp_path / "src", "--dst", tmp_path / "dst")
  made = {
      p.stem: np.load(p)["direction"][0, 0]
      for p in (tmp_path / "dst" / "directions").iterdir()
  }
  assert made == {"mine": 1, "mine@c": 2, "own0": 1, "own1": 1, "own2": 2}
  registry = Registry.of_weights(tmp_path / "dst", Generator(8, (4, 4)), "none")
  assert "mine@c" in registry.names()


def test_conversion_replaces_and_keeps_the_rest(tmp_path):
  src, dst = tmp_path / "src.pt", tmp_path / "dst"
  write(src, editor_state(0))
  write(tmp_path / "e.pt", state("delta_mapper"))
  run("--src", src, "--src", tmp_path / "e.pt", "--dst", dst)
  write(src, editor_state(1))
  mapper = tree(dst / "delta_mapper")
  run("--src", src, "--dst", dst)
  assert numbers(dst / "feature_editor") == bias(1)
  assert tree(dst / "delta_mapper") == mapper
  assert len(list(dst.iterdir())) == 2


@pytest.mark.parametrize("fails_at", (1, 2, 3))
def test_a_failed_replacement_is_undone(tmp_path, monkeypatch, fails_at):
  """The disk fails while finished networks are put in place."""
  src, dst = tmp_path / "src.pt", tmp_path / "dst"
  write(src, editor_state(0))
  write(tmp_path / "e.pt", state("delta_mapper"))
  both = ("--src", src, "--src", tmp_path / "e.pt", "--dst", dst)
  run(*both)
  write(src, editor_state(1))
  before = tree(dst)
  moves = []
  original = pathlib.Path.rename

  def rename(path, target):
    into_dst = pathlib.Path(target).parent == dst
    if into_dst and path.parent.name.startswith(".staging-"):
      moves.append(path)
      if len(moves) == fails_at:
        raise OSError(28, "No space left on device", str(target))
    return original(path, target)

  monkeypatch.setattr(pathlib.Path, "rename", rename)
  with pytest.raises(OSError) if fails_at < 3 else contextlib.nullcontext():
    importer.import_files([src, tmp_path / "e.pt"], dst)
  monkeypatch.undo()
  if fails_at < 3:
    assert tree(dst) == before
    assert numbers(dst / "feature_editor") == bias(0)
  else:
    assert numbers(dst / "feature_editor") == bias(1)
  assert not list(dst.glob(".staging-*"))


def test_weights_inside_the_source_folder(tmp_path):
  """Converted networks are not taken for official files."""
  write(tmp_path / "net.pt", editor_state())
  for _ in range(2):
    run("--src", tmp_path, "--dst", tmp_path / "jax")
  assert [p.name for p in (tmp_path / "jax").iterdir()] == ["feature_editor"]


def test_into_the_working_directory(tmp_path, monkeypatch):
  write(tmp_path / "net.pt", editor_state())
  (tmp_path / "here").mkdir()
  monkeypatch.chdir(tmp_path / "here")
  run("--src", "../net.pt", "--dst", ".")
  assert os.listdir() == ["feature_editor"]


def test_export_of_the_shipped_weights(tmp_path, caplog):
  """Networks of our own are named and left out; the others come back."""
  with caplog.at_level(logging.WARNING, "absl"):
    assert run("--export", "--src", "toy", "--dst", tmp_path / "pt") == 0
  (record,) = caplog.records
  assert "no official layout exists for them: perception, " in record.message
  assert record.message.endswith(", 60 directions")
  names = {"discriminator", "e4e", "feature_editor", "generator", "inverter"}
  assert {p.name for p in (tmp_path / "pt").iterdir()} == {
      f"{name}.pt" for name in names
  }
  importer.import_files([tmp_path / "pt"], tmp_path / "again")
  assert {p.name for p in (tmp_path / "again").iterdir()} == names
  for name in names:
    (module, want), (again, got) = (
        weights.read(folder / name)
        for folder in (weights.locate("toy"), tmp_path / "again")
    )
    assert again == module
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_export_without_any_official_layout(tmp_path):
  module = LatentDiscriminator(4, (8,))
  weights.write(tmp_path / "src" / "judge", module, tiny.fill(module))
  with pytest.raises(UserError, match="src: no official layout exists for jud"):
    run("--export", "--src", tmp_path / "src", "--dst", tmp_path / "dst")
  assert not (tmp_path / "dst").exists()


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
  write(tmp_path / "a.pt", editor_state())
  write(tmp_path / "b.pt", state("delta_mapper"))
  run(*("--src", tmp_path / "a.pt", "--src", tmp_path / "b.pt"),
      *("--dst", tmp_path / "src"))
  save, saved = torch.save, []

  def failing(entries, path):
    saved.append(path)
    if len(saved) == 2:
      raise OSError(28, "No space left on device", str(path))
    save(entries, path)

  monkeypatch.setattr(torch, "save", failing)
  (tmp_path / "dst").mkdir()
  (tmp_path / "dst" / "delta_mapper.pt").write_text("from before")
  with pytest.raises(OSError, match="No space"):
    export.export_folder(tmp_path / "src", tmp_path / "dst")
  assert len(saved) == 2
  (left,) = (tmp_path / "dst").iterdir()
  assert left.read_text() == "from before"


def test_export_keeps_a_mean_latent_of_its_own(tmp_path):
  """A file has one latent_avg; networks with another are not bundled."""
  average, other = np.zeros(W_DIM, np.float32), np.ones(W_DIM, np.float32)
  inverter = state("inverter", prefix="encoder.")
  generator = state("generator")
  for name, contents in (
      ("a", editor_state()),
      ("b", {"state_dict": inverter, "latent_avg": average}),
      ("c", {"g_ema": generator, "latent_avg": other}),
  ):
    write(tmp_path / name, contents)
    run("--src", tmp_path / name, "--dst", tmp_path / "dst")
  entries = export.contents(export.find(tmp_path / "dst"), "feature_editor")
  heads = {key.partition(".")[0] for key in entries["state_dict"]}
  assert heads == {"encoder", "inverter"}
  assert entries["latent_avg"].shape == (W_DIM,)
  run("--export", "--src", tmp_path / "dst", "--dst", tmp_path / "official")
  run("--src", tmp_path / "official", "--dst", tmp_path / "again")
  assert len(list((tmp_path / "again").iterdir())) == 3
  _, variables = weights.read(tmp_path / "again" / "generator")
  assert (variables["buffers"]["w_avg"] == 1).all()
