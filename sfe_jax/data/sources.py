"""Sources of pictures: folders, ArrayRecord shards, TensorFlow Datasets.

A source gives random access to pictures: uint8 RGB (resolution, resolution, 3)
as `images.square` makes them.
"""

import concurrent.futures
import dataclasses
import glob
import io
import os
from collections.abc import Sequence
from typing import Any

import grain
import numpy as np
from absl import logging

from sfe_jax.data import shards
from sfe_jax.data.source import Source
from sfe_jax.errors import UserError
from sfe_jax.storage import decoding, images

KINDS = ("folder", "array_record", "tfds")
_CHECK_THREADS = 8
_NAMED = 10


class Folder:
  """All image files below a folder, sorted by path; links are not followed.

  Files without a valid image header are left out from the start.  Damage
  further inside a file shows when the picture is read.

  Attributes:
    resolution: height and width of the pictures.
    paths: files of the pictures.
    skipped: {path: reason} of the files that were left out.
  """

  def __init__(self, path: str | os.PathLike, resolution: int):
    """Reads the header of every image file.

    Args:
      path: folder of pictures, nested, of any size.
      resolution: height and width of the pictures to give.

    Raises:
      UserError: there is no such folder, or no readable image in it.
    """
    self.resolution = resolution
    found = images.find_below(path)
    with concurrent.futures.ThreadPoolExecutor(_CHECK_THREADS) as pool:
      headers = dict(zip(found, pool.map(_header, found)))
    sizes = {p: h for p, h in headers.items() if isinstance(h, int)}
    self.paths = list(sizes)
    self.skipped = {p: h for p, h in headers.items() if isinstance(h, str)}
    if not self.paths:
      raise UserError(
          f"{path}: none of its {len(found)} image files can be read; the"
          f" first: {self.skipped[found[0]]}"
      )
    self._report(path, sum(size < resolution for size in sizes.values()))

  def _report(self, path: str | os.PathLike, small: int) -> None:
    """Warns of files that were skipped and of `small` pictures."""
    for name in list(self.skipped)[:_NAMED]:
      logging.warning("%s: skipped: %s", name, self.skipped[name])
    if self.skipped:
      logging.warning(
          "%s: %d of %d files are not readable images; they are skipped",
          path, len(self.skipped), len(self.skipped) + len(self),
      )
    if small:
      logging.warning(
          "%s: %d of %d pictures are smaller than %d px and are enlarged; fine"
          " detail cannot be learned from them",
          path, small, len(self), self.resolution,
      )

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, index: int) -> np.ndarray:
    path = self.paths[index]
    return images.square(path, path, self.resolution)


def _header(path: str) -> int | str:
  """The shorter side in pixels, or the reason why the file is not an image."""
  try:
    return min(decoding.dimensions(path))
  except UserError as error:
    return str(error)


@dataclasses.dataclass(frozen=True)
class Records:
  """Encoded images in a sequence of records.

  Attributes:
    records: encoded images, or dicts with an encoded image.
    name: name of the set for error messages.
    resolution: height and width of the pictures.
    key: key of the image in a dict; None if the records are images.
  """

  records: Sequence[Any]
  name: str
  resolution: int
  key: str | None = None

  def __len__(self) -> int:
    return len(self.records)

  def __getitem__(self, index: int) -> np.ndarray:
    name = f"{self.name}, record {index}"
    try:
      record = self.records[index]
    except Exception as error:  # Damaged bytes can raise anything.
      raise UserError(f"{name}: not readable: {error}") from error
    if self.key is not None:
      record = record[self.key]
    return images.square(io.BytesIO(record), name, self.resolution)


def array_record(path: str | os.PathLike, resolution: int) -> Records:
  """Opens shards that `python -m sfe_jax.data.prepare` wrote.

  Args:
    path: folder of the shards; or a pattern such as "DIR/*.array_record" for
      some of them, or for any shards with one encoded image per record.
    resolution: height and width of the pictures; those in a folder of shards
      must not be smaller.

  Raises:
    UserError: shards are missing or damaged, or their pictures are too small.
  """
  if os.path.isdir(path):
    about = shards.read_metadata(path)
    files = [os.path.join(path, name) for name in about.shards]
    if about.size < resolution:
      raise UserError(
          f"{path} holds pictures of {about.size} px, data.resolution is"
          f" {resolution}; run sfe_jax.data.prepare with --size {resolution}"
      )
  else:
    about, files = None, sorted(glob.glob(os.fspath(path)))
  missing = [f for f in files if not os.path.isfile(f)]
  if missing or not files:
    raise UserError(
        f"{missing[0] if missing else path}: no such shard; python -m"
        " sfe_jax.data.prepare makes shards from a folder of pictures"
    )
  try:
    records = grain.sources.ArrayRecordDataSource(files)
  except (RuntimeError, ValueError) as error:
    raise UserError(
        f"{path}: a shard is damaged; write or copy it again: {error}"
    ) from error
  if about is not None and about.count != len(records):
    raise UserError(
        f"{path}: its shards hold {len(records)} pictures,"
        f" {shards.METADATA} says {about.count}; write or copy them again"
    )
  if not len(records):
    raise UserError(f"{path}: its shards hold no picture")
  return Records(records, os.fspath(path), resolution)


def tfds(
    data_dir: str | os.PathLike, name: str, split: str, resolution: int
) -> Records:
  """Opens a data set that TensorFlow Datasets prepared, without TensorFlow.

  Args:
    data_dir: folder of TFDS; "" means its default.
    name: name in TFDS, e.g. "cars196" or "celeb_a_hq/256".
    split: split in TFDS, e.g. "train" or "train[:90%]".
    resolution: height and width of the pictures.

  Raises:
    UserError: TFDS is not installed or does not know the name; the set is not
      prepared as array_record; there is no such split or no feature "image".
  """
  try:
    import tensorflow_datasets
  except ImportError as error:
    raise UserError(
        "data.source tfds needs pip install tensorflow-datasets"
        " importlib_resources"
    ) from error
  if not name:
    raise UserError('data.source tfds needs data.name, e.g. "cars196"')
  where = os.path.expanduser(data_dir) or None
  builder = _tfds_builder(name, where)
  raw = {"image": tensorflow_datasets.decode.SkipDecoding()}
  try:
    records = builder.as_data_source(split=split, decoders=raw)
  except NotImplementedError as error:
    raise UserError(
        f"{builder.data_path} is not in the format array_record; remove it and"
        f" {_prepare_hint(name, where)}"
    ) from error
  except (ValueError, RuntimeError) as error:
    reason = str(error).strip().splitlines()[0]
    raise UserError(f"{name}, split {split!r}: {reason}") from error
  return Records(records, f"{name} {split}", resolution, key="image")


def _tfds_builder(name: str, where: str | None) -> Any:
  """TFDS' builder of a prepared data set with images."""
  import tensorflow_datasets

  try:
    builder = tensorflow_datasets.builder(name, data_dir=where)
  except ValueError as error:
    reason = str(error).strip().splitlines()[0]
    raise UserError(f"TFDS has no set {name} here: {reason}") from error
  if not builder.data_path.exists():
    raise UserError(
        f"{builder.data_path}: no such data set; {_prepare_hint(name, where)}"
    )
  if "image" not in builder.info.features:
    raise UserError(
        f'{name} has no feature "image", only {sorted(builder.info.features)}'
    )
  return builder


def _prepare_hint(name: str, where: str | None) -> str:
  return (
      f"prepare it in Python: tensorflow_datasets.builder({name!r},"
      f" data_dir={where!r}, file_format='array_record').download_and_prepare()"
  )


def open_source(
    kind: str,
    path: str | os.PathLike,
    resolution: int,
    name: str = "",
    split: str = "train",
) -> Source:
  """Opens the pictures that data.source, data.path, ... name.

  Args:
    kind: "folder", "array_record" or "tfds".
    path: folder of pictures, shards (folder or pattern), or TFDS' data_dir.
    resolution: height and width of the pictures.
    name: name of the TFDS data set.
    split: split of the TFDS data set.

  Raises:
    UserError: something is missing, see `Folder`, `array_record`, `tfds`.
  """
  if kind == "folder":
    return Folder(path, resolution)
  if kind == "array_record":
    return array_record(path, resolution)
  if kind == "tfds":
    return tfds(path, name, split, resolution)
  raise UserError(
      f"data.source must be one of {', '.join(KINDS)}, got {kind!r}"
  )
