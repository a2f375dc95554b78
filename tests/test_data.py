"""Sources: what a picture becomes, and what is said of bad ones."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sfe_jax import data
from sfe_jax.data.sources import Folder, Records, tfds
from sfe_jax.errors import UserError
from tests.drawn_data import SIZE, drawn, drawn_folder, load, numbers, save


def test_folder_is_nested_sorted_and_picklable(tmp_path):
  drawn_folder(tmp_path, 12)
  (tmp_path / "notes.txt").write_text("no picture")
  (tmp_path / ".hidden.png").write_text("no picture")
  save(tmp_path / ".thumbnails" / "a.png", drawn(99))
  source = pickle.loads(pickle.dumps(Folder(tmp_path, SIZE)))
  assert numbers(source) == list(range(12))
  np.testing.assert_array_equal(source[3], drawn(3))
  assert source[0].dtype == np.uint8


@pytest.mark.parametrize("suffix", ("png", "jpg", "JPEG", "webp"))
@pytest.mark.parametrize("size", ((16, 16), (31, 50), (50, 31), (1, 1), (3, 9)))
def test_any_size_becomes_square(tmp_path, suffix, size):
  save(tmp_path / f"a.{suffix}", np.full((*size, 3), 90, np.uint8))
  image = Folder(tmp_path, SIZE)[0]
  assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
  assert np.abs(image.astype(int) - 90).max() <= 2


def test_crop_is_the_middle(tmp_path):
  wide = np.zeros((SIZE, 3 * SIZE, 3), np.uint8)
  wide[:, SIZE : 2 * SIZE] = drawn(7)
  save(tmp_path / "0.png", wide)
  save(tmp_path / "1.png", wide.swapaxes(0, 1))
  source = Folder(tmp_path, SIZE)
  np.testing.assert_array_equal(source[0], drawn(7))
  np.testing.assert_array_equal(source[1], drawn(7).swapaxes(0, 1))


def test_resize_is_antialiased_and_close_to_the_plain_filter(tmp_path):
  rng = np.random.default_rng(0)
  coarse = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
  large = coarse.resize((320, 320), Image.Resampling.BICUBIC)
  checks = np.uint8(np.indices((320, 320)).sum(0) % 2 * 255)
  save(tmp_path / "0.png", np.asarray(large))
  save(tmp_path / "1.jpg", np.asarray(large), quality=98)
  save(tmp_path / "2.png", np.repeat(checks[..., None], 3, 2))
  source = Folder(tmp_path, 40)
  plain = np.asarray(large.resize((40, 40), Image.Resampling.LANCZOS))
  for i in range(2):
    assert np.abs(source[i].astype(int) - plain).mean() < 3
  assert np.abs(source[2].astype(int) - 127).max() <= 2


def test_odd_kinds_of_pictures(tmp_path):
  grey = np.full((SIZE, SIZE), 90, np.uint8)
  save(tmp_path / "0.png", grey)
  save(tmp_path / "1.png", grey.astype(np.uint16) * 257)
  save(tmp_path / "2.png", np.dstack([grey] * 3 + [grey * 0]))
  Image.fromarray(grey).convert("P").save(tmp_path / "3.png")
  Image.fromarray(grey).convert("CMYK").save(tmp_path / "4.jpg", quality=99)
  source = Folder(tmp_path, SIZE)
  for i, want in enumerate((90, 90, 255, 90, 90)):
    assert np.abs(source[i].astype(int) - want).max() <= 2, i


def test_exif_turns_upright(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6  # Stored turned left by 90 degrees.
  left = np.rot90(drawn(60, 64))
  save(tmp_path / "a.jpg", left, exif=exif, quality=99, subsampling=0)
  image = Folder(tmp_path, SIZE)[0].astype(int)
  assert np.abs(image - drawn(60)).mean() < 6


def test_small_pictures_are_reported(tmp_path, caplog):
  drawn_folder(tmp_path, 3, 8)
  save(tmp_path / "large.png", drawn(3, 32))
  assert Folder(tmp_path, SIZE)[0].shape == (SIZE, SIZE, 3)
  assert "3 of 4 pictures are smaller than 16 px" in caplog.text


def test_files_that_are_no_images_are_skipped(tmp_path, caplog):
  drawn_folder(tmp_path, 3)
  (tmp_path / "bad.jpg").write_bytes(b"text")
  (tmp_path / "empty.png").touch()
  source = Folder(tmp_path, SIZE)
  assert len(source) == 3 and len(source.skipped) == 2
  assert "bad.jpg: skipped: cannot identify" in caplog.text
  assert "2 of 5 files" in caplog.text


def test_folder_messages(tmp_path):
  with pytest.raises(UserError, match="nowhere: no such folder"):
    Folder(tmp_path / "nowhere", SIZE)
  with pytest.raises(UserError, match="no such folder"):
    Folder("", SIZE)
  with pytest.raises(UserError, match=r"no image \(.png, .*\) in it or below"):
    Folder(tmp_path, SIZE)
  (tmp_path / "bad.jpg").write_bytes(b"text")
  with pytest.raises(UserError, match="none of its 1 image files can be read"):
    Folder(tmp_path, SIZE)
  with pytest.raises(UserError, match="folder, array_record, tfds, got 'zip'"):
    data.open_source("zip", tmp_path, SIZE)


def test_records_of_any_encoding_are_resized(tmp_path):
  path = save(tmp_path / "a.jpg", drawn(50, 64), quality=99)
  source = Records([{"image": path.read_bytes()}], "set", SIZE, key="image")
  assert source[0].shape == (SIZE, SIZE, 3)
  with pytest.raises(UserError, match="set, record 0: not a readable image"):
    Records([b"text"], "set", SIZE)[0]


# TensorFlow Datasets.


def tfds_set(root, count, key="image"):
  """Writes a set in the layout in which TFDS prepares downloads."""
  import tensorflow_datasets
  from array_record.python import array_record_module

  folder = root / "drawn" / "1.0.0"
  folder.mkdir(parents=True)
  features = tensorflow_datasets.features.FeaturesDict({
      key: tensorflow_datasets.features.Image(encoding_format="png"),
      "label": tensorflow_datasets.features.ClassLabel(num_classes=count),
  })
  writer = array_record_module.ArrayRecordWriter(
      str(folder / "drawn-train.array_record-00000-of-00001"), "group_size:1"
  )
  for i in range(count):
    example = {key: drawn(i, SIZE, 24), "label": i}
    writer.write(
        features.serialize_example(features.encode_example(example))
    )
  writer.close()
  template = tensorflow_datasets.core.ShardedFileTemplate(
      dataset_name="drawn",
      data_dir=folder,
      split="train",
      filetype_suffix="array_record",
  )
  split = tensorflow_datasets.core.SplitInfo(
      name="train",
      shard_lengths=[count],
      num_bytes=0,
      filename_template=template,
  )
  tensorflow_datasets.folder_dataset.write_metadata(
      data_dir=folder,
      features=features,
      split_infos=[split],
      check_data=False,
  )
  return root


def test_tfds(tmp_path):
  pytest.importorskip("tensorflow_datasets")
  tfds_set(tmp_path, 8)
  source = pickle.loads(pickle.dumps(tfds(tmp_path, "drawn", "train", SIZE)))
  assert numbers(source) == list(range(8))
  np.testing.assert_array_equal(source[3], drawn(3, SIZE, 24)[:, 4:20])
  train, held_out = data.open_sets(
      "tfds", tmp_path, SIZE, name="drawn", split="train[:6]",
      validation_path="train[6:]",
  )
  assert numbers(held_out) == [6, 7]
  assert load(train, 5, threads=2).shape == (1, 5, 4, SIZE, SIZE, 3)
  with pytest.raises(UserError, match="overlaps with the training pic"):
    data.open_sets(
        "tfds", tmp_path, SIZE, name="drawn", validation_path="train"
    )
  with pytest.raises(UserError, match="drawn, split 'test': Unknown split"):
    tfds(tmp_path, "drawn", "test", SIZE)


def test_tfds_messages(tmp_path):
  pytest.importorskip("tensorflow_datasets")
  with pytest.raises(UserError, match="needs data.name"):
    tfds(tmp_path, "", "train", SIZE)
  with pytest.raises(UserError, match="TFDS has no set nosuchset here"):
    tfds(tmp_path, "nosuchset", "train", SIZE)
  for name in ("cars196", "celeb_a_hq/256"):
    with pytest.raises(UserError, match="no such data set; prepare it in Py"):
      tfds(tmp_path, name, "train", SIZE)
  with pytest.raises(UserError, match="TFDS has no set celeb_a_hq/77 here"):
    tfds(tmp_path, "celeb_a_hq/77", "train", SIZE)
  tfds_set(tmp_path, 2, key="picture")
  with pytest.raises(UserError, match='no feature "image", only .*picture'):
    tfds(tmp_path, "drawn", "train", SIZE)


def test_tensorflow_is_never_imported(tmp_path):
  pytest.importorskip("tensorflow_datasets")
  tfds_set(tmp_path, 2)
  code = (
      "import sys; from sfe_jax import data;"
      "assert 'tensorflow_datasets' not in sys.modules;"
      f"s = data.open_source('tfds', {str(tmp_path)!r}, 8, 'drawn');"
      "assert s[1].shape == (8, 8, 3);"
      "assert 'tensorflow' not in sys.modules"
  )
  subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
