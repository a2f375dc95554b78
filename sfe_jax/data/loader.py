"""Batches for training and validation, the same for any number of processes.

Batch k holds the same pictures, mirrored alike and in the same order, however
many processes and threads load it; process p of n gets the p-th n-th of it.
"""

import dataclasses
import os
from typing import Any

import grain
import numpy as np
from absl import logging

from sfe_jax.data.batch import Batch
from sfe_jax.data.sources import Labelled, Source, open_source
from sfe_jax.errors import UserError
from sfe_jax.storage import labels as label_files

_TRIES = 16
_SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class Subset:
  """Some pictures of a source.

  Attributes:
    source: all pictures.
    indices: (n,) int, which of them.
  """

  source: Source
  indices: np.ndarray

  @property
  def resolution(self) -> int:
    """Of the pictures."""
    return self.source.resolution

  @property
  def paths(self) -> list[str]:
    """Of the pictures, if the source is a folder."""
    return [self.source.paths[i] for i in self.indices]

  def __len__(self) -> int:
    return len(self.indices)

  def __getitem__(self, index: int) -> np.ndarray:
    return self.source[int(self.indices[index])]


def hold_out(source: Source, count: int) -> tuple[Subset, Subset]:
  """Splits a source in two, the same way in every run whatever its seed.

  Args:
    source: all pictures.
    count: how many to hold out.

  Returns:
    Those to train on; those held out.

  Raises:
    UserError: more than half of the set would be held out.
  """
  total = len(source)
  if not 0 <= count <= total // 2:
    raise UserError(
        f"data.validation_count {count}: at most half of the {total} pictures"
        f" may be held out; choose 0 to {total // 2}, or name others in"
        " data.validation_path"
    )
  # RandomState's numbers never change with numpy's version.
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
  """The pictures to train on and to validate with, as config.data says.

  Args:
    kind: config.data.source: "folder", "array_record" or "tfds".
    path: folder, shards (folder or pattern), or TFDS' data_dir.
    resolution: of the pictures.
    name: of the TFDS set.
    split: of the TFDS set.
    validation_path: where pictures of the same kind for validation lie, which
      are all used; of a TFDS set the name of another split.  "" holds out
      `validation_count` of the training set instead.
    validation_count: see `hold_out`.

  Returns:
    (train, validation).

  Raises:
    UserError: see `open_source` and `hold_out`; or the validation pictures are
      also among those to train on.
  """
  source = open_source(kind, path, resolution, name, split)
  if not validation_path:
    return hold_out(source, validation_count)
  if kind == "tfds":
    overlap = validation_path == split
    where = (path, resolution, name, validation_path)
  else:
    paths = [os.path.realpath(p) for p in (path, validation_path)]
    overlap = os.path.commonpath(paths) in paths
    where = (validation_path, resolution)
  if overlap:
    raise UserError(
        f"data.validation_path {validation_path} overlaps with what is trained"
        f" on, {split if kind == 'tfds' else path}; name other pictures, or"
        ' "" to hold some out'
    )
  return source, open_source(kind, *where)


def label(
    sets: tuple[Source, Source], path: str | os.PathLike
) -> tuple[Labelled, Labelled]:
  """Gives every picture of both sets its label.

  Args:
    sets: of a folder, or of two; see `open_sets`.
    path: of the CSV file that has the labels of all, see `labels.read`.

  Raises:
    UserError: the pictures are not files; see `labels.read`, `Table.of`.
  """
  table = label_files.read(path)
  files = [getattr(source, "paths", None) for source in sets]
  if None in files:
    raise UserError(
        f"labels of {path} are by file: they need data.source folder; or set"
        ' data.labels to "" for none'
    )
  idle = len(table.rows) - sum(map(len, files))
  if idle:
    logging.warning("%s: %d rows are of no picture here", table.path, idle)
  train, held_out = (
      Labelled(source, table.of(f)) for source, f in zip(sets, files)
  )
  return train, held_out


def _element(source: Source, index: int) -> dict[str, np.ndarray]:
  """{"image": uint8 picture}, and its "label" where the source has them."""
  element = {"image": source[index]}
  if isinstance(source, Labelled):
    element["label"] = source.labels[index]
  return element


@dataclasses.dataclass(frozen=True)
class _Replacing:
  """A source that gives the next readable picture for an unreadable one.

  Gives `_element`s.
  """

  source: Source
  known: set[int] = dataclasses.field(default_factory=set)

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    tries = min(_TRIES, len(self))
    for offset in range(tries):
      i = (index + offset) % len(self)
      try:
        return _element(self.source, i)
      except UserError as error:
        if i not in self.known:
          self.known.add(i)
          logging.warning("%s; another picture takes its place", error)
        last = error
    raise UserError(
        f"{tries} pictures in a row cannot be read; is their disk still there?"
        f" The last: {last}"
    )


@dataclasses.dataclass(frozen=True)
class _Padded:
  """A source padded to whole batches; unreadable pictures are padding too.

  Gives `_element`s with another entry, "mask": bool.
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
  """Mirrors the image of an element left to right with probability 1/2."""

  def random_map(
      self, element: dict[str, np.ndarray], rng: np.random.Generator
  ) -> dict[str, np.ndarray]:
    if rng.random() >= 0.5:
      return element
    return element | {"image": element["image"][:, ::-1]}


class _Share(grain.MapDataset):
  """One process' part of a stream of batches of all processes.

  Taking every n-th batch of the small ones instead of every n-th element keeps
  the order within a batch, hence what each device sees.
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
    raise UserError(f"data.threads is 0 or more, not {threads}")
  # Two batches of pictures, not grain's 500, wait in memory.
  options = grain.ReadOptions(
      num_threads=threads, prefetch_buffer_size=max(threads, 2 * share)
  )
  dataset = _Share(dataset, share, process, processes)
  return dataset.to_iter_dataset(options).batch(share, drop_remainder=True)


def _pack(element: dict[str, np.ndarray]) -> Batch:
  return Batch(**element)


def _pack_masked(element: dict[str, np.ndarray]) -> tuple[Batch, np.ndarray]:
  mask = element.pop("mask")
  return _pack(element), mask


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
  """Endless batches for training, each epoch in another order.

  An unreadable picture is replaced by the next readable one, with a warning
  the first time.  Batches run on over the end of an epoch.

  Args:
    source: pictures.
    batch_size: of all processes together.
    seed: of order and mirroring, 0 to 2**32 - 1.
    flip: mirror with probability 1/2; not with labels, which may be of sides.
    threads: that decode; 0 decodes when a batch is asked for.
    process: which this is.
    processes: how many there are.

  Returns:
    Iterator of Batch: image uint8 (batch_size / processes, resolution,
    resolution, 3), and label if `source` is `Labelled`.  Its state for
    `grain.checkpoint`, or `get_state` and `set_state`, is
    {"next_index": batches * batch_size / processes}, so that another number of
    processes can go on from it too.

  Raises:
    UserError: bad numbers; or while iterating, hardly a picture is readable.
  """
  if not 0 <= seed < 2**32:
    raise UserError(f"seed is 0 to 2**32 - 1, not {seed}")
  if flip and isinstance(source, Labelled):
    raise UserError(
        "data.flip would mirror pictures whose labels may tell left from right;"
        ' set data.flip False, or data.labels "" for none'
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
  """All pictures once, in order, without mirroring.

  Every process gets equally many batches.

  Args:
    source: pictures; may be empty.
    batch_size: of all processes together.
    threads: that decode; 0 decodes when a batch is asked for.
    process: which this is.
    processes: how many there are.

  Returns:
    Iterable, each time from the start, of (Batch, mask): image as `loader`
    gives it, mask bool (n,).  Where it is False, at the end of the last batch
    or instead of an unreadable picture, the image is black and does not count.

  Raises:
    UserError: bad numbers.
  """
  dataset = grain.MapDataset.source(_Padded(source, batch_size))
  batches = _batches(dataset, batch_size, threads, process, processes)
  return batches.map(_pack_masked)
