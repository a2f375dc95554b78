"""Batches for training and validation, the same for any number of processes.

Batch k holds the same pictures, mirrored alike and in the same order, for any
number of processes and threads.  Process p of n loads the p-th of n equal parts
of each batch.
"""

import dataclasses
import os
from typing import Any

import grain
import numpy as np
from absl import logging

from sfe_jax.data.batch import Batch
from sfe_jax.data.source import Labelled, Source, files_of
from sfe_jax.data.sources import open_source
from sfe_jax.errors import UserError
from sfe_jax.storage import labels as label_files

_TRIES = 16
_SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class Subset:
  """Some of the pictures of a source.

  Attributes:
    source: all pictures.
    indices: (n,) int, indices of the chosen pictures.
  """

  source: Source
  indices: np.ndarray

  @property
  def resolution(self) -> int:
    """Height and width of every picture."""
    return self.source.resolution

  @property
  def paths(self) -> list[str] | None:
    """Files of the pictures; None if they are not files."""
    paths = files_of(self.source)
    return None if paths is None else [paths[i] for i in self.indices]

  def __len__(self) -> int:
    return len(self.indices)

  def __getitem__(self, index: int) -> np.ndarray:
    return self.source[int(self.indices[index])]


def hold_out(source: Source, count: int) -> tuple[Subset, Subset]:
  """Splits a source in two, the same way in every run and for every seed.

  Args:
    source: all pictures.
    count: number of pictures to hold out.

  Returns:
    The pictures to train on, and the held-out ones.

  Raises:
    UserError: more than half of the pictures would be held out.
  """
  total = len(source)
  if not 0 <= count <= total // 2:
    raise UserError(
        f"data.validation_count {count}: at most half of the {total} pictures"
        f" may be held out; choose 0 to {total // 2}, or name other pictures"
        " with data.validation_path"
    )
  # RandomState draws the same numbers in every version of numpy.
  order = np.random.RandomState(_SPLIT_SEED).permutation(total)
  return (
      Subset(source, order[: total - count]),
      Subset(source, order[total - count :]),
  )


def open_sets(
    kind: str,
    path: str,
    resolution: int,
    *,
    name: str = "",
    split: str = "train",
    validation_path: str = "",
    validation_count: int = 64,
) -> tuple[Source, Source]:
  """Opens the pictures to train on and to validate with.

  Args:
    kind: "folder", "array_record" or "tfds".
    path: folder of pictures, shards (folder or pattern), or TFDS' data_dir.
    resolution: height and width of the pictures.
    name: name of the TFDS data set.
    split: split of the TFDS data set.
    validation_path: place of the validation pictures, which are all used; for
      TFDS the name of another split.  "" holds out `validation_count` of the
      training pictures instead.
    validation_count: number of pictures to hold out.

  Returns:
    Training pictures, and validation pictures.

  Raises:
    UserError: see `open_source` and `hold_out`; or the validation pictures are
      also among the training pictures.
  """
  source = open_source(kind, path, resolution, name, split)
  if not validation_path:
    return hold_out(source, validation_count)
  if kind == "tfds":
    overlap = validation_path == split
    where, validation_split = path, validation_path
  else:
    paths = [os.path.realpath(p) for p in (path, validation_path)]
    overlap = os.path.commonpath(paths) in paths
    where, validation_split = validation_path, split
  if overlap:
    raise UserError(
        f"data.validation_path {validation_path} overlaps with the training"
        f" pictures, {split if kind == 'tfds' else path}; name other pictures,"
        ' or "" to hold some out'
    )
  return source, open_source(kind, where, resolution, name, validation_split)


def label(
    sets: tuple[Source, Source], path: str | os.PathLike
) -> tuple[Labelled, Labelled]:
  """Adds its label to every picture of both sets.

  Args:
    sets: training and validation pictures from folders, see `open_sets`.
    path: CSV file with the labels of all pictures, see `labels.read`.

  Raises:
    UserError: the pictures are not files, or see `labels.read`, `Table.of`.
  """
  table = label_files.read(path)
  files = [files_of(source) for source in sets]
  named = [paths for paths in files if paths is not None]
  if len(named) < len(sets):
    raise UserError(
        f"the labels in {path} name files, so they need data.source folder; or"
        ' set data.labels to "" to train without labels'
    )
  unused = len(table.rows) - sum(map(len, named))
  if unused:
    logging.warning(
        "%s: %d rows name pictures that are not in the data set; they are"
        " ignored", table.path, unused,
    )
  train, held_out = (
      Labelled(source, table.of(paths)) for source, paths in zip(sets, named)
  )
  return train, held_out


def _element(source: Source, index: int) -> dict[str, np.ndarray]:
  """{"image": uint8 picture}, with its "label" if the source has labels."""
  element = {"image": source[index]}
  if isinstance(source, Labelled):
    element["label"] = source.labels[index]
  return element


@dataclasses.dataclass(frozen=True)
class _Replacing:
  """`_element`s of a source; unreadable ones are replaced by the next one.

  Attributes:
    source: pictures.
    known: indices of the unreadable pictures that were reported.
  """

  source: Source
  known: set[int] = dataclasses.field(default_factory=set)

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    tries = min(_TRIES, len(self))
    reason = ""
    for offset in range(tries):
      i = (index + offset) % len(self)
      try:
        return _element(self.source, i)
      except UserError as error:
        if i not in self.known:
          self.known.add(i)
          logging.warning("%s; another picture takes its place", error)
        reason = str(error)
    raise UserError(
        f"{tries} pictures in a row cannot be read; is their disk still"
        f" mounted? The last error: {reason}"
    )


@dataclasses.dataclass(frozen=True)
class _Padded:
  """`_element`s of a source, padded to whole batches.

  Each has the entry "mask", a bool that is False for padding.  Unreadable
  pictures count as padding.
  """

  source: Source
  batch_size: int

  def __len__(self) -> int:
    return -(-len(self.source) // self.batch_size) * self.batch_size

  def __getitem__(self, index: int) -> dict[str, Any]:
    if index < len(self.source):
      try:
        return _element(self.source, index) | {"mask": np.True_}
      except UserError as error:
        logging.warning("%s; validation goes on without it", error)
    size = self.source.resolution
    empty = {"image": np.zeros((size, size, 3), np.uint8)}
    if isinstance(self.source, Labelled):
      empty["label"] = np.zeros_like(self.source.labels[0])
    return empty | {"mask": np.False_}


@dataclasses.dataclass(frozen=True)
class Flip(grain.transforms.RandomMap):
  """Mirrors an element's image left to right with probability 1/2."""

  def random_map(
      self, element: dict[str, np.ndarray], rng: np.random.Generator
  ) -> dict[str, np.ndarray]:
    if rng.random() >= 0.5:
      return element
    return element | {"image": element["image"][:, ::-1]}


class _Share(grain.MapDataset):
  """One process' part of the batches of all processes.

  It takes every n-th part of a batch rather than every n-th element.  This
  keeps the order within a batch, hence what each device sees.
  """

  def __init__(
      self,
      parent: grain.MapDataset,
      share: int,
      process: int,
      processes: int,
  ):
    super().__init__(parent)
    self._share = share
    self._process = process
    self._processes = processes

  def __len__(self) -> int:
    return len(self._parent) // self._processes

  def __getitem__(self, index: int) -> Any:
    batch, i = divmod(index, self._share)
    return self._parent[
        (batch * self._processes + self._process) * self._share + i
    ]


def _batches(
    dataset: grain.MapDataset,
    batch_size: int,
    threads: int,
    process: int,
    processes: int,
) -> grain.IterDataset:
  share, rest = divmod(batch_size, processes)
  if rest or not share:
    raise UserError(
        f"data.batch_size {batch_size} cannot be split evenly over"
        f" {processes} processes; choose a multiple of {processes}"
    )
  if threads < 0:
    raise UserError(f"data.threads must be 0 or more, got {threads}")
  # Keep two batches of pictures in memory; Grain's default is 500 pictures.
  options = grain.ReadOptions(
      num_threads=threads, prefetch_buffer_size=max(threads, 2 * share)
  )
  dataset = _Share(dataset, share, process, processes)
  return dataset.to_iter_dataset(options).batch(share, drop_remainder=True)


def _pack(element: dict[str, np.ndarray]) -> Batch:
  return Batch(element["image"], element.get("label"))


def _pack_masked(element: dict[str, np.ndarray]) -> tuple[Batch, np.ndarray]:
  return _pack(element), element["mask"]


def loader(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    flip: bool = True,
    threads: int = 4,
    process: int,
    processes: int,
) -> grain.DatasetIterator:
  """Loads endless batches for training, each epoch in another order.

  An unreadable picture is replaced by the next readable one, with a warning
  the first time.  Batches may span the end of an epoch.

  Args:
    source: pictures.
    batch_size: number of pictures per batch, of all processes together.
    seed: random seed of order and mirroring, 0 to 2**32 - 1.
    flip: mirror pictures with probability 1/2; not allowed with labels.
    threads: number of decoding threads; 0 decodes when a batch is requested.
    process: index of this process.
    processes: number of processes.

  Returns:
    Iterator of Batch: image uint8 (batch_size / processes, resolution,
    resolution, 3), and label if `source` is `Labelled`.  Its state, for
    `grain.checkpoint` or `get_state` and `set_state`, is
    {"next_index": batches * batch_size / processes}, so that another number of
    processes can continue from it too.

  Raises:
    UserError: a number is not allowed; while iterating: many pictures in a row
      cannot be read.
  """
  if not 0 <= seed < 2**32:
    raise UserError(f"seed must be from 0 to 2**32 - 1, got {seed}")
  if flip and isinstance(source, Labelled):
    raise UserError(
        "data.flip would mirror pictures whose labels may tell left from right;"
        ' set data.flip False, or data.labels "" to train without labels'
    )
  dataset = grain.MapDataset.source(_Replacing(source)).seed(seed)
  dataset = dataset.shuffle().repeat()
  if flip:
    dataset = dataset.random_map(Flip())
  batches = _batches(dataset, batch_size, threads, process, processes)
  return iter(batches.map(_pack))


def validation_batches(
    source: Source,
    *,
    batch_size: int,
    threads: int = 4,
    process: int,
    processes: int,
) -> grain.IterDataset:
  """Loads all pictures once, in order, without mirroring.

  Every process gets the same number of batches.

  Args:
    source: pictures; may be empty.
    batch_size: number of pictures per batch, of all processes together.
    threads: number of decoding threads; 0 decodes when a batch is requested.
    process: index of this process.
    processes: number of processes.

  Returns:
    Iterable of (Batch, mask) that starts anew each time: image as `loader`
    gives it, mask bool (n,).  Where the mask is False, the image is black
    padding: at the end of the last batch, or for an unreadable picture.

  Raises:
    UserError: a number is not allowed.
  """
  dataset = grain.MapDataset.source(_Padded(source, batch_size))
  batches = _batches(dataset, batch_size, threads, process, processes)
  return batches.map(_pack_masked)
