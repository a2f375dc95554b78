"""Writes ArrayRecord shards with one encoded image per record."""

import dataclasses
import io
import itertools
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import grain
import tqdm
from array_record.python import array_record_module
from PIL import Image

from sfe_jax.data.source import Source
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

METADATA = "metadata.json"
FORMATS = ("jpg", "png")
_PER_SHARD = 4096


@dataclasses.dataclass(frozen=True)
class Metadata:
  """Contents of the file METADATA beside the shards.

  Attributes:
    count: number of pictures in all shards.
    size: height and width of the pictures.
    format: "jpg" or "png".
    shards: names of the files, in order.
    source: where the pictures came from.
  """

  count: int
  size: int
  format: str
  shards: Sequence[str]
  source: str


def read_metadata(folder: str | os.PathLike) -> Metadata:
  """Reads the metadata of a folder of shards.

  Raises:
    UserError: the folder has none, or the file is damaged.
  """
  path = pathlib.Path(folder) / METADATA
  advice = "write or copy the shards again"
  content = atomic.read_json(
      path,
      missing=f"{folder}: no shards of python -m sfe_jax.data.prepare here (no"
      f" {METADATA}); name other shards by a pattern, e.g."
      f" {folder}/*.array_record",
      advice=advice,
  )
  try:
    return Metadata(**content)
  except TypeError as error:
    raise UserError(f"{path} is damaged: {error}; {advice}") from error


@dataclasses.dataclass(frozen=True)
class _Encoded:
  """Encoded pictures by index; for an unreadable one, the reason as text."""

  source: Source
  format: str
  quality: int

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> bytes | str:
    try:
      picture = Image.fromarray(self.source[index])
    except UserError as error:
      return str(error)
    out = io.BytesIO()
    if self.format == "jpg":
      picture.save(out, "JPEG", quality=self.quality, subsampling=0)
    else:
      picture.save(out, "PNG")
    return out.getvalue()


def write(
    source: Source,
    dst: str | os.PathLike,
    *,
    size: int,
    origin: str,
    shards: int = 0,
    format: str = "jpg",
    quality: int = 95,
    overwrite: bool = False,
    threads: int = 4,
) -> tuple[Metadata, list[str]]:
  """Writes pictures as shards, in order; `dst` appears complete or not at all.

  Args:
    source: pictures (size, size, 3) uint8; unreadable ones are skipped.
    dst: folder to write.
    size: height and width of the pictures.
    origin: where the pictures come from, for the metadata.
    shards: number of shards; 0 makes one per 4096 pictures.
    format: "jpg" or "png"; png is exact.
    quality: JPEG quality, 1 to 100.
    overwrite: replace the shards that `dst` holds.
    threads: number of threads that decode and encode.

  Returns:
    The metadata, and the reason for every skipped picture.

  Raises:
    UserError: `dst` may not be written, or no picture can be read.
  """
  dst = pathlib.Path(os.path.abspath(dst))
  _check_free(dst, overwrite)
  total = len(source)
  shards = shards or -(-total // _PER_SHARD)
  if not 0 < shards <= total:
    raise UserError(
        f"--shards must be from 1 to {total} for {total} pictures, got {shards}"
    )
  names = [
      f"images-{i:05d}-of-{shards:05d}.array_record" for i in range(shards)
  ]
  options = grain.ReadOptions(
      num_threads=threads, prefetch_buffer_size=4 * threads
  )
  encoded: Any = _Encoded(source, format, quality)
  dataset = grain.MapDataset.source(encoded).to_iter_dataset(options)
  with atomic.replacing_folder(dst) as part:
    skipped = _write_files(part, names, dataset, total)
    if len(skipped) == total:
      raise UserError(f"none of {total} pictures can be read: {skipped[0]}")
    about = Metadata(total - len(skipped), size, format, names, origin)
    atomic.write_json(part / METADATA, dataclasses.asdict(about))
  return about, skipped


def _check_free(dst: pathlib.Path, overwrite: bool) -> None:
  """Raises UserError unless `dst` is absent, empty or may be overwritten."""
  if not os.path.lexists(dst):
    return
  if not dst.is_dir():
    raise UserError(f"{dst} is not a folder; choose another --dst")
  if not any(dst.iterdir()):
    return
  if not overwrite:
    raise UserError(
        f"{dst} is not empty; choose another --dst, or replace the shards that"
        " it holds with --overwrite"
    )
  read_metadata(dst)


def _write_files(
    folder: pathlib.Path,
    names: Sequence[str],
    encoded: Iterable[bytes | str],
    total: int,
) -> list[str]:
  """Spreads the pictures evenly over the files; returns the errors."""
  skipped: list[str] = []
  encoded, n = iter(encoded), len(names)
  with tqdm.tqdm(total=total, unit="picture", disable=None) as bar:
    for i, name in enumerate(names):
      writer = array_record_module.ArrayRecordWriter(
          str(folder / name), "group_size:1"
      )
      size = (i + 1) * total // n - i * total // n
      for record in itertools.islice(encoded, size):
        if isinstance(record, str):
          skipped.append(record)
        else:
          writer.write(record)
        bar.update()
      writer.close()
  return skipped
