"""Reading of files: what is read, what is refused, and the messages."""

import argparse
import contextlib
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch

from convert import reader
from convert.nvidia_pickle import ModuleState
from convert.rules import discriminator
from sfe_jax.errors import UserError
from tests import golden_data as golden
from tests import official_files

ASSETS = golden.SHARED / "assets"
needs_assets = pytest.mark.skipif(
    not ASSETS.exists(), reason="the small official files are not here"
)


def state(seed=0):
  rng = np.random.RandomState(seed)
  return {
      "b8.resample_filter": rng.rand(4, 4).astype(np.float32),
      "b8.conv0.weight": rng.rand(3, 2, 3, 3).astype(np.float32),
      "b8.conv0.bias": rng.rand(3).astype(np.float32),
      "b8.conv0.noise_strength": np.array(0.5, np.float32),
      "b4.count": np.arange(3),
  }


def networks():
  kwargs = {"img_resolution": 8, "epilogue_kwargs": {"mbstd_group_size": 4}}
  return {
      "G": ("Generator", state(0), kwargs),
      "D": ("Discriminator", state(1), kwargs),
      "G_ema": ("Generator", state(2), kwargs),
  }


def assert_same(got, want):
  assert got.keys() == want.keys()
  for key, value in want.items():
    np.testing.assert_array_equal(got[key], value, key)
    assert got[key].dtype == value.dtype, key


def message_of(path, error=UserError):
  """The one line with which reading `path` is refused."""
  with pytest.raises(error) as caught:
    reader.read(path)
  message = str(caught.value)
  assert message.startswith(str(path))
  assert "\n" not in message
  return message


@pytest.mark.parametrize("legacy", (False, True))
def test_torch_file(tmp_path, legacy):
  path = tmp_path / "any_name"
  contents = {
      "state_dict": state(),
      "latent_avg": np.ones((18, 512), np.float32),
      "opts": argparse.Namespace(lr=1e-4, device="cuda:0", layers=[1, 2]),
      "encoder_opt": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]},
      "misc": (None, True, torch.float32, torch.device("cpu"), torch.Size([2])),
      "weight": torch.nn.Parameter(torch.ones(2)),
  }
  official_files.write_torch(path, contents, legacy)
  got = reader.read(path)
  assert got.keys() == contents.keys()
  assert_same(got["state_dict"], state())
  assert got["latent_avg"].shape == (18, 512)
  assert got["opts"] == {"lr": 1e-4, "device": "cuda:0", "layers": [1, 2]}
  assert got["encoder_opt"] == contents["encoder_opt"]
  assert got["misc"] == (None, True, "torch.float32", "cpu", (2,))
  assert type(got["misc"][-1]) is tuple
  assert type(got["weight"]) is np.ndarray


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
def test_half_precision_becomes_float32(tmp_path, dtype):
  want = np.array([0.5, -3.0, 1.25], np.float32)
  tensor = torch.from_numpy(want).to(dtype)
  torch.save(tensor, tmp_path / "a.pt")
  (tmp_path / "b.pkl").write_bytes(pickle.dumps([tensor]))
  for got in (reader.read(tmp_path / "a.pt"), *reader.read(tmp_path / "b.pkl")):
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("protocol", (2, 3, 4, 5))
def test_nvidia_pickle(tmp_path, protocol):
  path, marker = tmp_path / "network.pkl", tmp_path / "executed"
  official_files.write_nvidia_pickle(path, networks(), marker, protocol)
  got = reader.read(path)
  assert not marker.exists()
  for name, (class_name, want, kwargs) in networks().items():
    assert isinstance(got[name], ModuleState)
    assert_same(got[name], want)
    assert got[name].class_name == class_name
    assert got[name].init_args == ()
    assert got[name].init_kwargs == kwargs
  assert got["training_set_kwargs"] == {"path": "images.zip", "max_size": 70}
  assert got["augment_pipe"] is None
  # The trap was armed: the file's source would have left a mark.
  source = official_files.marking_source(marker)
  assert repr(str(marker)).encode() in path.read_bytes()
  exec(source, {})
  assert marker.exists()


def test_nvidia_pickle_reaches_the_rules(tmp_path):
  want = golden.state("stylegan2_ada_d_32")
  path = tmp_path / "network.pkl"
  networks = {"D": ("Discriminator", want, {})}
  official_files.write_nvidia_pickle(path, networks)
  got = reader.read(path)["D"]
  assert_same(got, want)
  assert discriminator.FAMILY.recognises(got)
  module, converted = discriminator.FAMILY.convert(got)
  exported = discriminator.FAMILY.export(module, converted.variables)
  assert_same(exported, want)


def test_views_of_a_storage(tmp_path):
  base = torch.arange(24.0).reshape(4, 6)
  views = [base.t(), base[1:3, ::2], base[2, 3], base[:0], base > 3]
  path = tmp_path / "views.pkl"
  path.write_bytes(pickle.dumps(views))
  for got, want in zip(reader.read(path), views, strict=True):
    np.testing.assert_array_equal(got, want.numpy())


@pytest.mark.parametrize("protocol", (2, 3, 4, 5))
def test_pickled_arrays(tmp_path, protocol):
  path = tmp_path / "S_mean_std"
  arrays = [
      np.arange(6, dtype=np.float32).reshape(2, 3),
      np.asfortranarray(np.arange(6).reshape(2, 3)),
      np.array([1, 2], ">f4"),
      np.array([True, False]),
      np.zeros((0, 3)),
  ]
  path.write_bytes(pickle.dumps([arrays, np.float32(1.5), {2}], protocol))
  got, scalar, numbers = reader.read(path)
  for one, want in zip(got, arrays, strict=True):
    np.testing.assert_array_equal(one, want)
  assert got[2].dtype == np.dtype("float32")
  assert (scalar, numbers) == (1.5, {2})


def test_numpy_files(tmp_path):
  want = np.arange(6, dtype=np.float32).reshape(2, 3)
  np.save(tmp_path / "a.npy", want.astype(np.float16))
  np.savez(tmp_path / "b.npz", x=want, y=want[0])
  got = reader.read(tmp_path / "a.npy")
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, want)
  assert_same(reader.read(str(tmp_path / "b.npz")), {"x": want, "y": want[0]})


@needs_assets
def test_real_files():
  lin = reader.read(ASSETS / "lpips" / "alex.pth")
  assert lin["lin0.model.1.weight"].shape == (1, 64, 1, 1)
  means, stds = reader.read(ASSETS / "directions" / "S_mean_std")
  assert [len(means), len(stds)] == [26, 26]
  assert means[0].shape == (512,)
  pca = reader.read(ASSETS / "directions" / "ffhq_pca.pt")
  assert pca["comp"].shape == (80, 1, 512)


@pytest.mark.parametrize(
    "data, error, message",
    (
        (b"", UserError, "is empty"),
        (b"<!DOCTYPE html><html>", UserError, "HTML page.*download it again"),
        (b"\n  <HTML lang=en>", UserError, "HTML page.*download it again"),
        (b"version https://git-lfs.github.com", UserError, "git lfs pull"),
        (b"just text", reader.NotWeights, "unknown format; known are PyTorch"),
        (b"cos\nsystem\n.", reader.NotWeights, "unknown format"),
    ),
)
@pytest.mark.filterwarnings("error")
def test_other_files(tmp_path, data, error, message):
  path = tmp_path / "weights.pt"
  path.write_bytes(data)
  with pytest.raises(error, match=message):
    reader.read(path)
  message_of(path)


def test_missing_file_and_directory(tmp_path):
  assert "does not exist" in message_of(tmp_path / "none.pt")
  assert "is a directory" in message_of(tmp_path)


def test_other_zip_archives(tmp_path):
  path = tmp_path / "a.pt"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("a.txt", "text")
  assert "something else" in message_of(path, reader.NotWeights)
  # What `torch.jit.save` writes beside the weights.
  with zipfile.ZipFile(path, "w") as archive:
    for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
      archive.writestr(f"face_parsing/{name}", "")
  assert "TorchScript program" in message_of(path, reader.NotWeights)


def test_array_of_objects(tmp_path):
  marker = tmp_path / "mark"
  array = np.array([official_files.hostile(marker)], object)
  np.save(tmp_path / "a.npy", array)
  np.savez(tmp_path / "b.npz", array)
  (tmp_path / "c.pkl").write_bytes(pickle.dumps(array))
  for name in ("a.npy", "b.npz"):
    message = message_of(tmp_path / name, reader.NotWeights)
    assert "Python objects" in message
  assert "refused" in message_of(tmp_path / "c.pkl")
  assert not marker.exists()


def test_tensorflow_pickle(tmp_path):
  path = tmp_path / "a.pkl"
  path.write_bytes(
      official_files.pickle_of_global("dnnlib.tflib.network", "Network")
  )
  assert "NVIDIA's legacy.py first" in message_of(path)


def _writers():
  def numpy(path):
    with path.open("wb") as file:
      np.save(file, np.ones(1000))

  def archive(path):
    with path.open("wb") as file:
      np.savez(file, np.ones(1000))

  def nvidia(path):
    official_files.write_nvidia_pickle(path, networks())

  def zipped(path):
    official_files.write_torch(path, state())

  def legacy(path):
    official_files.write_torch(path, state(), legacy=True)

  return numpy, archive, nvidia, zipped, legacy


@pytest.mark.parametrize("write", _writers(), ids=lambda f: f.__name__)
@pytest.mark.parametrize("kept", (0.1, 0.5, 0.9, 1))
def test_truncated_files(tmp_path, write, kept):
  path = tmp_path / "weights"
  write(path)
  reader.read(path)
  data = path.read_bytes()
  path.write_bytes(data[: min(int(kept * len(data)), len(data) - 1)])
  assert "is truncated or damaged" in message_of(path)


def _write_pickled(path, contents):
  path.write_bytes(pickle.dumps(contents, 3))


def _write_inner(path, contents):
  """A network's storage that is itself a hostile pickle."""
  inner = pickle.dumps(contents, 2)
  load = official_files.Hostile(torch.storage._load_from_bytes, inner)
  path.write_bytes(pickle.dumps({"D": load}, 3))


def _write_legacy(path, contents):
  official_files.write_torch(path, contents, legacy=True)


@pytest.mark.parametrize(
    "write",
    (official_files.write_torch, _write_legacy, _write_pickled, _write_inner),
)
def test_hostile_files_do_nothing(tmp_path, write):
  path, marker = tmp_path / "weights", tmp_path / "mark"
  write(path, {"a": 1, "b": official_files.hostile(marker)})
  message = message_of(path)
  assert not marker.exists()
  system = f"{os.system.__module__}.system"
  assert f"refers to {system}, which weights never need; refused" in message
  # The trap was armed.
  with contextlib.suppress(Exception):
    if write in (_write_pickled, _write_inner):
      pickle.loads(path.read_bytes())
    else:
      torch.load(path, weights_only=False)
  assert marker.exists()


@pytest.mark.parametrize(
    "module, name",
    (
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "exec"),
        ("builtins", "set.__init__"),
        ("collections", "OrderedDict.__init__.__globals__"),
        ("importlib", "import_module"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "_reconstruct.__call__"),
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("torch.storage", "_load_from_bytes.__globals__"),
        ("torch.hub", "load"),
        ("torch._utils", "_rebuild_parameter._function"),
        ("torch_utils.persistence", "import_hook"),
        ("convert.nvidia_pickle", "_Call"),
    ),
)
def test_any_other_name_is_refused(tmp_path, module, name):
  path = tmp_path / "weights.pkl"
  path.write_bytes(official_files.pickle_of_global(module, name, "x"))
  want = f"refers to {module}.{name}, which weights never need; refused"
  assert want in message_of(path)


def test_allowed_functions_cannot_be_altered(tmp_path):
  path = tmp_path / "weights.pkl"
  function = b"\x80\x03ctorch._utils\n_rebuild_parameter\n"
  attributes = b"}X\x01\x00\x00\x00aK\x01s"  # {"a": 1}
  for state in (attributes, b"N" + attributes + b"\x86"):
    path.write_bytes(function + state + b"b.")  # BUILD
    assert "alters a function" in message_of(path)


def test_forged_dtype_is_refused(tmp_path):
  path = tmp_path / "weights.pkl"
  pickled = pickle.dumps(np.arange(4, dtype=np.float64), 3)
  size = b"X\x02\x00\x00\x00"
  assert size + b"f8" in pickled
  path.write_bytes(pickled.replace(size + b"f8", size + b"O8"))
  assert "dtype 'O8', expected numbers; refused" in message_of(path)


@pytest.mark.parametrize(
    "offset, shape, strides",
    ((2, (4,), (1,)), (0, (2,), (9,)), (-1, (2,), (1,)), (0, (2,), (-1,))),
)
def test_forged_tensors_stay_in_their_storage(tmp_path, offset, shape, strides):
  path = tmp_path / "weights.pkl"
  storage = torch.arange(4.0)._typed_storage()
  rebuild = torch._utils._rebuild_tensor_v2
  view = official_files.Hostile(
      rebuild, storage, offset, shape, strides, False, {}
  )
  path.write_bytes(pickle.dumps(view, 3))
  assert "is truncated or damaged" in message_of(path)


def test_without_torch(tmp_path, monkeypatch):
  official_files.write_torch(tmp_path / "a.pt", state())
  official_files.write_nvidia_pickle(tmp_path / "b.pkl", networks())
  np.save(tmp_path / "c.npy", np.ones(3))
  monkeypatch.setitem(sys.modules, "torch", None)
  for name in ("a.pt", "b.pkl"):
    assert "pip install torch" in message_of(tmp_path / name)
  assert reader.read(tmp_path / "c.npy").shape == (3,)
