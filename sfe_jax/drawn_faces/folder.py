"""Writes drawn faces to an image folder with labels."""

import concurrent.futures
import csv
import io
import multiprocessing
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tqdm

from sfe_jax.drawn_faces.effects import EFFECTS
from sfe_jax.drawn_faces.faces import ATTRIBUTES, Face, sample
from sfe_jax.drawn_faces.portrait import draw
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, images, labels

LABELS = "labels.csv"
MOST = 1_000_000  # indices have six digits in file names
_ABOUT = "drawn_faces.json"  # seed and size of the pictures
_PER_FOLDER = 1000
_PER_JOB = 50
_HEADER = ("file", *ATTRIBUTES, "out_of_domain")


def name(index: int) -> str:
  """Path of a picture relative to its folder: 7 -> "000/000007.png"."""
  return f"{index // _PER_FOLDER:03d}/{index:06d}.png"


def write(
    folder: str | os.PathLike,
    count: int,
    size: int,
    seed: int = 0,
    start: int = 0,
    processes: int = 1,
) -> int:
  """Draws the faces start to start + count - 1 of a seed into a folder.

  Existing pictures are kept.  labels.csv is written last; rows of other faces
  that it had before are kept too.  effects.json says what edits of the
  attributes do, see `labels.read_effects`.

  Args:
    folder: path of the folder, created if missing.
    count: number of faces.
    size: height and width in pixels.
    seed: random seed of the faces.
    start: index of the first face.
    processes: number of parallel processes.

  Returns:
    Number of pictures drawn.

  Raises:
    UserError: an index is too large, or the folder holds other pictures: faces
      of another seed or size, or a labels.csv with other columns.
  """
  if start + count > MOST:
    raise UserError(
        f"the largest index is {MOST - 1}, got --start {start} and --count"
        f" {count}; use another --seed for more faces"
    )
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  _claim(folder, {"seed": seed, "size": size})
  rows = _labelled(folder)
  drawn = 0
  stop = start + count
  jobs = [
      _Job(folder, size, seed, i, min(i + _PER_JOB, stop))
      for i in range(start, stop, _PER_JOB)
  ]
  with tqdm.tqdm(total=count, unit="face", disable=None) as bar:
    for job, (new, lines) in zip(jobs, _run(jobs, processes)):
      drawn += new
      rows.update(lines)
      bar.update(job.stop - job.start)
  atomic.write_json(folder / labels.EFFECTS, dict(EFFECTS))
  text = "".join(rows[key] for key in sorted(rows))
  atomic.write_text(folder / LABELS, _line(_HEADER) + text)
  return drawn


class _Job(NamedTuple):
  """Faces start to stop - 1 of a seed, to be drawn into a folder."""

  folder: pathlib.Path
  size: int
  seed: int
  start: int
  stop: int


def _run(
    jobs: Sequence[_Job], processes: int
) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields the results of `_draw_some` for all jobs, in order."""
  if processes == 1:
    yield from map(_draw_some, jobs)
    return
  with concurrent.futures.ProcessPoolExecutor(
      min(processes, len(jobs)), multiprocessing.get_context("spawn")
  ) as pool:
    try:
      yield from pool.map(_draw_some, jobs)
    finally:
      pool.shutdown(cancel_futures=True)


def _draw_some(job: _Job) -> tuple[int, dict[str, str]]:
  """Draws the missing pictures of a job.

  Returns:
    The number of pictures drawn, and for each picture, drawn or not, its line
    in labels.csv.
  """
  new, lines = 0, {}
  for index in range(job.start, job.stop):
    face = sample(job.seed, index)
    path = job.folder / name(index)
    lines[name(index)] = _line(_row(name(index), face))
    if not path.exists():
      images.write(path, draw(face, job.size))
      new += 1
  return new, lines


def _row(file: str, face: Face) -> list[str]:
  """Cells of labels.csv; floats are written so that they read back exactly."""
  values = [
      value if isinstance(value, str) else repr(value)
      for value in face.attributes.values()
  ]
  return [file, *values, str(int(face.out_of_domain))]


def _line(fields: Sequence[str]) -> str:
  """One line of a CSV file."""
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerow(fields)
  return text.getvalue()


def _claim(folder: pathlib.Path, about: dict[str, int]) -> None:
  """Records seed and size of a new folder; checks those of an existing one."""
  path = folder / _ABOUT
  if path.exists():
    found = atomic.read_json(path, advice=f"remove {folder}")
    if found != about:
      raise UserError(
          f"{folder} holds faces with {found}, but {about} was asked for; name"
          " another --dst"
      )
  elif (folder / LABELS).exists():
    raise UserError(
        f"{folder} has a {LABELS}, but no {_ABOUT} that gives the seed of its"
        " pictures; name another --dst"
    )
  else:
    atomic.write_json(path, about)


def _labelled(folder: pathlib.Path) -> dict[str, str]:
  """Lines of labels.csv by file name; empty if there is no labels.csv."""
  path = folder / LABELS
  if not path.exists():
    return {}
  header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
  if header != _line(_HEADER):
    raise UserError(
        f"{path} has other columns than drawn faces have; name another --dst"
    )
  return {line.partition(",")[0]: line for line in lines}
