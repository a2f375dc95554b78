"""Writes drawn faces as an image folder with labels."""

import concurrent.futures
import csv
import io
import json
import multiprocessing
import os
import pathlib

import tqdm

from sfe_jax.drawn_faces.faces import ATTRIBUTES, Face, sample
from sfe_jax.drawn_faces.portrait import draw
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, images

LABELS = "labels.csv"
MOST = 1_000_000
_ABOUT = "domain.json"
_FOLDER = 1000
_CHUNK = 50
_HEADER = ("file", *ATTRIBUTES, "out_of_domain")


def name(index: int) -> str:
  """A picture's path in its folder: 7 -> "000/000007.png"."""
  return f"{index // _FOLDER:03d}/{index:06d}.png"


def write(
    folder: str | os.PathLike,
    count: int,
    size: int,
    seed: int = 0,
    start: int = 0,
    processes: int = 1,
) -> int:
  """Draws faces start .. start + count - 1 of a seed into a folder.

  Pictures that are there stay; labels.csv, which is written last, tells the
  attributes of these and of all faces labelled there before.

  Args:
    folder: where to; made if missing.
    count: faces.
    size: height and width in pixels.
    seed: of all faces.
    start: index of the first.
    processes: that draw at a time.

  Returns:
    How many pictures were drawn.

  Raises:
    UserError: indices too large, or the folder holds faces of another seed or
      size.
  """
  if start + count > MOST:
    raise UserError(
        f"--start {start} and --count {count}: indices end at {MOST - 1}; use"
        " another --seed for more faces"
    )
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  _claim(folder, {"seed": seed, "size": size})
  rows = _labelled(folder)
  drawn = 0
  stop = start + count
  jobs = [
      (folder, size, seed, i, min(i + _CHUNK, stop))
      for i in range(start, stop, _CHUNK)
  ]
  with tqdm.tqdm(total=count, unit="face") as bar:
    for job, (new, lines) in zip(jobs, _run(jobs, processes)):
      drawn += new
      rows.update(lines)
      bar.update(job[4] - job[3])
  text = "".join(rows[key] for key in sorted(rows))
  atomic.write_text(folder / LABELS, _line(_HEADER) + text)
  return drawn


def _run(jobs, processes: int):
  """Results of all jobs, in order."""
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


def _draw_some(job) -> tuple[int, dict[str, str]]:
  """Draws what is missing: their number, and all lines for labels.csv."""
  folder, size, seed, start, stop = job
  new, lines = 0, {}
  for index in range(start, stop):
    face = sample(seed, index)
    path = folder / name(index)
    lines[name(index)] = _line(_row(name(index), face))
    if not path.exists():
      images.write(path, draw(face, size))
      new += 1
  return new, lines


def _row(file: str, face: Face) -> list[str]:
  values = [
      value if isinstance(value, str) else repr(value)
      for value in face.attributes.values()
  ]
  return [file, *values, str(int(face.out_of_domain))]


def _line(fields) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerow(fields)
  return text.getvalue()


def _claim(folder: pathlib.Path, about: dict[str, int]) -> None:
  """Notes what the folder holds, or checks that it holds the same."""
  path = folder / _ABOUT
  if not path.exists():
    atomic.write_text(path, json.dumps(about) + "\n")
    return
  found = atomic.read_json(path, advice=f"remove {folder}")
  if found != about:
    raise UserError(
        f"{folder} holds faces of {found}, not {about}; name another --dst"
    )


def _labelled(folder: pathlib.Path) -> dict[str, str]:
  """The lines of labels.csv by file, none where it is missing."""
  path = folder / LABELS
  if not path.exists():
    return {}
  header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
  if header != _line(_HEADER):
    raise UserError(f"{path} has other columns; name another --dst")
  return {line.partition(",")[0]: line for line in lines}
