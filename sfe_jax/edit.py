r"""Inverts and edits pictures from the command line.

  python -m sfe_jax.edit --weights weights --image photo.jpg \
      --edit age=5 --edit fs_smiling=-3 --out out

Several --edit add up in one picture; "age=-5,0,5" makes one per strength.
Pictures are written as OUT/EDIT/edit_power_5.0000/NAME.jpg and
OUT/inversion/NAME.jpg.  Exit code: 0 done, 1 some pictures were skipped, 2
wrong usage.
"""

import collections
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import tqdm
from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.architecture import Architecture
from sfe_jax.directions import (
    Registry,
    parse_strengths,
    range_text,
    table,
)
from sfe_jax.editor import OPTIONAL, Editor, registry
from sfe_jax.errors import UserError
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import atomic, images, weights

FLAGS = flags.FLAGS

_GRID_ROWS = 16


@dataclasses.dataclass(frozen=True)
class Job:
  """One edited version of every picture: strengths by name."""

  strengths: dict[str, float]

  @property
  def folder(self) -> pathlib.Path:
    """EDIT/edit_power_5.0000, several joined by "+" and "_"."""
    powers = "_".join(f"{s:.4f}" for s in self.strengths.values())
    return pathlib.Path("+".join(self.strengths)) / f"edit_power_{powers}"

  @property
  def title(self) -> str:
    """For grids: "age 5"."""
    return ", ".join(f"{name} {s:g}" for name, s in self.strengths.items())


def parse_edits(specs: Sequence[str], registry: Registry) -> list[Job]:
  """["age=-5,5", "smile=3"] -> two jobs, each with both edits.

  Raises:
    UserError: not NAME=STRENGTH, an unknown name, or lists of other lengths.
  """
  parsed = {}
  for name, strengths in parse_strengths(specs, "--edit").items():
    entry = registry.entry(name)
    registry.get(entry.name)
    if entry.name in parsed:
      raise UserError(f"--edit {entry.name} is given twice; use one list")
    for strength in strengths:
      if not entry.in_range(strength):
        logging.warning(
            "%s %g is outside the useful range %s",
            entry.name, strength, range_text(entry.low, entry.high),
        )
    parsed[entry.name] = strengths
  lengths = {len(s) for s in parsed.values()} - {1}
  if len(lengths) > 1:
    raise UserError(
        f"lists of strengths must have one length, got {sorted(lengths)}"
    )
  count = max(lengths, default=1)
  return [
      Job({n: s[i % len(s)] for n, s in parsed.items()})
      for i in range(count if parsed else 0)
  ]


def collect(
    image: Sequence[str], folder: str | None
) -> dict[str, pathlib.Path]:
  """Pictures by output name, which is the file's name without suffix.

  Raises:
    UserError: no picture, one that does not exist, or two that would get one
      name.
  """
  paths = [pathlib.Path(p) for p in image]
  for path in paths:
    if not path.is_file():
      raise UserError(f"{path}: no such image file")
  paths += images.find(folder) if folder else []
  paths = list(dict.fromkeys(paths))
  if not paths:
    raise UserError("name a picture with --image or a folder with --dir")
  stems = collections.Counter(p.stem for p in paths)
  named: dict[str, pathlib.Path] = {}
  for path in paths:
    name = path.stem
    if stems[name] > 1:
      name = f"{name}_{path.suffix[1:]}"
    if name in named:
      raise UserError(
          f"{named[name]} and {path} would both be written as {name}; rename"
          " one"
      )
    named[name] = path
  return named


def read_mask(mask: str, name: str, size: int) -> np.ndarray:
  """The mask file, or the picture's own in a folder of masks."""
  path = pathlib.Path(mask)
  if path.is_dir():
    fitting = [p for p in images.find(path) if p.stem == name]
    if not fitting:
      raise UserError(f"{path}: no mask named {name}")
    path = fitting[0]
  return images.read_mask(path, size)


def list_edits(
    registry: Registry, as_json: bool, with_missing: bool = True
) -> str:
  """The edits as a table, or as JSON; tells which cannot be used, and why."""
  rows = registry.describe()
  if as_json:
    return json.dumps([dataclasses.asdict(r) for r in rows], indent=1)
  return table(rows, with_missing)


def _registry() -> Registry:
  """The edits, without reading the networks' parameters."""
  if FLAGS.weights and not FLAGS.random_weights:
    folder = weights.require_folder(FLAGS.weights)
    generator = weights.module(folder / "generator", Generator)
  else:
    folder = FLAGS.weights or "weights"
    generator = Architecture().build().generator
  found = registry(folder, generator, FLAGS.domain)
  for path in FLAGS.direction:
    found.add_file(path)
  return found


def _load(directions: Registry) -> Editor:
  options = {
      "dtype": jnp.dtype(FLAGS.dtype),
      "batch_size": FLAGS.batch_size,
      "precision": "highest" if FLAGS.dtype == "float32" else "default",
  }
  if FLAGS.random_weights:
    logging.warning(
        "the weights are random numbers: this shows that the pipeline runs,"
        " the pictures mean nothing"
    )
    editor = Editor.random(Architecture(), **options)
  else:
    editor = Editor.load(
        FLAGS.weights,
        without=tuple(FLAGS.without),
        domain=FLAGS.domain,
        **options,
    )
  editor.directions = directions
  return editor


class Run:
  """Edits pictures batch by batch and writes what comes out."""

  def __init__(self, editor: Editor, jobs: Sequence[Job]):
    self._editor = editor
    self._jobs = jobs
    self._out = pathlib.Path(FLAGS.out)
    self._rows: list[list[np.ndarray]] = []
    self.skipped: dict[pathlib.Path, str] = {}

  def __call__(self, named: dict[str, pathlib.Path]) -> None:
    """Works through pictures given by output name."""
    pending: list[tuple[str, np.ndarray, np.ndarray | None]] = []
    total = len(named)
    hidden = total < 2 or None  # None: where nobody watches
    with tqdm.tqdm(total=total, unit="picture", disable=hidden) as bar:
      for name, path in named.items():
        try:
          pending.append(self._read(name, path))
        except UserError as error:
          self.skipped[path] = str(error)
          bar.update()
        if len(pending) == FLAGS.batch_size:
          self._process(pending)
          bar.update(len(pending))
          pending = []
      if pending:
        # Filled up, so that the last batch needs no compilation of its own.
        fill = FLAGS.batch_size if total > FLAGS.batch_size else 0
        count = len(pending)
        self._process(pending + pending[-1:] * (fill - count), count)
        bar.update(count)
    if FLAGS.grid and self._rows:
      self._write_grid()

  def _read(self, name, path):
    size = self._editor.resolution
    picture = images.fit(images.read(path), size, str(path))
    mask = read_mask(FLAGS.mask, name, size) if FLAGS.mask else None
    return name, picture, mask

  def _process(self, pending, count: int | None = None) -> None:
    """Edits one batch, of which the first `count` are written."""
    names, pictures, masks = zip(*pending)
    names = names[:count]
    pictures = np.stack(pictures)
    background = np.stack(masks) if FLAGS.mask else None
    inversion = self._editor.invert(pictures)
    columns = [pictures]
    if FLAGS.inversion or FLAGS.grid:
      out = images.to_uint8(self._editor.reconstruct(inversion))
      columns.append(out)
      if FLAGS.inversion:
        self._write(pathlib.Path("inversion"), names, out)
    for job in self._jobs:
      edited = self._editor.edit(inversion, job.strengths, background)
      out = images.to_uint8(edited.image)
      columns.append(out)
      self._write(job.folder, names, out)
    if FLAGS.grid:
      self._rows += [list(row) for row in zip(*columns)][:count]
      del self._rows[_GRID_ROWS:]

  def _write(self, folder, names, pictures) -> None:
    for name, picture in zip(names, pictures):
      path = self._out / folder / f"{name}.{FLAGS.format}"
      images.write(path, picture)
      logging.info("wrote %s", path)

  def _write_grid(self) -> None:
    if len(self._rows) == _GRID_ROWS:
      logging.info("the grid shows the first %d pictures", _GRID_ROWS)
    titles = ["input", "inversion", *(job.title for job in self._jobs)]
    path = self._out / "grid.png"
    images.write(path, images.grid(self._rows, titles))
    logging.info("wrote %s", path)


def define_flags() -> None:
  """The flags of this command line."""
  flags.DEFINE_string(
      "weights",
      None,
      "Weight folder (python -m convert), or toy: drawn faces of 32 px.",
  )
  flags.DEFINE_bool(
      "random_weights",
      False,
      "Run networks of random numbers instead: shows that everything works"
      " here, makes no useful picture.",
  )
  flags.DEFINE_multi_enum(
      "without",
      [],
      OPTIONAL,
      "Network to do without, as in the paper's ablations; repeatable.",
  )
  flags.DEFINE_multi_string("image", [], "Picture to edit; repeatable.")
  flags.DEFINE_string("dir", None, "Folder of pictures to edit.")
  flags.DEFINE_multi_string(
      "edit", [], "NAME=STRENGTH or NAME=S1,S2,...; repeatable, edits add up."
  )
  flags.DEFINE_bool("separately", False, "Every --edit by itself instead.")
  flags.DEFINE_multi_string(
      "direction", [], "Your own direction file (.npy, .npz); repeatable."
  )
  flags.DEFINE_string("out", "out", "Output folder.")
  flags.DEFINE_string(
      "mask",
      None,
      "Background mask, or a folder of masks named like the pictures: white"
      " stays as it is.",
  )
  flags.DEFINE_bool("inversion", False, "Also write the unedited inversion.")
  flags.DEFINE_bool("grid", False, "Also write OUT/grid.png: all at a glance.")
  flags.DEFINE_enum(
      "format", "jpg", ["jpg", "png", "webp"], "Format of the pictures."
  )
  flags.DEFINE_bool("list_edits", False, "List the edits and exit.")
  flags.DEFINE_bool("json", False, "With --list_edits: as JSON.")
  flags.DEFINE_enum(
      "domain",
      None,
      ["faces", "cars", "none"],
      "Table of edits; guessed by default. none: your own directions alone.",
  )
  flags.DEFINE_enum(
      "dtype", "float32", ["float32", "bfloat16"], "Compute dtype."
  )
  flags.DEFINE_integer("batch_size", 1, "Pictures that run together.", 1)


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if FLAGS.list_edits:
    table = list_edits(_registry(), FLAGS.json, bool(FLAGS.weights))
    sys.stdout.write(table + "\n")
    return 0
  if not FLAGS.weights and not FLAGS.random_weights:
    raise UserError(
        "name a weight folder with --weights; python -m convert makes one from"
        " the official files"
    )
  named = collect(FLAGS.image, FLAGS.dir)
  if FLAGS.mask and not pathlib.Path(FLAGS.mask).exists():
    raise UserError(f"{FLAGS.mask}: no such mask file or folder")
  if not (FLAGS.edit or FLAGS.inversion or FLAGS.grid):
    raise UserError("nothing to do: give --edit, --inversion or --grid")
  directions = _registry()
  groups = [[e] for e in FLAGS.edit] if FLAGS.separately else [FLAGS.edit]
  jobs = [job for group in groups for job in parse_edits(group, directions)]
  atomic.require_writable(FLAGS.out)
  logging.info("loading %s", FLAGS.weights or "random weights")
  run = Run(_load(directions), jobs)
  logging.info("the first picture on a machine waits a minute for compilation")
  run(named)
  for path, reason in run.skipped.items():
    prefix = "" if str(path) in reason else f"{path}: "
    logging.error("skipped: %s%s", prefix, reason)
  if run.skipped:
    logging.error("%d of %d pictures skipped", len(run.skipped), len(named))
  return 1 if run.skipped else 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
