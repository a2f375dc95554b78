"""From a folder of full-size official files to an edited photograph."""

import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from convert import __main__ as convert
from sfe_jax import Editor, drawn_faces, edit, images
from sfe_jax.storage import weights
from tests import cli
from tests import golden_data as golden

torch = pytest.importorskip("torch")
ASSETS = golden.SHARED / "assets"
PHOTOS = golden.SHARED / "data" / "real_photos" / "face_aligned"


def tensors(name, prefix=""):
  return {
      prefix + key: torch.from_numpy(np.array(value))
      for key, value in golden.state(name).items()
  }


def save(path, contents):
  path.parent.mkdir(parents=True, exist_ok=True)
  torch.save(contents, path)


def write_official_files(folder):
  """Writes a `pretrained_models/` as users of the release have it.

  Names and shapes are those of the official files, the numbers are random.
  """
  # Needs torch at import.
  from tests.official_files import write_nvidia_pickle

  seed = golden.expected("pipeline_1024")["latent_avg_seed"]
  average = torch.from_numpy(0.3 * golden.normal(seed, 18, 512))
  average_of_all = {"latent_avg": average}
  generator = tensors("stylegan2_g_1024")
  save(
      folder / "stylegan2-ffhq-config-f.pt",
      {"g_ema": generator} | average_of_all,
  )
  save(
      folder / "e4e_ffhq_encode.pt",
      {
          "state_dict": tensors("e4e_encoder_1024", "encoder.")
          | {f"decoder.{key}": value for key, value in generator.items()},
          "opts": {"encoder_type": "Encoder4Editing", "device": "cuda:0"},
      }
      | average_of_all,
  )
  save(
      folder / "sfe_editor_light.pt",
      {
          "state_dict": tensors("feature_editor", "encoder.")
          | tensors("inverter", "inverter.")
      }
      | average_of_all,
  )
  for name, file in (
      ("iresnet50", "iresnet50-7f187506.pth"),
      ("ir_se50", "model_ir_se50.pth"),
      ("curricularface_ir101", "CurricularFace_Backbone.pth"),
      ("fid_inception", "pt_inception-2015-12-05-6726825d.pth"),
      ("delta_mapper", "delta_mapper.pt"),
      ("vgg16_features", "vgg16-397923af.pth"),
      ("alexnet_features", "alexnet-owt-7be5be79.pth"),
  ):
    save(folder / file, tensors(name))
  save(
      folder / "moco_v2_800ep_pretrain.pt",
      {"state_dict": tensors("moco_resnet50", "module.encoder_q.")},
  )
  save(
      folder / "styleclip_mappers" / "purple_hair.pt",
      {"state_dict": tensors("styleclip_mapper_full", "mapper."), "opts": {}},
  )
  write_nvidia_pickle(
      folder / "stylegan2-ffhq-config-f.pkl",
      {
          "G": ("Generator", _nvidia_generator(), {}),
          "D": ("Discriminator", golden.state("stylegan2_ada_d_1024"), {}),
      },
  )
  for part in ("directions", "lpips"):
    if (ASSETS / part).exists():
      shutil.copytree(ASSETS / part, folder / part)
  (folder / "README.txt").write_text("where the files are from")
  (folder / "79999_iter.pth").write_bytes(b"not weights")


def _nvidia_generator():
  state = golden.state("stylegan2_ada_g_256")
  return {"mapping.w_avg": np.zeros(512, np.float32)} | state


def run(program, *argv):
  assert cli.run(program, *argv) == 0


@pytest.fixture
def folder(tmp_path):
  """A folder that is removed at once, because it holds gigabytes."""
  yield tmp_path
  shutil.rmtree(tmp_path)


@pytest.fixture
def compilation_cache(folder):
  """Lets both editors of a test share compiled code."""
  before = jax.config.jax_compilation_cache_dir
  jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
  yield
  jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.big
def test_official_files_edit_a_photograph(folder, compilation_cache):
  src, dst, out = folder / "pretrained", folder / "weights", folder / "out"
  write_official_files(src)
  run(convert, "--src", src, "--dst", dst)
  shutil.rmtree(src)
  found = {
      p.parent.relative_to(dst).as_posix(): weights.describe(p.parent)
      for p in dst.rglob("network.json")
  }
  lpips = {"lpips_vgg", "lpips_alex"} if (ASSETS / "lpips").exists() else set()
  assert set(found) == lpips | {
      "arcface",
      "curricularface",
      "delta_mapper",
      "discriminator",
      "e4e",
      "feature_editor",
      "generator",
      "generator_raw",
      "inception",
      "inverter",
      "iresnet50",
      "mappers/purple_hair",
      "moco",
  }
  assert found["generator"]["sizes"]["resolution"] == 1024
  assert found["generator_raw"]["sizes"]["resolution"] == 256
  assert found["discriminator"]["sizes"]["resolution"] == 1024

  has_directions = (dst / "directions").exists()
  edits = {"purple_hair": 0.1} | (
      {"age": 5.0, "fs_smiling": -3.0, "face_roundness": 7.0}
      if has_directions
      else {"gender": 5.0}
  )
  if PHOTOS.exists():
    photo = min(PHOTOS.glob("*.jpg"))
  else:
    photo = folder / "drawn.png"
    images.write(photo, drawn_faces.draw(drawn_faces.sample(0, 0), 512))
  run(
      edit,
      *("--weights", dst, "--image", photo, "--out", out, "--format", "png"),
      *(f"--edit={name}={strength}" for name, strength in edits.items()),
  )
  (path,) = out.rglob("*.png")
  powers = "_".join(f"{strength:.4f}" for strength in edits.values())
  assert path.relative_to(out) == pathlib.Path(
      "+".join(edits), f"edit_power_{powers}", f"{photo.stem}.png"
  )
  got = np.asarray(Image.open(path))

  editor = Editor.load(dst)
  inversion = editor.invert(images.square(photo, "photo", 1024))
  want = editor.edit(inversion, edits).image
  assert got.shape == (1024, 1024, 3) and np.isfinite(want).all()
  np.testing.assert_array_equal(got, images.to_uint8(want[0]))
  unedited = images.to_uint8(editor.edit(inversion, {}).image[0])
  assert got.std() > 5 and (got != unedited).mean() > 0.1
