"""Converts a folder of pictures to a training set of small files.

  DST/pictures/a/b.png   pictures to train on, as `images.square` makes them
  DST/held_out/a/c.png   pictures that are never trained on
  DST/labels.csv         labels of both, if there are any
  DST/about.json         numbers of pictures, and which files were skipped

Pictures keep their names except for the suffix.
"""

import concurrent.futures
import csv
import hashlib
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import tqdm
from absl import logging

from sfe_jax.data.sources import Folder
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, images
from sfe_jax.storage import labels as label_files

PICTURES, HELD_OUT = "pictures", "held_out"
LABELS, ABOUT = "labels.csv", "about.json"
LEAST = 100  # pictures; the largest batch of the toy configs is 64
_HELD_OUT_SHARE = 0.1
_MOST_HELD_OUT = 500


def write(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    size: int,
    labels: str | os.PathLike[str] | None = None,
    threads: int = 4,
) -> dict[str, Any]:
  """Writes DST, which appears complete or not at all.

  A tenth of the pictures, at most 500, is held out.  Which ones depends only on
  their names.

  Args:
    src: folder of pictures, nested, of any size.
    dst: folder to write; new or empty.
    size: height and width of the written pictures, in pixels.
    labels: CSV file with a row for every picture, see `storage.labels`.
    threads: number of threads that decode and encode.

  Returns:
    The content of ABOUT: "source" (path), "size", PICTURES and HELD_OUT (their
    numbers), "labels" (whether there are any), "skipped" (reasons by file).

  Raises:
    UserError: `dst` lies in `src` or is not empty, there are fewer than LEAST
      pictures, or the labels do not fit them.
  """
  src, dst = os.path.abspath(src), pathlib.Path(os.path.abspath(dst))
  _check_places(src, dst)
  folder = Folder(src, size)
  _check_count(src, len(folder), folder.skipped)
  if labels is not None:
    _check_labels(labels, folder.paths)
  places = _places(src, folder.paths)
  with atomic.replacing_folder(dst) as part:
    broken = _convert(folder, part, places, threads)
    skipped = folder.skipped | broken
    places = {k: v for k, v in places.items() if k not in broken}
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
    atomic.write_json(part / ABOUT, about)
  return about


def _check_places(src: str, dst: pathlib.Path) -> None:
  if dst.resolve().is_relative_to(os.path.realpath(src)):
    raise UserError(
        f"{dst} lies in the folder of pictures {src}; choose another --dst"
    )
  if dst.exists() and (not dst.is_dir() or any(dst.iterdir())):
    raise UserError(f"{dst} is not empty; choose another --dst")


def _check_count(src: str, count: int, skipped: Mapping[str, str]) -> None:
  """Raises UserError if there are too few pictures that can be read."""
  if count >= LEAST:
    return
  unread = ""
  if skipped:
    path, reason = next(iter(skipped.items()))
    named = reason if path in reason else f"{path}: {reason}"
    unread = f"; {len(skipped)} more cannot be read, such as: {named}"
  raise UserError(
      f"{src}: {count} pictures are too few to train on; at least {LEAST} are"
      f" needed, and some thousands are better{unread}"
  )


def _check_labels(
    labels: str | os.PathLike[str], paths: list[str]
) -> None:
  """Raises UserError unless there is a row for each picture and no other."""
  table = label_files.read(labels)
  table.of(paths)
  # Labels that cannot become names of edits are refused now, not hours later.
  label_files.label_names(table.schema)
  label_files.read_effects(labels)
  missing = [path for path in table.rows if not os.path.isfile(path)]
  if missing:
    raise UserError(
        f"{table.path} has rows for {len(missing)} files that do not exist,"
        f" such as {missing[0]}; remove these rows"
    )


def _places(src: str, paths: list[str]) -> dict[str, str]:
  """Paths below DST by path of the picture: "pictures/a/b.png"."""
  names: dict[str, str] = {}
  taken: set[str] = set()
  for path in paths:
    stem, suffix = os.path.splitext(os.path.relpath(path, src))
    name = f"{stem}.png"
    if name in taken:  # e.g. a.jpg and a.png in one folder
      name = f"{stem}_{suffix[1:]}.png"
    if name in taken:
      raise UserError(
          f"{path} and another picture would both be written as {name}; rename"
          " one"
      )
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
  """Writes the pictures; returns why some cannot be read, by path."""

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
          pool.map(one, range(len(folder))),
          total=len(folder),
          unit="picture",
          disable=None,
      )
      return {p: r for p, r in zip(folder.paths, reasons) if r is not None}
    finally:
      pool.shutdown(cancel_futures=True)


def _write_labels(
    labels: str | os.PathLike[str], dst: pathlib.Path, places: dict[str, str]
) -> None:
  """Copies the rows of the written pictures, with their new paths."""
  folder = os.path.dirname(os.path.abspath(labels))
  with (
      open(labels, encoding="utf-8-sig", newline="") as source,
      open(dst, "w", encoding="utf-8", newline="") as target,
  ):
    rows = csv.reader(source)
    writer = csv.writer(target, lineterminator="\n")
    header = [name.strip() for name in next(rows)]
    writer.writerow(header)
    column = header.index(label_files.FILE)
    for row in filter(None, rows):
      path = os.path.normpath(os.path.join(folder, row[column].strip()))
      if path in places:
        row[column] = places[path]
        writer.writerow(row)
