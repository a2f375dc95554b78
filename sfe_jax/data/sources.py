"""Where pictures come from: random access to square uint8 pictures.

Every source gives uint8 RGB (resolution, resolution, 3) as `images.square`
makes it.
"""

import concurrent.futures
import dataclasses
import glob
import io
import os
from collections.abc import Sequence
from typing import Any, Protocol

import grain
import numpy as np
from absl import logging

from sfe_jax.data import shards
from sfe_jax.errors import UserError
from sfe_jax.storage import decoding, images

KINDS = ("folder", "array_record", "tfds")
_CHECK_THREADS = 8
_NAMED = 10


class Source(Protocol):
  """Pictures by index; a picture that cannot be read is a UserError.

  Attributes:
    resolution: height and width of every picture.
  """

  resolution: int

  def __len__(self) -> int:
    ...

  def __getitem__(self, index: int) -> np.ndarray:
    ...


@dataclasses.dataclass(frozen=True)
class Labelled:
  """A source with a label for every picture.

  Attributes:
    source: pictures.
    labels: (n, outputs) float32.
  """

  source: Source
  labels: np.ndarray

  @property
  def resolution(self) -> int:
    """Of the pictures."""
    return self.source.resolution

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> np.ndarray:
    return self.source[index]


class Folder:
  """All image files below a folder, sorted by path; not through links.

  Files whose header is not an image's are left out from the start: `skipped`
  says why.  Damage further inside shows when a picture is read.

  Attributes:
    resolution: of the pictures.
    paths: the files.
    skipped: reason by path.
  """

  def __init__(self, path: str | os.PathLike, resolution: int):
    """Looks at every file's header.

    Raises:
      UserError: no such folder, or no image in it.
    """
    self.resolution = resolution
    found = images.find_below(path)
    with concurrent.futures.ThreadPoolExecutor(_CHECK_THREADS) as pool:
      headers = list(pool.map(_header, found))
    self.paths = [p for p, h in zip(found, headers) if isinstance(h, int)]
    self.skipped = {
        p: h for p, h in zip(found, headers) if isinstance(h, str)
    }
    for name in list(self.skipped)[:_NAMED]:
      logging.warning("%s: skipped: %s", name, self.skipped[name])
    if self.skipped:
      logging.warning(
          "%s: %d of %d files are no readable images and are skipped",
          path, len(self.skipped), len(found),
      )
    if not self.paths:
      raise UserError(
          f"{path}: none of its {len(found)} image files can be read; the"
          f" first: {self.skipped[found[0]]}"
      )
    small = sum(isinstance(h, int) and h < resolution for h in headers)
    if small:
      logging.warning(
          "%s: %d of %d pictures are smaller than %d and are enlarged; fine"
          " detail cannot be learned from them",
          path, small, len(self.paths), resolution,
      )

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, index: int) -> np.ndarray:
    path = self.paths[index]
    return images.square(path, path, self.resolution)


def _header(path: str) -> int | str:
  """The shorter side in pixels, or why the file is no image."""
  try:
    return min(decoding.dimensions(path))
  except UserError as error:
    return str(error)


@dataclasses.dataclass(frozen=True)
class Records:
  """Encoded images out of a sequence of records.

  Attributes:
    records: encoded images, or dicts that hold one.
    name: what errors call the set.
    resolution: of the pictures.
    key: of the image in a dict.
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
  """Shards that `python -m sfe_jax.data.prepare` wrote.

  Args:
    path: their folder; or a pattern like "DIR/*.array_record" for a part of
      them, or for other shards of one encoded image per record.
    resolution: of the pictures; a folder's may not be smaller.

  Raises:
    UserError: no shards, some are missing or damaged, or too small pictures.
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
        " sfe_jax.data.prepare writes shards of a folder of pictures"
    )
  try:
    records = grain.sources.ArrayRecordDataSource(files)
  except (RuntimeError, ValueError) as error:
    raise UserError(
        f"{path}: a shard is damaged, write or copy it again: {error}"
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
  """A set that TensorFlow Datasets prepared, read without TensorFlow.

  Args:
    data_dir: TFDS' folder; "" is its default.
    name: as TFDS writes it: "cars196", "celeb_a_hq/256".
    split: as TFDS writes it: "train", "train[:90%]".
    resolution: of the pictures.

  Raises:
    UserError: TFDS is not installed or does not know the name, the set is not
      prepared or not as array_record, no such split, or no feature "image".
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
  try:
    builder = tensorflow_datasets.builder(name, data_dir=where)
  except ValueError as error:
    reason = str(error).strip().splitlines()[0]
    raise UserError(f"TFDS has no set {name} here: {reason}") from error
  if not builder.data_path.exists():
    raise UserError(
        f"{builder.data_path}: no such set;"
        f" {_prepare_hint(name, where)}"
    )
  if "image" not in builder.info.features:
    raise UserError(
        f'{name} has no feature "image", only {sorted(builder.info.features)}'
    )
  try:
    records = builder.as_data_source(
        split=split,
        decoders={"image": tensorflow_datasets.decode.SkipDecoding()},
    )
  except NotImplementedError as error:
    raise UserError(
        f"{builder.data_path} is not in the format array_record; remove it and"
        f" {_prepare_hint(name, where)}"
    ) from error
  except (ValueError, RuntimeError) as error:
    reason = str(error).strip().splitlines()[0]
    raise UserError(f"{name}, split {split!r}: {reason}") from error
  return Records(records, f"{name} {split}", resolution, key="image")


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
  """The pictures that data.source, data.path, ... name.

  Args:
    kind: "folder", "array_record" or "tfds".
    path: folder, shards (folder or pattern), or TFDS' data_dir.
    resolution: of the pictures.
    name: of the TFDS set.
    split: of the TFDS set.

  Raises:
    UserError: anything is missing, see `Folder`, `array_record`, `tfds`.
  """
  if kind == "folder":
    return Folder(path, resolution)
  if kind == "array_record":
    return array_record(path, resolution)
  if kind == "tfds":
    return tfds(path, name, split, resolution)
  raise UserError(f"data.source is one of {', '.join(KINDS)}, not {kind!r}")
