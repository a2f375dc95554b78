"""What launch/own_domain.sh made, gathered from its folder OUT."""

import dataclasses
import functools
import json
import math
import os
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from sfe_jax.data import folders
from sfe_jax.directions import Description, search
from sfe_jax.editor import Editor
from sfe_jax.errors import UserError
from sfe_jax.metrics.methods import EncoderAlone, StyleFeatureEditor
from sfe_jax.report import page
from sfe_jax.storage import atomic, images, runs

PAGE, SHEET, NEXT = "report.html", "report.png", "next.txt"
STAGES = ("generator", "perception", "e4e", "phase1", "phase2")
_TILE, _COLUMNS = 96, 12  # pictures of sheets: pixels, in a row
_INVERTED, _EDITED = 16, 3  # held-out pictures shown
_MOST_EDITS = 10
_MOST_PLOTS = 8
_MEASURES = {
    "l2": "L2 (less is better)",
    "perceptual": "perceptual distance (less)",
    "ms_ssim": "MS-SSIM (more)",
    "identity": "identity (more)",
    "fid": "FID, own features (less)",
}


@dataclasses.dataclass(frozen=True)
class Strip:
  """Rows of pictures under titled columns.

  Attributes:
    titles: of the columns.
    rows: uint8 (h, w, 3) pictures.
    caption: in a user's words.
  """

  titles: Sequence[str]
  rows: Sequence[Sequence[np.ndarray]]
  caption: str = ""

  def sheet(self) -> np.ndarray:
    """All of it as one picture."""
    return images.grid(self.rows, self.titles, _TILE)


@dataclasses.dataclass(frozen=True)
class Stage:
  """What is told of a training run.

  Attributes:
    name: of the stage.
    steps: that were made.
    hours: that they took, without compilation and validation.
    device: what on.
    curves: value by step of every number, see `runs.read_curves`.
  """

  name: str
  steps: int
  hours: float
  device: str
  curves: Mapping[str, page.Curve]


def read_stage(out: pathlib.Path, name: str) -> Stage:
  """What the run OUT/NAME wrote down.

  Raises:
    UserError: there is no such run.
  """
  config, starts = (_json(out / name / f) for f in ("config.json", "run.json"))
  curves = runs.read_curves(out / name)
  hours, before = 0.0, 0
  for step, rate in curves.pop("train/steps_per_second", {}).items():
    hours += (step - before) / rate / 3600
    before = step
  device = f"{starts[-1]['devices']} x {starts[-1]['device']}"
  return Stage(name, config["steps"], hours, device, curves)


def samples(editor: Editor) -> Strip:
  """What the generator makes of random latents."""
  generator, variables = editor.models.generator, editor.variables["generator"]
  z = np.random.default_rng(0).standard_normal((2 * _COLUMNS, generator.w_dim))
  w = generator.apply(variables, np.float32(z), method="mapping")
  draw = jax.jit(functools.partial(generator.apply, method="synthesize"))
  rows = []
  for psi in (0.7, 1.0):
    w_plus = generator.apply(variables, w, psi, method="truncate")
    made = images.to_uint8(draw(variables, w_plus))
    rows += [made[:_COLUMNS], made[_COLUMNS:]]
  caption = "Made of random latents; above with truncation 0.7, below without."
  return Strip([""] * _COLUMNS, rows, caption)


def inversions(editor: Editor, pictures: np.ndarray) -> Strip:
  """Pictures beside what e4e alone and the editor make of them."""
  alone = EncoderAlone(editor.models, editor.variables, editor.directions)
  whole = StyleFeatureEditor(editor)
  columns = [pictures]
  columns += [m.reconstruct(m.encode(pictures)) for m in (alone, whole)]
  triples = list(zip(*columns))
  per_row = _COLUMNS // len(columns)
  rows = [
      [tile for triple in triples[i : i + per_row] for tile in triple]
      for i in range(0, len(triples), per_row)
  ]
  caption = (
      "Held-out pictures, each with what e4e alone and the editor make of it."
  )
  return Strip(["picture", "e4e", "editor"] * per_row, rows, caption)


def directions(out: pathlib.Path, editor: Editor) -> list[Description]:
  """The fitted directions: attributes first, those that move others least.

  Raises:
    UserError: the report of `python -m sfe_jax.directions` is missing.
  """
  found = _json(out / "editor" / "directions" / search.REPORT)["directions"]
  lines = {line.name: line for line in editor.directions.describe()}
  order = sorted(found, key=lambda n: found[n].get("others_mean", math.inf))
  return [lines[name] for name in order]


def edits(
    editor: Editor, lines: Sequence[Description], pictures: np.ndarray
) -> list[Strip]:
  """A strip for each direction, over its useful range."""
  inversion = editor.invert(pictures)
  strips = []
  for line in lines:
    ends = (line.low, line.high)
    strengths = sorted({0.0, *ends, *(end / 2 for end in ends)})
    edited = editor.edit(inversion, {line.name: strengths}).image
    columns = [pictures, *map(images.to_uint8, edited)]
    titles = ["picture", *(f"{line.name} {s:.3g}" for s in strengths)]
    strips.append(Strip(titles, list(zip(*columns)), line.effect))
  return strips


def stack(sheets: Sequence[np.ndarray], gap: int = 12) -> np.ndarray:
  """Sheets on a white one, beside each other where they fit."""
  width = max(sheet.shape[1] for sheet in sheets) + gap
  x = y = height = 0
  places = []
  for sheet in sheets:
    h, w, _ = sheet.shape
    if x + w > width:
      x, y, height = 0, y + height + gap, 0
    places.append((slice(y, y + h), slice(x, x + w)))
    x, height = x + w + gap, max(height, h)
  canvas = np.full((y + height, width, 3), 255, np.uint8)
  for place, sheet in zip(places, sheets):
    canvas[place] = sheet
  return canvas


def numbers(out: pathlib.Path) -> str:
  """Table of what OUT/evaluation says of both methods."""
  found = [
      _json(out / "evaluation" / f"{method}.json")["results"]
      for method in ("e4e", "sfe")
  ]
  rows = [
      [title, *(f"{results[key]:.4g}" for results in found)]
      for key, title in _MEASURES.items()
      if all(key in results for results in found)
  ]
  return page.table(["held-out pictures", "e4e", "editor"], rows)


def training(stages: Sequence[Stage]) -> str:
  """Steps, hours and curves of all stages."""
  rows = [
      [s.name, f"{s.steps:,}", _duration(s.hours), s.device] for s in stages
  ]
  rows.append(["all", "", _duration(sum(s.hours for s in stages)), ""])
  parts = [page.table(["stage", "steps", "time", "on"], rows)]
  parts.append(
      page.paragraph(
          "Times are those of the steps, without compilation and validation."
          " Curves by step: training blue, held-out pictures orange."
      )
  )
  for stage in stages:
    plots = _plots(stage.curves)
    parts += [page.heading(stage.name, 3), page.flow(*plots[:_MOST_PLOTS])]
    if plots[_MOST_PLOTS:]:
      parts.append(page.details("more", page.flow(*plots[_MOST_PLOTS:])))
  return "\n".join(parts)


def _duration(hours: float) -> str:
  minutes = round(60 * hours)
  return f"{minutes // 60} h {minutes % 60:02} min"


def _plots(curves: Mapping[str, page.Curve]) -> list[str]:
  """One for each number, the total loss first."""
  pairs: dict[str, list[page.Curve]] = {}
  for key, curve in curves.items():
    name = key.removeprefix("validation/")
    held_out = name != key
    name = "total" if name == "loss" else name.removeprefix("loss/")
    pairs.setdefault(name, [{}, {}])[held_out] = curve
  order = sorted(pairs, key=lambda name: (name != "total", "/" in name))
  return [page.plot(name, *pairs[name]) for name in order]


def _list(lines: Sequence[Description]) -> str:
  rows = [
      [line.name, f"{line.low:g} to {line.high:g}", line.family, line.effect]
      for line in lines
  ]
  return page.table(["edit", "strengths", "found by", "effect"], rows)


def _left_out(out: pathlib.Path) -> str:
  """Why labels and directions did not become edits."""
  report = _json(out / "editor" / "directions" / search.REPORT)
  rows = [[name, reason] for name, reason in report["left_out"].items()]
  if not rows:
    return ""
  return page.details("left out", page.table(["direction", "why"], rows))


def command(out: pathlib.Path, line: Description, picture: str) -> str:
  """A command that edits `picture` with a direction."""
  words = [sys.executable, "-m", "sfe_jax.edit"]
  words += ["--weights", str(out / "editor")]
  words += ["--image", picture]
  words += ["--edit", f"{line.name}={line.high or line.low:g}", "--grid"]
  return shlex.join([*words, "--out", str(out / "edited")])


def _json(path: pathlib.Path) -> Any:
  try:
    return json.loads(path.read_text())
  except FileNotFoundError:
    raise UserError(
        f"{path} is missing; launch/own_domain.sh makes it"
    ) from None
  except ValueError as error:
    raise UserError(f"{path} cannot be read: {error}") from None


def write(folder: str | os.PathLike) -> tuple[pathlib.Path, pathlib.Path]:
  """Writes PAGE, SHEET and NEXT into OUT.

  Returns:
    Paths of the first two.

  Raises:
    UserError: something of the chain is missing or damaged.
  """
  out = pathlib.Path(folder)
  about = _json(out / "data" / folders.ABOUT)
  stages = [read_stage(out, name) for name in STAGES]
  score = numbers(out)
  held_out = images.find_below(out / "data" / folders.HELD_OUT)
  pictures = np.stack([images.read(p) for p in held_out[:_INVERTED]])
  editor = Editor.load(out / "editor", batch_size=len(pictures))
  made, inverted = samples(editor), inversions(editor, pictures)
  lines = directions(out, editor)
  strips = edits(editor, lines[:_MOST_EDITS], pictures[:_EDITED])
  next_line = command(out, lines[0], held_out[0])
  skipped = about["skipped"]
  summary = (
      f"{about[folders.PICTURES]:,} pictures of {about['size']} px trained"
      f" everything below; {about[folders.HELD_OUT]:,} others were held out."
  )
  text = page.document(
      f"An editor for {pathlib.Path(about['source']).name}",
      page.paragraph(summary),
      page.code(next_line),
      page.heading("Inversion"),
      page.picture(inverted.sheet(), inverted.caption),
      score,
      page.heading("Edits"),
      page.flow(*(page.picture(s.sheet(), s.caption) for s in strips)),
      page.details("all edits", _list(lines)),
      _left_out(out),
      page.heading("Samples of the generator"),
      page.picture(made.sheet(), made.caption),
      page.heading("Training"),
      training(stages),
      page.heading("Files that were skipped") if skipped else "",
      page.table(["file", "reason"], list(skipped.items())) if skipped else "",
  )
  images.write(
      out / SHEET, stack([s.sheet() for s in (inverted, *strips, made)])
  )
  atomic.write_text(out / NEXT, next_line + "\n")
  atomic.write_text(out / PAGE, text)
  return out / PAGE, out / SHEET
