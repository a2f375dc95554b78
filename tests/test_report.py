"""The page about a trained domain."""

import base64
import io
import json
import re
import shlex
import subprocess
import sys
from html import parser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sfe_jax import Editor
from sfe_jax.directions import files
from sfe_jax.errors import UserError
from sfe_jax.photos import edits
from sfe_jax.report import page, summary
from sfe_jax.storage import images
from tests import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")


def points(svg):
  """Points of every line of a plot: (n, 2) each."""
  lines = ElementTree.fromstring(svg).findall("polyline")
  return [
      np.array([p.split(",") for p in line.get("points").split()], float)
      for line in lines
  ]


def test_plots_show_both_curves():
  svg = page.plot("a < b", {0: 3.0, 10: 1.0, 20: 2.0}, {5: 2.0, 20: 1.5})
  training, held_out = points(svg)
  assert (np.diff(training[:, 1]) * [1, -1] > 0).all()  # y points down
  np.testing.assert_allclose(held_out[0, 1], training[2, 1])
  np.testing.assert_allclose(held_out[0, 0], training[2, 0] / 4)
  texts = [t.text for t in ElementTree.fromstring(svg).findall("text")]
  assert texts == ["a < b", "1 to 3", "20"]


def test_plots_of_large_and_of_no_differences():
  [line] = points(page.plot("loss", {1: 1000.0, 2: 10.0, 3: 0.1}, {}))
  np.testing.assert_allclose(np.diff(line[:, 1], 2), 0, atol=0.2)  # a straight
  assert np.isfinite(points(page.plot("x", {1: 2.0, 2: 2.0}, {}))[0]).all()
  svg = page.plot("x", {}, {2: 1.0})
  assert len(ElementTree.fromstring(svg).findall("circle")) == 1


def test_long_curves_are_thinned():
  [line] = points(page.plot("x", {i: float(i % 2) for i in range(9_999)}, {}))
  assert 100 < len(line) <= 200
  assert line[-1, 0] == line[:, 0].max() == 270


def test_text_cannot_break_the_page():
  text = page.document(
      "<b>", page.paragraph("1 < 2"), page.code("a && b"),
      page.table(["<i>"], [["x > y"]]), page.heading("<u>"),
  )  # fmt: skip
  assert not re.search("<[biu]>", text)
  assert "1 &lt; 2" in text and "a &amp;&amp; b" in text and "x &gt; y" in text


def test_sheets_are_stacked():
  sizes = ((10, 100), (20, 40), (10, 50), (5, 90))
  sheets = [np.full((*s, 3), i, np.uint8) for i, s in enumerate(sizes)]
  whole = summary.stack(sheets, gap=10)
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


def test_time_counts_every_step_once(tmp_path):
  rate = "train/steps_per_second"
  lines = [
      {"step": 100, "loss/total": 3.0, rate: 1.0},
      {"step": 200, "loss/total": 2.0, rate: 4.0},
      {"step": 200, "loss/total": 1.0, rate: 2.0},  # after an interruption
  ]
  write_run(tmp_path / "e4e", 200, lines, starts=2)
  stage = summary.read_stage(tmp_path, "e4e")
  assert stage.hours == pytest.approx((100 / 1 + 100 / 2) / 3600)
  assert stage.curves == {"loss/total": {100: 3.0, 200: 1.0}}
  assert (stage.steps, stage.device) == (200, "2 x TPU v4")
  with pytest.raises(UserError, match="phase1/config.json is missing"):
    summary.read_stage(tmp_path, "phase1")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
  """What the chain would leave, of tiny random networks."""
  root = tmp_path_factory.mktemp("chain")
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
      for s in (50, 100)
  ]  # fmt: skip
  lines += [{"step": 100, "validation/loss": 0.5, "validation/a": 3.0}]
  for name in summary.STAGES:
    write_run(root / name, 100, lines)
  summary.write(root)
  return root


def decoded(text):
  return [
      np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
      for data in re.findall('src="data:image/png;base64,([^"]*)"', text)
  ]


def test_the_page_needs_nothing_else(out):
  text = (out / "report.html").read_text()
  sources = []

  class Reader(parser.HTMLParser):

    def handle_starttag(self, tag, attrs):
      assert tag not in ("script", "link", "iframe")
      sources.extend(v for k, v in attrs if k in ("src", "href"))

  Reader().feed(text)
  assert len(sources) == 5  # inversions, three edits, samples
  assert all(s.startswith("data:image/png;base64,") for s in sources)
  assert "url(" not in text and "@import" not in text


def test_the_page_tells_what_was_found(out):
  text = (out / "report.html").read_text()
  assert "An editor for my cats" in text and "1,234 pictures of 64 px" in text
  rows = re.findall("<tr>(.*?)</tr>", text)
  cells = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in rows]
  assert ["L2 (less is better)", "0.1235", "0.0234"] in cells
  assert ["e4e", "100", "0 h 03 min", "2 x TPU v4"] in cells
  assert ["hat", "0 to 2", "PCA", "+ more hat"] in cells
  assert ["scar", "too rare"] in cells
  assert ["bad&lt;1&gt;.jpg", "cut off"] in cells
  plots = [ElementTree.fromstring(s) for s in re.findall("<svg.*?</svg>", text)]
  assert [p[0].text for p in plots] == 5 * ["total", "grad_norm", "a"]
  assert all(len(p.findall("polyline")) == 1 for p in plots)
  assert [len(p.findall("circle")) for p in plots] == 5 * [1, 0, 1]


def test_pictures_of_the_page(out):
  inverted, *edited, made = decoded((out / "report.html").read_text())
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
  sheet = images.read(out / "report.png")
  np.testing.assert_array_equal(sheet[: len(inverted), : 12 * 96], inverted)


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
  done = subprocess.run(
      [sys.executable, "-m", "sfe_jax.report", f"--out={tmp_path}"],
      capture_output=True,
      text=True,
      check=False,
  )
  assert done.returncode == 2
  path = tmp_path / "data/about.json"
  message = f"error: {path} is missing; launch/own_domain.sh makes it\n"
  assert done.stderr == message
