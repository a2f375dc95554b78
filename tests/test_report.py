"""The report on a chain: python -m sfe_jax.own_domain.report."""

import base64
import dataclasses
import io
import json
import re
import shlex
import sys
from html import parser

import numpy as np
import pytest
from PIL import Image

from sfe_jax import Editor
from sfe_jax.directions import files
from sfe_jax.errors import UserError
from sfe_jax.own_domain import page, report, steps, summary
from sfe_jax.photos import edits
from sfe_jax.storage import images
from tests import cli, tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_plots_show_both_curves():
  pairs = page.paired({
      "loss/a": {0: 3.0, 10: 1.0, 20: 2.0},
      "validation/a": {5: 2.0},
      "train/rate": {1: 1000.0, 2: 10.0, 3: 0.1},
      "loss/total": {1: 2.0},
      "validation/loss": {1: 1.0},
  })
  assert [name for name, *_ in pairs] == ["total", "a", "train/rate"]
  total, a, rate, empty = page.figure(pairs).axes
  assert a.get_title("left") == "a"
  training, held_out = a.lines
  points = [(0, 3), (10, 1), (20, 2)]
  np.testing.assert_array_equal(training.get_xydata(), points)
  np.testing.assert_array_equal(held_out.get_xydata(), [(5, 2)])
  assert held_out.get_marker() != "None", "a line of one point is invisible"
  scales = [ax.get_yscale() for ax in (total, a, rate)]
  assert scales == ["linear", "linear", "log"]
  assert not empty.axison


def test_long_curves_are_thinned():
  x, y = page.thinned({i: float(i % 2) for i in range(9_999)})
  assert len(x) == len(y) == 200 and x[-1] == 9_998
  np.testing.assert_allclose(y, 0.5, atol=0.02)


def test_sheets_are_stacked():
  sizes = ((10, 100), (20, 40), (10, 50), (5, 90))
  sheets = [np.full((*s, 3), i, np.uint8) for i, s in enumerate(sizes)]
  whole = report.stack(sheets, gap=10)
  assert whole.shape == (10 + 10 + 20 + 10 + 5, 110, 3)
  for i, size in enumerate(sizes):
    assert (whole == i).all(-1).sum() == np.prod(size)
  assert (whole[20:30, 50:100] == 2).all()  # beside the second


def write_run(folder, steps, lines, starts=1):
  folder.mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps({"steps": steps}))
  start = {"devices": 2, "device": "TPU v4"}
  (folder / "run.json").write_text(json.dumps([start] * starts))
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (folder / "metrics.jsonl").write_text(text)


def test_speed_is_the_median_of_what_was_logged(tmp_path):
  rate = "train/steps_per_second"
  lines = [
      {"step": 50, "loss/total": 3.0, rate: 0.1},  # compiles another form
      {"step": 100, "loss/total": 2.0, rate: 5.0},
      {"step": 150, "loss/total": 2.0, rate: 4.0},
      {"step": 150, "loss/total": 1.0, rate: 2.0},  # after an interruption
  ]
  write_run(tmp_path / "e4e", 200, lines, starts=2)
  stage = summary.read_stage(tmp_path, "e4e")
  assert stage.speed == 2.0
  assert stage.curves == {"loss/total": {50: 3.0, 100: 2.0, 150: 1.0}}
  assert (stage.steps, stage.device) == (200, "2 x TPU v4")
  # Of so few intervals most may hold compilation.
  write_run(tmp_path / "phase1", 150, lines[:2])
  assert summary.read_stage(tmp_path, "phase1").speed is None


@pytest.fixture(scope="module")
def out(tmp_path_factory):
  """What the chain would leave, with tiny random networks."""
  root = tmp_path_factory.mktemp("chain")
  (root / "times.json").write_text('{"data": 29, "e4e": 3661.5}')
  for i, picture in enumerate(tiny.pictures(7)):
    images.write(root / f"data/held_out/{i}.png", picture)
  about = {
      "source": "/photos/my cats", "size": 64, "pictures": 1234, "held_out": 7,
      "labels": True, "skipped": {"bad<1>.jpg": "cut off"},
  }  # fmt: skip
  (root / "data/about.json").write_text(json.dumps(about))
  tiny.write_weights(root / "editor")
  found = {}
  for name, low, high, others in (
      ("smile", -3, 2, 0.4), ("pca1", -1, 1, None), ("hat", 0, 2, 0.1)
  ):
    files.write_fitted(
        root / f"editor/directions/{name}.npz",
        np.random.default_rng(len(name)).standard_normal(512),
        files.About("PCA", f"+ more {name}", low, high),
    )
    found[name] = {} if others is None else {"others_mean": others}
  (root / "editor/directions/report.json").write_text(
      json.dumps({"directions": found, "left_out": {"scar": "too rare"}})
  )
  (root / "evaluation").mkdir()
  for method, l2 in (("e4e", 0.12345), ("sfe", 0.0234)):
    results = {"l2": l2, "fid": 10.0, "standard_errors": {"l2": 0.1}}
    document = json.dumps({"results": results})
    (root / f"evaluation/{method}.json").write_text(document)
  lines = [
      {"step": s, "grad_norm": 1.0, "loss/total": 1 / s, "loss/a": 2.0,
       "train/steps_per_second": 0.5}
      for s in (50, 75, 100)
  ]  # fmt: skip
  lines += [{"step": 100, "validation/loss": 0.5, "validation/a": 3.0}]
  for name in steps.STAGES:
    write_run(root / name, 100, lines)
  images.write(
      root / "weights/directions/sheet.png", np.full((9, 8, 3), 7, np.uint8)
  )
  return root


@pytest.fixture(scope="module")
def found(out):
  found = summary.gather(out)
  report.write(out, found)
  return found


@pytest.fixture(scope="module")
def text(out, found):
  return (out / "report.html").read_text()


def decoded(text):
  return [
      np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
      for data in re.findall('src="data:image/png;base64,([^"]*)"', text)
  ]


def test_the_page_needs_nothing_else(text):
  sources = []

  class Reader(parser.HTMLParser):

    def handle_starttag(self, tag, attrs):
      assert tag not in ("script", "link", "iframe")
      sources.extend(v for k, v in attrs if k in ("src", "href"))

  Reader().feed(text)
  pictures = [s for s in sources if s.startswith("data:image/png;base64,")]
  curves = [s for s in sources if s.startswith("data:image/svg+xml;base64,")]
  assert len(pictures) == 6  # inversions, three edits, all edits, samples
  assert len(curves) == 5 and len(sources) == 11
  assert "url(" not in text and "@import" not in text


def test_the_page_tells_what_was_found(text):
  assert "An editor for my cats" in text and "1,234 pictures of 64 px" in text
  rows = re.findall("<tr>(.*?)</tr>", text)
  cells = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in rows]
  assert ["L2 (less is better)", "0.1235", "0.0234"] in cells
  assert ["data", "", "0 h 00 min", "", ""] in cells
  assert ["e4e", "100", "1 h 01 min", "0.5", "2 x TPU v4"] in cells
  assert ["all", "", "1 h 02 min", "", ""] in cells
  assert ["hat", "0 to 2", "PCA", "+ more hat"] in cells
  assert ["scar", "too rare"] in cells
  assert ["bad&lt;1&gt;.jpg", "cut off"] in cells
  assert "without labels" not in text and "trial" not in text


def test_the_page_of_unlabelled_pictures_says_what_to_look_at(found):
  about = {**found.about, "labels": False}
  text = page.render(dataclasses.replace(found, about=about, trial_steps=20))
  assert "Compare the left end of each row with its right end" in text
  assert "<td>+ more hat</td>" not in text
  assert "<details open>\n<summary>all edits" in text
  assert "This was a trial of 20 training steps" in text


def test_pictures_of_the_page(out, text):
  inverted, *edited, sheet, made = decoded(text)
  assert inverted.shape == (18 + 2 * 96, 12 * 96, 3)
  assert made.shape == (18 + 4 * 96, 12 * 96, 3)
  first = images.read(out / "data/held_out/0.png")
  shown = np.asarray(Image.fromarray(first).resize((96, 96), 1))
  np.testing.assert_array_equal(inverted[18:114, :96], shown)
  assert (inverted[18:114, 96:192] != inverted[18:114, 192:288]).any()
  # hat has no negative strengths; all show the unedited inversion once.
  assert [e.shape[1] // 96 for e in edited] == [4, 6, 6]
  hat, smile = edited[0], edited[1]
  np.testing.assert_array_equal(hat[18:, 96:192], smile[18:, 288:384])
  assert (sheet == 7).all() and sheet.shape == (9, 8, 3)
  whole = images.read(out / "report.png")
  np.testing.assert_array_equal(whole[: len(inverted), : 12 * 96], inverted)


@pytest.mark.usefixtures("found")
def test_the_next_command_is_one_of_the_editor(out):
  command = shlex.split((out / "next.txt").read_text())
  assert command[:3] == [sys.executable, "-m", "sfe_jax.edit"]
  values = dict(zip(command[3::2], command[4::2]))
  assert values["--weights"] == str(out / "editor")
  assert values["--image"] == str(out / "data/held_out/0.png")
  assert values["--edit"] == "hat=2"  # it moves other attributes least
  directions = Editor.load(out / "editor").directions
  assert edits.parse(["hat=2"], directions)


def test_what_is_missing_is_named_in_one_line(tmp_path):
  path = re.escape(f"{tmp_path}/data/about.json is missing; ")
  with pytest.raises(UserError, match=path):
    cli.run(report, tmp_path)
