"""Gathers the results of a chain in its folder OUT, for the report."""

import dataclasses
import functools
import math
import os
import pathlib
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from sfe_jax.data import folders
from sfe_jax.directions import Description, search
from sfe_jax.editor import Editor
from sfe_jax.metrics.methods import EncoderAlone, StyleFeatureEditor
from sfe_jax.own_domain import steps
from sfe_jax.storage import atomic, images, layout, runs

Curve = Mapping[int, float]  # value by step
_TILE, _COLUMNS = 96, 12  # pictures of sheets: pixels, in a row
_INVERTED, _EDITED = 16, 3  # held-out pictures shown
_MOST_EDITS = 10
_SPEED = "train/steps_per_second"
_LEAST_SPEEDS = 3  # for a median that compilation does not decide
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
    titles: one per column.
    rows: uint8 (h, w, 3) pictures.
    caption: description of the pictures.
  """

  titles: Sequence[str]
  rows: Sequence[Sequence[np.ndarray]]
  caption: str = ""

  def sheet(self) -> np.ndarray:
    """The whole strip as one uint8 picture (h, w, 3)."""
    return images.grid(self.rows, self.titles, _TILE)


@dataclasses.dataclass(frozen=True)
class StageSummary:
  """The record of one training run.

  Attributes:
    name: name of the stage.
    steps: number of training steps.
    speed: median of the logged steps per second.  The logged intervals exclude
      validation and the first step of every start, which compiles, but include
      later compilation; so this is None with fewer than three intervals.
    device: number and kind of the devices of the last start.
    curves: {name: value by step}, see `runs.read_curves`.
  """

  name: str
  steps: int
  speed: float | None
  device: str
  curves: Mapping[str, Curve]


@dataclasses.dataclass(frozen=True)
class Directions:
  """The edits that were found.

  Attributes:
    found: attribute directions first, sorted by their mean change of other
      attributes, smallest first.
    left_out: reason by name of a direction that was left out.
    sheet: uint8 overview of all edits on samples; None if there is none.
  """

  found: Sequence[Description]
  left_out: Mapping[str, str]
  sheet: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Summary:
  """Everything that the report shows.

  Attributes:
    about: the return value of `data.folders.write`.
    trial_steps: value of --steps if too small to learn anything, else None.
    stages: the training runs in order.
    seconds: wall-clock time by step of the chain, over all of its runs.
    scores: rows (measure, e4e alone, editor).
    directions: the edits.
    inverted: held-out pictures and their inversions.
    edited: a strip for each of the first edits.
    samples: pictures that the generator makes from random latents.
    command: edits a held-out picture.
  """

  about: Mapping[str, Any]
  trial_steps: int | None
  stages: Sequence[StageSummary]
  seconds: Mapping[str, float]
  scores: Sequence[tuple[str, str, str]]
  directions: Directions
  inverted: Strip
  edited: Sequence[Strip]
  samples: Strip
  command: str


def gather(folder: str | os.PathLike[str]) -> Summary:
  """Reads a chain's folder, and inverts and edits held-out pictures.

  Args:
    folder: OUT of the chain, all steps but the report done.

  Raises:
    UserError: a result of the chain is missing or damaged.
  """
  out = pathlib.Path(folder)
  about = _read(out / steps.DATA / folders.ABOUT)
  stages = [read_stage(out, name) for name in steps.STAGES]
  scores = read_scores(out)
  held_out = images.find_below(out / steps.DATA / folders.HELD_OUT)
  pictures = np.stack([images.read(p) for p in held_out[:_INVERTED]])
  editor = Editor.load(out / steps.EDITOR, batch_size=len(pictures))
  directions = read_directions(out, editor)
  shown = directions.found[:_MOST_EDITS]
  return Summary(
      about=about,
      trial_steps=_trial_steps(out),
      stages=stages,
      seconds=_read(out / steps.TIMES) if (out / steps.TIMES).exists() else {},
      scores=scores,
      directions=directions,
      inverted=inversions(editor, pictures),
      edited=edits(editor, shown, pictures[:_EDITED], about["labels"]),
      samples=samples(editor),
      command=_command(out, directions.found[0], held_out[0]),
  )


def read_stage(out: pathlib.Path, name: str) -> StageSummary:
  """Reads the record of the run OUT/NAME.

  Raises:
    UserError: there is no such run.
  """
  files = layout.CONFIG, layout.STARTS
  config, starts = (_read(out / name / f) for f in files)
  curves = runs.read_curves(out / name)
  speeds = curves.pop(_SPEED, {}).values()
  speed = statistics.median(speeds) if len(speeds) >= _LEAST_SPEEDS else None
  device = f"{starts[-1]['devices']} x {starts[-1]['device']}"
  return StageSummary(name, config["steps"], speed, device, curves)


def read_scores(out: pathlib.Path) -> list[tuple[str, str, str]]:
  """Rows (measure, e4e alone, editor) of the reports in OUT/evaluation.

  Raises:
    UserError: an evaluation is missing.
  """
  e4e, sfe = (
      _read(out / steps.EVALUATION / f"{method}.json")["results"]
      for method in ("e4e", "sfe")
  )
  return [
      (title, f"{e4e[key]:.4g}", f"{sfe[key]:.4g}")
      for key, title in _MEASURES.items()
      if key in e4e and key in sfe
  ]


def read_directions(out: pathlib.Path, editor: Editor) -> Directions:
  """The directions that were found for the editor.

  Raises:
    UserError: the report of `python -m sfe_jax.directions` is missing.
  """
  report = _read(out / steps.EDITOR / "directions" / search.REPORT)
  found = report["directions"]
  lines = {line.name: line for line in editor.directions.describe()}
  order = sorted(found, key=lambda n: found[n].get("others_mean", math.inf))
  path = out / steps.WEIGHTS / "directions" / search.SHEET
  sheet = images.read(path) if path.exists() else None
  return Directions([lines[n] for n in order], report["left_out"], sheet)


def samples(editor: Editor) -> Strip:
  """Pictures that the generator makes from random latents."""
  generator, variables = editor.models.generator, editor.variables["generator"]
  z = np.random.default_rng(0).standard_normal((2 * _COLUMNS, generator.w_dim))
  w = generator.apply(variables, np.float32(z), method="mapping")
  draw = jax.jit(functools.partial(generator.apply, method="synthesize"))
  rows: list[Sequence[np.ndarray]] = []
  for psi in (0.7, 1.0):
    w_plus = generator.apply(variables, w, psi, method="truncate")
    made = images.to_uint8(draw(variables, w_plus))
    rows += [list(made[:_COLUMNS]), list(made[_COLUMNS:])]
  caption = (
      "Random latents: the upper rows with truncation 0.7, the lower rows"
      " without truncation."
  )
  return Strip([""] * _COLUMNS, rows, caption)


def inversions(editor: Editor, pictures: np.ndarray) -> Strip:
  """Pictures, uint8 (n, h, w, 3), beside the inversions of both methods."""
  alone = EncoderAlone(editor.models, editor.variables, editor.directions)
  whole = StyleFeatureEditor(editor)
  columns = [
      pictures,
      alone.reconstruct(alone.encode(pictures)),
      whole.reconstruct(whole.encode(pictures)),
  ]
  triples = list(zip(*columns))
  per_row = _COLUMNS // len(columns)
  rows = [
      [tile for triple in triples[i : i + per_row] for tile in triple]
      for i in range(0, len(triples), per_row)
  ]
  caption = (
      "Held-out pictures, each followed by its inversion by e4e alone and by"
      " the editor."
  )
  return Strip(["picture", "e4e", "editor"] * per_row, rows, caption)


def edits(
    editor: Editor,
    lines: Sequence[Description],
    pictures: np.ndarray,
    labelled: bool,
) -> list[Strip]:
  """A strip for each direction, over its useful range.

  Args:
    editor: the editor.
    lines: directions with both ends of their ranges.
    pictures: uint8 (n, h, w, 3), a row each.
    labelled: whether the directions' effects are known, for the captions.
  """
  inversion = editor.invert(pictures)
  strips = []
  for line in lines:
    ends = _ends(line)
    strengths = sorted({0.0, *ends, *(end / 2 for end in ends)})
    edited = editor.edit(inversion, {line.name: strengths}).image
    columns = [pictures, *map(images.to_uint8, edited)]
    titles = ["picture", *(f"{line.name} {s:.3g}" for s in strengths)]
    source = f"{line.name}, found by {line.family}"
    caption = line.effect if labelled else source
    strips.append(Strip(titles, list(zip(*columns)), caption))
  return strips


def _ends(line: Description) -> tuple[float, float]:
  """The useful range; fitted directions always have one."""
  return line.low or 0.0, line.high or 0.0


def _command(out: pathlib.Path, line: Description, picture: str) -> str:
  """A command that edits `picture` with a direction."""
  low, high = _ends(line)
  words = [sys.executable, "-m", "sfe_jax.edit"]
  words += ["--weights", str(out / steps.EDITOR)]
  words += ["--image", picture]
  words += ["--edit", f"{line.name}={high or low:g}", "--grid"]
  return shlex.join([*words, "--out", str(out / "edited")])


def _trial_steps(out: pathlib.Path) -> int | None:
  path = out / steps.SETTINGS
  number = _read(path)["steps"] if path.exists() else None
  return number if number and number < steps.TRIAL_STEPS else None


def _read(path: pathlib.Path) -> Any:
  message = f"{path} is missing; python -m sfe_jax.own_domain FOLDER OUT makes"
  return atomic.read_json(path, f"{message} it")
