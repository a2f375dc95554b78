"""Evaluation: measures, protocols, attributes, and errors against the truth."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sfe_jax import drawn_faces
from sfe_jax.architecture import Models
from sfe_jax.directions.entries import StyleSpace
from sfe_jax.errors import UserError
from sfe_jax.measures import msssim
from sfe_jax.metrics import attributes, protocols, truth
from sfe_jax.metrics.judge import Judge
from sfe_jax.metrics.methods import EncoderAlone, StyleFeatureEditor
from sfe_jax.models.inception import Inception
from sfe_jax.models.irse import ArcFace, identity_crop
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.storage import images, labels
from sfe_jax.storage.images import Pictures
from tests import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = 32
OUTPUTS = ("smile", "glasses", "age")
PERCEPTION = Perception(16, (8, 8, 8), embedding=6, outputs=len(OUTPUTS))


@functools.cache
def variables():
  return tiny.fill(PERCEPTION)


@functools.cache
def judge():
  networks = {"perception": (PERCEPTION, variables())}
  return Judge(SIZE, networks, outputs=OUTPUTS)


def floats(pictures):
  return jnp.float32(pictures) / 127.5 - 1


def frechet(a, b):
  """Frechet distance by its definition, with a general matrix root."""
  product = np.cov(a.T) @ np.cov(b.T)
  root = np.sqrt(np.linalg.eigvals(product).astype(complex)).real.sum()
  difference = a.mean(0) - b.mean(0)
  traces = np.trace(np.cov(a.T)) + np.trace(np.cov(b.T))
  return difference @ difference + traces - 2 * root


class Darken:
  """Halves the brightness; edits add the size of the strength."""

  size = SIZE

  def __init__(self):
    self.edited = []

  def encode(self, pictures):
    assert pictures.dtype == np.uint8
    return pictures // 2

  def reconstruct(self, code):
    return code

  def edit(self, code, name, strength):
    self.edited.append((code, name, strength))
    return np.uint8(code + abs(strength))


def save_all(folder, pictures, names=None):
  names = names or [f"{i}.png" for i in range(len(pictures))]
  for name, picture in zip(names, pictures):
    images.write(folder / name, picture)
  return [str(folder / name) for name in names]


def test_inversion_by_hand(tmp_path):
  pictures = tiny.pictures(3, SIZE)
  files = save_all(tmp_path, pictures)
  got = protocols.inversion(Darken(), judge(), Pictures(files, SIZE), 2)
  x, y = floats(pictures), floats(pictures // 2)
  l2 = np.mean(np.square(x - y), (1, 2, 3))
  np.testing.assert_allclose(got["l2"], l2.mean(), rtol=1e-5)
  error = np.std(l2, ddof=1) / np.sqrt(3)
  np.testing.assert_allclose(got["standard_errors"]["l2"], error, rtol=1e-3)

  def apply(method, *args):
    return PERCEPTION.apply(variables(), *args, method=method)

  distances = apply("compare", apply("features", x), apply("features", y))
  np.testing.assert_allclose(got["perceptual"], distances.mean(), rtol=1e-4)
  cosines = np.sum(apply("embed", x) * apply("embed", y), -1)
  np.testing.assert_allclose(got["identity"], cosines.mean(), rtol=1e-5)
  ssim = msssim.ms_ssim((x + 1) / 2, (y + 1) / 2, 2)
  np.testing.assert_allclose(got["ms_ssim"], ssim.mean(), rtol=1e-4)
  want = frechet(
      *(np.float64(apply("pooled", images)) for images in (x, y))
  )
  np.testing.assert_allclose(got["fid"], want, rtol=1e-3)
  assert got["count"] == 3 and got["seconds_per_picture"] > 0


def test_batches_and_order_do_not_matter(tmp_path):
  pictures = tiny.pictures(5, SIZE)
  files = save_all(tmp_path, pictures)
  runs = [
      protocols.inversion(Darken(), judge(), Pictures(f, SIZE), size)
      for f, size in ((files, 5), (files, 2), (files[::-1], 3))
  ]
  for got in runs[1:]:
    for key in ("count", "l2", "perceptual", "identity", "ms_ssim", "fid"):
      np.testing.assert_allclose(got[key], runs[0][key], rtol=1e-4)


def test_unreadable_pictures_are_left_out(tmp_path, caplog):
  files = save_all(tmp_path, tiny.pictures(3, SIZE))
  bad = tmp_path / "bad.png"
  bad.write_text("no picture")
  pictures = Pictures([files[0], str(bad), *files[1:]], SIZE)
  got = protocols.inversion(Darken(), judge(), pictures, 2)
  want = protocols.inversion(Darken(), judge(), Pictures(files, SIZE), 2)
  assert got["l2"] == want["l2"] and got["count"] == 3
  assert pictures.skipped == [str(bad)]
  assert f"skipped: {bad}: not a readable image" in caplog.text
  one = protocols.inversion(Darken(), judge(), Pictures(files[:1], SIZE), 2)
  assert one["fid"] is None and one["l2"] > 0
  with pytest.raises(UserError, match="none of the 1 pictures can be read"):
    protocols.inversion(Darken(), judge(), Pictures([str(bad)], SIZE), 2)


def test_official_networks_see_their_own_sizes():
  """LPIPS and L2 at 256 px, the face's crop of 256, MS-SSIM at full size."""
  pictures = tiny.pictures(2, 512)
  networks = {
      "lpips_alex": LPIPS("alex", 8),
      "arcface": ArcFace((1, 1, 1, 1), (8,) * 4),
      "inception": Inception(2, resolution=75),
  }
  networks = {n: (module, tiny.fill(module)) for n, module in networks.items()}
  official = Judge(
      512, networks, perceptual="lpips_alex", identity="arcface",
      features="inception",
  )  # fmt: skip
  got = official.compare(pictures[:1], pictures[1:])
  # On smooth pictures every filter that halves gives nearly the same.
  small = floats(pictures).reshape(2, 256, 2, 256, 2, 3).mean((2, 4))
  want = np.mean(np.square(small[0] - small[1]))
  np.testing.assert_allclose(got["l2"], want, rtol=1e-2)

  def apply(name, *args):
    module, variables = networks[name]
    return jax.jit(module.apply)(variables, *args)

  want = apply("lpips_alex", small[:1], small[1:])
  np.testing.assert_allclose(got["perceptual"], want, rtol=1e-2)
  a, b = apply("arcface", identity_crop(small))
  np.testing.assert_allclose(got["identity"], a @ b, atol=1e-2)
  assert official.scales == 5 and got["ms_ssim"].shape == (1,)
  features = official.features(pictures)
  official.moments().update(features)
  want = apply("inception", floats(pictures))
  np.testing.assert_allclose(features, want, rtol=1e-4, atol=1e-5)


LABELS = """file,smile,age,hat
0.png,1,20,cap
1.png,0,50,none
2.png,1,50.5,none
3.png,0,80,cap
"""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
  folder = tmp_path_factory.mktemp("labelled")
  (folder / "labels.csv").write_text(LABELS)
  return labels.read(folder / "labels.csv"), save_all(
      folder, tiny.pictures(4, SIZE)
  )


@pytest.mark.parametrize(
    "attribute, want",
    (
        ("smile", [1, 0, 1, 0]),
        ("age>50", [0, 0, 1, 1]),
        ("age < 50", [1, 0, 0, 0]),
        ("smile<.5", [0, 1, 0, 1]),
        ("hat=cap", [1, 0, 0, 1]),
    ),
)
def test_attributes_divide_pictures(labelled, attribute, want):
  table, files = labelled
  got = attributes.divide(table, files[::-1], attributes.parse(attribute))
  assert got.tolist() == [bool(x) for x in want[::-1]]


@pytest.mark.parametrize(
    "attribute, message",
    (
        ("grin", "no column 'grin' that divides pictures; it has smile, age"),
        ("age", "--attribute age: write a threshold, e.g. 'age>50.1'"),
        ("age>old", "--attribute age>old: write a threshold"),
        ("age>", "no column 'age>'"),
    ),
)
def test_divide_refuses(labelled, attribute, message):
  table, files = labelled
  with pytest.raises(UserError, match=message):
    attributes.divide(table, files, attributes.parse(attribute))
  with pytest.raises(UserError, match="no row for 1 of 2 pictures"):
    attributes.divide(table, [files[0], "x.png"], attributes.parse("smile"))


GLASSES = StyleSpace("glasses", "", removes=("Eyeglasses",), channels=())
AGE = StyleSpace("age", "", adds=("age",), removes=("Young",), channels=())
CAP = StyleSpace("hat_cap", "", adds=("hat_cap",), channels=())
UNKNOWN = StyleSpace("mine", "", channels=())


@pytest.mark.parametrize(
    "entry, strength, attribute, positive, effect",
    (
        (GLASSES, -7, "Eyeglasses", None, "adds"),
        (GLASSES, 7, "eyeglasses", None, "removes"),
        (AGE, 3, "Young", None, "removes"),
        (AGE, 3, "Young<0.5", None, "adds"),
        (AGE, -3, "Young < 0.5", None, "removes"),
        (AGE, 3, "age>50", None, "adds"),
        (AGE, 3, "age<30", None, "removes"),
        (CAP, 2, "hat=cap", None, "adds"),
        (CAP, 2, "hat=cap<0.5", None, "removes"),
        (UNKNOWN, 2, "hat", "adds", "adds"),
        (UNKNOWN, -2, "hat", "adds", "removes"),
        (UNKNOWN, -2, "hat", "removes", "adds"),
        (UNKNOWN, 2, "Young<0.5", "adds", "adds"),
    ),
)
def test_effect_of_an_edit(entry, strength, attribute, positive, effect):
  """It follows from what the direction does, not from the sign alone."""
  got = attributes.sense(
      entry, strength, attributes.parse(attribute), positive
  )
  assert got.name == effect
  reason = positive or f"direction {entry.name!r}: a positive strength"
  assert reason in got.reason


def test_the_flag_overrules_the_direction(caplog):
  parsed = attributes.parse("Eyeglasses")
  assert attributes.sense(GLASSES, 2, parsed, "removes").name == "removes"
  assert not caplog.records
  assert attributes.sense(GLASSES, 2, parsed, "adds").name == "adds"
  assert "'glasses' removes Eyeglasses" in caplog.text


def test_effects_that_are_unknown_are_asked_for():
  message = "'mine' does not say .* 'hat=cap'; give --positive=adds or"
  with pytest.raises(UserError, match=message):
    attributes.sense(UNKNOWN, 2, attributes.parse("hat=cap"))
  with pytest.raises(UserError, match="'glasses' does not say .* 'Smiling'"):
    attributes.sense(GLASSES, 2, attributes.parse("Smiling"))
  with pytest.raises(UserError, match="glasses=0 changes nothing"):
    attributes.sense(GLASSES, 0, attributes.parse("Eyeglasses"))


def test_editing_fid(tmp_path):
  pictures = tiny.pictures(7, SIZE)
  files = save_all(tmp_path, pictures)
  method = Darken()
  sets = [Pictures(files[:3], SIZE), Pictures(files[3:], SIZE)]
  got = protocols.editing(method, judge(), *sets, "smile", -20, 4)
  kept, changed = pictures[:3], pictures[3:]
  (code, name, used), = method.edited
  np.testing.assert_array_equal(code, changed // 2)
  assert (name, used) == ("smile", -20)
  a, b, edited = (
      np.float64(judge().features(p))
      for p in (kept, changed, changed // 2 + 20)
  )
  np.testing.assert_allclose(got["fid"], frechet(a, edited), rtol=1e-3)
  np.testing.assert_allclose(got["fid_unedited"], frechet(a, b), rtol=1e-3)
  counts = got["count_compared"], got["count_edited"]
  assert counts == (len(kept), len(changed))


def test_editing_refuses(tmp_path):
  files = save_all(tmp_path, tiny.pictures(3, SIZE))
  sets = [Pictures(files[:1], SIZE), Pictures(files[1:], SIZE)]
  with pytest.raises(UserError, match="got 1 to compare with"):
    protocols.editing(Darken(), judge(), *sets, "smile", 1, 2)


def drawn(attribute, count, seed=1):
  return list(itertools.islice(truth.pairs(attribute, seed, SIZE), count))


class Truthful:
  """Returns the true edited picture at one strength, else the input."""

  size = SIZE

  def __init__(self, attribute, count, strength):
    self._true = {a.tobytes(): b for a, b in drawn(attribute, count)}
    self._strength = strength

  def encode(self, pictures):
    return pictures

  def reconstruct(self, code):
    return code

  def edit(self, code, name, strength):
    if strength != self._strength:
      return code
    return np.stack([self._true[x.tobytes()] for x in code])


def test_the_truth_has_no_error(monkeypatch):
  monkeypatch.setattr(truth, "CALIBRATION", 3)
  method = Truthful("smile", 3 + 5, strength=2.0)
  results = truth.measure_all(
      method, judge(), {"smile": None}, {"smile": (-4, 4)},
      count=5, seed=1, batch_size=2,
  )  # fmt: skip
  got = results["smile"]
  assert got["calibrated"] and got["strength"] == 2
  assert (got["from"], got["to"]) == (0.1, 0.9)
  np.testing.assert_allclose(got["effect"], 1, rtol=1e-5)
  for key in ("l2", "l2_changed", "perceptual"):
    assert got["edit"][key] == got["floor"][key] == 0 < got["input"][key]
  np.testing.assert_allclose(got["edit"]["identity"], 1, rtol=1e-5)
  measured = np.stack(drawn("smile", 8)[3:]).astype(float) / 127.5
  squares = np.square(measured[:, 0] - measured[:, 1])
  np.testing.assert_allclose(got["input"]["l2"], squares.mean(), rtol=1e-5)
  changed = [s[s.any(-1)].mean() for s in squares]
  want = np.mean(changed)
  np.testing.assert_allclose(got["input"]["l2_changed"], want, rtol=1e-5)
  assert want > 3 * squares.mean()


def test_a_given_strength_is_measured_on_the_same_pairs(monkeypatch):
  monkeypatch.setattr(truth, "CALIBRATION", 3)
  method = Truthful("smile", 3 + 2, strength=9.0)
  blind = Judge(SIZE, {"perception": (PERCEPTION, variables())})
  results = truth.measure_all(
      method, blind, {"smile": 9.0}, {"smile": (None, None)},
      count=2, seed=1, batch_size=2,
  )  # fmt: skip
  assert results["smile"]["edit"]["l2"] == 0
  assert results["smile"]["effect"] is None
  with pytest.raises(UserError, match="scores smile.*--edit smile=STRENGTH"):
    truth.measure_all(
        method, blind, {"smile": None}, {"smile": (None, None)},
        count=2, seed=1, batch_size=2,
    )  # fmt: skip


class Linear:
  """Edits brighten by 4 per unit of strength."""

  def encode(self, pictures):
    return pictures

  def edit(self, code, name, strength):
    return code + 4.0 * strength


class Brightness:
  """Scores pictures by their mean."""

  def scores(self, pictures, output):
    return pictures.mean((1, 2, 3))


@pytest.mark.parametrize("wanted", (10.0, -6.0))
def test_calibration_finds_a_planted_strength(wanted):
  before = np.random.RandomState(0).uniform(0, 99, (5, 8, 8, 3))
  changes = wanted * np.array([0.5, 1.5, 1, 0.8, 1.2])
  pairs = np.stack([before, before + changes[:, None, None, None]], 1)
  got = truth.calibrate(
      Linear(), Brightness(), "smile", pairs, truth.candidates(-3, 4), 2
  )
  np.testing.assert_allclose(got, wanted / 4, rtol=1e-6)


def test_solve_takes_the_smallest_strength_or_the_nearest_effect():
  assert truth.solve([-2, -1, 0, 1, 2], [8, 4, 0, 2, 6], 4) == -1
  assert truth.solve([-2, -1, 0, 1, 2], [8, 5, 0, 2, 4], 3) == -0.6
  assert truth.solve([-1, 0, 1, 2], [0, 0, 2, 1], 3) == 1
  assert truth.solve([-1, 0, 1], [0, 0, 0], 0) == 0


def test_candidates_go_beyond_the_range_and_hold_zero():
  tried = truth.candidates(-2, 10)
  assert (tried[0], tried[-1]) == (-3, 15) and 0 in tried
  assert tried == sorted(tried)
  assert truth.candidates(None, None)[0] == -4.5
  assert truth.candidates(2, 4)[0] == 0


def test_pairs_differ_in_one_attribute():
  (before, after), *_ = drawn("glasses", 1)
  face = drawn_faces.sample(1, 0).replace(extra="none")
  for value, picture in ((0, before), (1, after)):
    want = drawn_faces.draw(face.replace(glasses=value), SIZE)
    np.testing.assert_array_equal(picture, want)
  for attribute in truth.CHANGES:
    ((before, after),) = drawn(attribute, 1)
    assert (before != after).any()


def test_pictures_are_cropped_and_resized_as_for_training(tmp_path):
  picture = np.zeros((40, 60, 3), np.uint8)
  picture[:, 10:50] = 200
  (got,) = list(Pictures(save_all(tmp_path, [picture]), SIZE))
  assert got.shape == (SIZE, SIZE, 3) and (got == 200).all()


def test_ms_ssim_is_left_out_below_its_window(caplog):
  networks = {"perception": (PERCEPTION, variables())}
  small = Judge(8, networks, identity="none")
  assert "needs pictures of at least 11 px, these have 8 px" in caplog.text
  pictures = tiny.pictures(2, 8)
  got = small.compare(pictures[:1], pictures[1:])
  assert got.keys() == {"l2", "perceptual"} and small.scales == 0


class Broken:
  """An editor whose weights are damaged."""

  resolution = SIZE

  def reconstruct(self, inversion):
    return inversion * np.nan


def test_methods_refuse_damaged_or_foreign_networks():
  with pytest.raises(UserError, match="not finite.*check the weights"):
    StyleFeatureEditor(Broken()).reconstruct(np.zeros((1, SIZE, SIZE, 3)))
  e4e = dataclasses.replace(tiny.ARCHITECTURE, channels=(16,) * 4,
                            resolution=32).e4e()  # fmt: skip
  models = Models(tiny.ARCHITECTURE.generator(), None, None, e4e)
  with pytest.raises(UserError, match="latents of 10 x 512 against 8 x 512"):
    EncoderAlone(models, {}, None)
