"""Image files, the geometry of pictures, sheets."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sfe_jax.errors import UserError
from sfe_jax.models import layers
from sfe_jax.storage import decoding, images
from tests import tiny


def save(path, picture, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  if isinstance(picture, np.ndarray):
    picture = Image.fromarray(picture)
  picture.save(path, **options)
  return path


def test_pictures_further_below_are_named(tmp_path):
  (tmp_path / "000").mkdir()
  with pytest.raises(UserError, match=r"no image \(.*\) in it$"):
    images.find(tmp_path)
  images.write(tmp_path / "000/x.png", tiny.pictures(1, 8)[0])
  with pytest.raises(UserError, match=f"some lie below, in {tmp_path}/000$"):
    images.find(tmp_path)


@pytest.mark.parametrize("resample", images.RESAMPLING)
@pytest.mark.parametrize("shape", ((70, 40), (40, 71), (20, 33), (130, 130)))
def test_files_arrays_and_masks_are_cropped_alike(tmp_path, shape, resample):
  """The middle square is resized, whichever way a picture comes in."""
  h, w = shape
  picture = tiny.pictures(2, max(shape))[1][:h, :w]
  path = save(tmp_path / "a.png", picture)
  side = min(shape)
  top, left = (h - side) // 2, (w - side) // 2
  middle = Image.fromarray(picture[top : top + side, left : left + side])
  kernel = getattr(Image.Resampling, resample.upper())
  want = np.asarray(middle.resize((32, 32), kernel), np.float32)

  got = images.fit(images.read(path), 32, resample=resample)
  assert np.abs(got - want).max() <= (2 if resample == "lanczos" else 0)
  from_file = images.square(path, "a", 32, resample)
  np.testing.assert_array_equal(got, from_file)
  grey = np.asarray(middle.convert("L").resize((32, 32), 2), np.float32)
  np.testing.assert_array_equal(images.read_mask(path, 32), grey / 255)


def test_what_is_lost_is_said(tmp_path, caplog):
  wide = tiny.pictures(1, 100)[0][:80]
  images.fit(wide, 64, "w.png")
  assert "w.png is not square: " in caplog.text
  assert "cuts off 20 % of the width" in caplog.text
  images.fit(np.swapaxes(wide, 0, 1), 64)
  assert "cuts off 20 % of the height" in caplog.text
  caplog.clear()
  images.fit(wide[:40, :40], 64, "s.png")
  assert "s.png is enlarged from 40 to 64 px" in caplog.text
  caplog.clear()
  images.fit(wide[:, :80], 64)
  path = str(save(tmp_path / "w.png", wide))
  images.square(path, "w.png", 64)
  assert not caplog.records
  assert len(list(images.Pictures([path] * 3, 64))) == 3
  (record,) = caplog.records  # one line for a whole set
  assert "3 of 3 pictures are not used as they are" in record.message


def test_large_jpegs_are_reduced_while_they_are_decoded(tmp_path):
  """The official way decodes in full and filters once."""
  picture = Image.fromarray(tiny.pictures(2, 64)[1])
  path = save(tmp_path / "a.jpg", picture.resize((1024, 1024)), quality=98)
  exact = np.asarray(Image.open(path).resize((64, 64), 2))
  got = images.square(path, "a", 64, "bilinear")
  np.testing.assert_array_equal(got, exact)
  fast = images.square(path, "a", 64).astype(int)
  assert 0 < np.abs(fast - images.fit(images.read(path), 64)).mean() < 1


def _flag():
  """An RGB picture of few colours, in which a third is white."""
  picture = np.full((30, 30, 3), 255, np.uint8)
  picture[:10], picture[10:20] = (200, 30, 60), (20, 60, 180)
  return picture


def _files():
  """{name: (what Pillow writes, options)}, all of `_flag`."""
  flag = Image.fromarray(_flag())
  palette = flag.quantize(4)
  hole = palette.getpixel((0, 29))  # white pixels become transparent
  return {
      "a.gif": (palette, {}),
      "a.bmp": (flag, {}),
      "a.tif": (flag, {}),
      "a.tga": (flag, {}),
      "a.ppm": (flag, {}),
      "a.jp2": (flag, {"irreversible": False}),
      "transparent.gif": (palette, {"transparency": hole}),
      "transparent.png": (palette, {"transparency": hole}),
      "cmyk.tif": (flag.convert("CMYK"), {}),
  }


@pytest.mark.parametrize("name", _files())
def test_formats(tmp_path, name):
  picture, options = _files()[name]
  path = save(tmp_path / name, picture, **options)
  assert images.find(tmp_path) == [path]
  assert images.find_below(tmp_path) == [str(path)]
  assert decoding.dimensions(path) == (30, 30)
  got = images.read(path).astype(int)
  assert np.abs(got - _flag()).max() <= 1


@pytest.mark.parametrize("suffix", ("gif", "webp", "tif", "png"))
def test_the_first_frame_is_used(tmp_path, caplog, suffix):
  frames = [Image.fromarray(_flag()), Image.fromarray(255 - _flag())]
  path = tmp_path / f"a.{suffix}"
  options = {"lossless": True} if suffix == "webp" else {}
  frames[0].save(path, save_all=True, append_images=frames[1:], **options)
  assert np.abs(images.read(path).astype(int) - _flag()).max() <= 1
  assert f"a.{suffix} has several frames: only the first" in caplog.text
  images.square(path, "a", 30)
  assert len(caplog.records) == 1


def test_heic_says_what_it_needs(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "pillow_heif", None)  # not importable
  path = tmp_path / "a.HEIC"
  path.write_bytes(b"\0\0\0\x18ftypheic")
  assert images.find(tmp_path) == [path]
  with pytest.raises(UserError, match="a.HEIC: HEIC .*pip install pillow-heif"):
    images.read(path)


def test_float_pictures_are_written(tmp_path):
  picture = tiny.pictures(1, 8)[0]
  for i, x in enumerate((picture, layers.to_float(picture))):
    path = tmp_path / f"new/{i}.png"
    images.write(path, x)
    np.testing.assert_array_equal(images.read(path), picture)


@pytest.mark.parametrize(
    "path, shape, message",
    (
        ("a.gif", (8, 8, 3), "write .png, .jpg.*not '.gif'"),
        ("a.png", (2, 8, 8, 3), "one picture at a time"),
        ("a.png", (8, 8), "expected .h, w, 3."),
        ("/no_such_folder/a/b.png", (8, 8, 3), "no folder /no_such_folder"),
    ),
)
def test_what_cannot_be_written(path, shape, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match=message):
    images.write(path, np.zeros(shape, np.uint8))


def test_a_full_disk_names_the_file():
  with pytest.raises(OSError) as caught:
    images.write("/proc/a.png", np.zeros((8, 8, 3), np.uint8))
  assert caught.value.filename == "/proc/a.png"


def test_to_uint8():
  levels = np.arange(256, dtype=np.uint8)
  assert images.to_uint8(levels) is levels
  again = images.to_uint8(layers.to_float(levels))
  np.testing.assert_array_equal(again, levels)
  values = np.array([-3, 1.2, (127.6 / 127.5) - 1])
  np.testing.assert_array_equal(images.to_uint8(values), [0, 255, 128])


@pytest.mark.parametrize(
    "values, message",
    (
        ([0.0, np.nan], "not finite"),
        ([0.0, np.inf], "not finite"),
        ([0.0, 255.0], r"must lie in \[-1, 1\], got 0 to 255"),
        ([0, 255], "int64, expected uint8 or float"),
        ([1j], "complex128, expected"),
    ),
)
def test_what_is_no_picture(values, message):
  with pytest.raises(UserError, match=message):
    images.to_uint8(np.array(values))


def test_sheets():
  """Small pictures are enlarged, titles wrapped, rows named."""
  rows = [list(tiny.pictures(2, 32)), list(tiny.pictures(2, 32))]

  def sheet(*titles, **options):
    return images.grid(rows, titles, **options)

  plain = sheet("a", "b")
  assert plain.shape == (18 + 2 * 128, 2 * 128, 3)
  want = Image.fromarray(rows[0][1]).resize((128, 128), 1)
  np.testing.assert_array_equal(plain[18 : 18 + 128, 128:], want)
  assert images.grid(rows, ["", ""], 32).shape == (18 + 64, 64, 3)

  long = sheet("hair_style_side_part -2.5, hair_style_wavy 2", "b")
  height = len(long) - 2 * 128
  assert height == 18 + 14
  other = sheet("hair_style_side_part -2.5, hair_style_wavy 3", "b")
  assert (long[:height] != other[:height]).any()
  np.testing.assert_array_equal(long[height:], plain[18:])

  named = sheet("a", "b", captions=["x.png", "y" * 100 + ".png"])
  assert len(named) == 18 + 2 * (18 + 128)
  np.testing.assert_array_equal(named[36 : 36 + 128], plain[18 : 18 + 128])
  assert named[18:36].min() == 0 and (named[18:36] != named[164:182]).any()


def test_jax_is_not_needed():
  """Loader processes read pictures without it."""
  code = "import sys, sfe_jax.storage.images; assert 'jax' not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True)
