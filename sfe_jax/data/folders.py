"""A user's folder of pictures as a training set of small files.

  DST/pictures/a/b.png   what to train on, as `images.square` makes it
  DST/held_out/a/c.png   what is never trained on
  DST/labels.csv         labels of both, where there are any
  DST/about.json         how many they are, and what was skipped

Pictures keep their names but for the suffix.
"""

import concurrent.futures
import csv
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any

import tqdm
from absl import logging

from sfe_jax.data.sources import Folder
from sfe_jax.directions.names import label_names
from sfe_jax.errors import UserError
from sfe_jax.storage import images
from sfe_jax.storage import labels as label_files

PICTURES, HELD_OUT = "pictures", "held_out"
LABELS, ABOUT = "labels.csv", "about.json"
LEAST = 100  # pictures; the largest batch of the stages is 64
_HELD_OUT_SHARE = 0.1
_MOST_HELD_OUT = 500


def write(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    size: int,
    labels: str | os.PathLike | None = None,
    threads: int = 4,
) -> dict[str, Any]:
  """Writes DST, which appears complete or not at all.

  A tenth of the pictures, 500 at most, is held out: which depends on their
  names alone.

  Args:
    src: folder of pictures, nested, of any size.
    dst: folder to make.
    size: height and width of what is written.
    labels: CSV file with a row for every picture, see `labels`.
    threads: that decode and encode.

  Returns:
    ABOUT: the source, size, number of pictures of both folders, and reasons of
    what was skipped by name.

  Raises:
    UserError: `dst` lies in `src` or is not empty, there are fewer than LEAST
      pictures, or labels that do not fit them.
  """
  src, dst = os.path.abspath(src), pathlib.Path(os.path.abspath(dst))
  if dst.resolve().is_relative_to(os.path.realpath(src)):
    raise UserError(f"{dst} lies among the pictures of {src}; write elsewhere")
  if dst.exists() and (not dst.is_dir() or any(dst.iterdir())):
    raise UserError(f"{dst} is not empty; choose another --dst")
  folder = Folder(src, size)
  skipped = dict(folder.skipped)
  _check_count(src, len(folder), skipped)
  if labels is not None:
    _check_labels(labels, folder.paths)
  places = _places(src, folder.paths)
  part = dst.with_name(f".{dst.name}.{os.getpid()}")
  part.mkdir(parents=True)
  try:
    broken = _convert(folder, part, places, threads)
    places = {k: v for k, v in places.items() if k not in broken}
    skipped |= broken
    _check_count(src, len(places), skipped)
    if labels is not None:
      _write_labels(labels, part / LABELS, places)
      effects = pathlib.Path(labels).with_name(label_files.EFFECTS)
      if effects.exists():
        shutil.copyfile(effects, part / label_files.EFFECTS)
    held_out = sum(p.startswith(HELD_OUT) for p in places.values())
    about = {
        "source": src,
        "size": size,
        PICTURES: len(places) - held_out,
        HELD_OUT: held_out,
        "labels": labels is not None,
        "skipped": {os.path.relpath(k, src): v for k, v in skipped.items()},
    }
    text = json.dumps(about, indent=1) + "\n"
    (part / ABOUT).write_text(text, encoding="utf-8")
    part.replace(dst)
  finally:
    shutil.rmtree(part, ignore_errors=True)
  return about


def _check_count(src: str, count: int, skipped: dict[str, str]) -> None:
  if count >= LEAST:
    return
  unread = ""
  if skipped:
    path, reason = next(iter(skipped.items()))
    named = reason if path in reason else f"{path}: {reason}"
    unread = f"; {len(skipped)} more cannot be read, such as: {named}"
  raise UserError(
      f"{src}: {count} pictures are too few to train on; {LEAST} are the least,"
      f" some thousands are better{unread}"
  )


def _check_labels(labels: str | os.PathLike, paths: list[str]) -> None:
  """Raises UserError unless rows fit the pictures, and columns can be edits."""
  table = label_files.read(labels)
  table.of(paths)
  label_names(table.schema)  # better refused now than hours later
  label_files.read_effects(labels)
  missing = [path for path in table.rows if not os.path.isfile(path)]
  if missing:
    raise UserError(
        f"{table.path} has rows for {len(missing)} files that do not exist,"
        f" such as {missing[0]}; remove them"
    )


def _places(src: str, paths: list[str]) -> dict[str, str]:
  """Where each picture goes, below DST: "pictures/a/b.png"."""
  names, taken = {}, set()
  for path in paths:
    stem, suffix = os.path.splitext(os.path.relpath(path, src))
    name = f"{stem}.png"
    if name in taken:  # a.jpg beside a.png
      name = f"{stem}_{suffix[1:]}.png"
    if name in taken:
      raise UserError(f"{path} would be written as {name} twice; rename it")
    taken.add(name)
    names[path] = name
  count = min(_MOST_HELD_OUT, int(_HELD_OUT_SHARE * len(paths)))
  order = sorted(
      paths, key=lambda p: hashlib.sha256(names[p].encode()).hexdigest()
  )
  held_out = set(order[:count])
  return {
      path: f"{HELD_OUT if path in held_out else PICTURES}/{name}"
      for path, name in names.items()
  }


def _convert(
    folder: Folder, dst: pathlib.Path, places: dict[str, str], threads: int
) -> dict[str, str]:
  """Writes the pictures; returns reasons of unreadable ones by path."""

  def one(i: int) -> str | None:
    try:
      images.write(dst / places[folder.paths[i]], folder[i])
    except UserError as error:
      logging.warning("skipped: %s", error)
      return str(error)
    return None

  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    try:
      reasons = tqdm.tqdm(
          pool.map(one, range(len(folder))), total=len(folder), unit="picture"
      )
      return {p: r for p, r in zip(folder.paths, reasons) if r is not None}
    finally:
      pool.shutdown(cancel_futures=True)


def _write_labels(
    labels: str | os.PathLike, dst: pathlib.Path, places: dict[str, str]
) -> None:
  """Copies the rows of the pictures that were written, with their places."""
  folder = os.path.dirname(os.path.abspath(labels))
  with (
      open(labels, encoding="utf-8-sig", newline="") as source,
      open(dst, "w", encoding="utf-8", newline="") as target,
  ):
    rows = csv.reader(source)
    writer = csv.writer(target, lineterminator="\n")
    header = [name.strip() for name in next(rows)]
    writer.writerow(header)
    column = header.index("file")
    for row in filter(None, rows):
      path = os.path.normpath(os.path.join(folder, row[column].strip()))
      if path in places:
        row[column] = places[path]
        writer.writerow(row)
