"""ArrayRecord shards: one encoded image per record, and what is in them."""

import dataclasses
import io
import itertools
import os
import pathlib
from collections.abc import Iterable, Sequence

import grain
import numpy as np
import tqdm
from array_record.python import array_record_module
from PIL import Image

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

METADATA = "metadata.json"
FORMATS = ("jpg", "png")
_PER_SHARD = 4096


@dataclasses.dataclass(frozen=True)
class Metadata:
  """What METADATA says of the shards beside it.

  Attributes:
    count: pictures in all shards.
    size: their height and width.
    format: "jpg" or "png".
    shards: file names, in order.
    source: what they were made of.
  """

  count: int
  size: int
  format: str
  shards: Sequence[str]
  source: str


def read_metadata(folder: str | os.PathLike) -> Metadata:
  """Reads METADATA.

  Raises:
    UserError: the folder has none, or it is damaged.
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
  """Random access to encoded pictures; the reason where one is unreadable."""

  source: Sequence[np.ndarray]
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
    source: Sequence[np.ndarray],
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
    source: uint8 (size, size, 3) each; unreadable ones are skipped.
    dst: folder to make.
    size: of the pictures.
    origin: where they come from, for METADATA.
    shards: number of files; 0 makes one per 4096 pictures.
    format: "jpg" or "png"; png is exact.
    quality: of JPEG, 1 to 100.
    overwrite: replace the shards in `dst`.
    threads: that decode and encode.

  Returns:
    What was written, and why pictures were skipped.

  Raises:
    UserError: `dst` may not be written, or no picture can be read.
  """
  dst = pathlib.Path(os.path.abspath(dst))
  _check_free(dst, overwrite)
  total = len(source)
  shards = shards or -(-total // _PER_SHARD)
  if not 0 < shards <= total:
    raise UserError(f"--shards {shards}: {total} pictures fill 1 to {total}")
  names = [
      f"images-{i:05d}-of-{shards:05d}.array_record" for i in range(shards)
  ]
  options = grain.ReadOptions(
      num_threads=threads, prefetch_buffer_size=4 * threads
  )
  dataset = grain.MapDataset.source(_Encoded(source, format, quality))
  with atomic.replacing_folder(dst) as part:
    skipped = _write_files(part, names, dataset.to_iter_dataset(options), total)
    if len(skipped) == total:
      raise UserError(f"none of {total} pictures can be read: {skipped[0]}")
    about = Metadata(total - len(skipped), size, format, names, origin)
    atomic.write_json(part / METADATA, dataclasses.asdict(about))
  return about, skipped


def _check_free(dst: pathlib.Path, overwrite: bool) -> None:
  """Only an empty folder, or on demand shards of ours, may be replaced."""
  if not os.path.lexists(dst):
    return
  if not dst.is_dir():
    raise UserError(f"{dst} exists and is no folder; choose another --dst")
  if not any(dst.iterdir()):
    return
  if not overwrite:
    raise UserError(
        f"{dst} is not empty; choose another --dst, or --overwrite shards"
    )
  read_metadata(dst)


def _write_files(
    folder: pathlib.Path,
    names: Sequence[str],
    encoded: Iterable[bytes | str],
    total: int,
) -> list[str]:
  """Spreads records evenly over the files; returns the errors among them."""
  skipped = []
  encoded, n = iter(encoded), len(names)
  with tqdm.tqdm(total=total, unit="picture") as bar:
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
