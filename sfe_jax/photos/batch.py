"""Edits picture files batch by batch and writes the results."""

import dataclasses
import pathlib
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm
from absl import logging

from sfe_jax.editor import Editor
from sfe_jax.errors import UserError
from sfe_jax.photos.collect import Masks
from sfe_jax.photos.edits import EditSpec
from sfe_jax.storage import images

FORMATS = ("jpg", "png", "webp")
_SHEET_ROWS = 16
_PATIENCE = 10.0  # seconds for the first batch before a wait is explained


@dataclasses.dataclass(frozen=True)
class Output:
  """What is written.

  Attributes:
    folder: folder to write to.
    format: suffix of the pictures, one of `FORMATS`.
    inversion: also write the unedited inversions.
    grid: also write grid.png with the first pictures and all their versions.
  """

  folder: pathlib.Path
  format: str = "jpg"
  inversion: bool = False
  grid: bool = False


@dataclasses.dataclass
class _Item:
  """A picture on its way through the networks.

  Attributes:
    name: name of its results.
    path: its file.
    pixels: uint8 (size, size, 3).
    mask: float32 (size, size), or None.
    row: the picture and its results, for grid.png.
  """

  name: str
  path: pathlib.Path
  pixels: np.ndarray
  mask: np.ndarray | None
  row: list[np.ndarray] = dataclasses.field(default_factory=list)


class Batches:
  """Edits pictures and writes the results.

  Attributes:
    skipped: reason by path of pictures without results.
  """

  def __init__(
      self,
      editor: Editor,
      edits: Sequence[EditSpec],
      output: Output,
      masks: Masks | None = None,
      resample: str = "lanczos",
  ):
    """Prepares; nothing is read yet.

    Args:
      editor: the networks; its `batch_size` pictures are edited together.
      edits: the versions to make of every picture.
      output: what is written.
      masks: background masks.
      resample: filter that resizes pictures, see `images.fit`.
    """
    self._editor = editor
    self._edits = edits
    self._output = output
    self._masks = masks
    self._resample = resample
    self._rows: list[_Item] = []
    self.skipped: dict[pathlib.Path, str] = {}

  def run(self, paths: Mapping[str, pathlib.Path]) -> None:
    """Works through pictures.

    Pictures that cannot be read, and results that are not finite, are added to
    `skipped`.

    Args:
      paths: file by output name.
    """
    size, total = self._editor.batch_size, len(paths)
    pending: list[_Item] = []
    # None shows the bar on terminals only.
    hidden = True if total < 2 else None
    wait = _ExplainedWait()
    with tqdm.tqdm(total=total, unit="picture", disable=hidden) as bar:
      for name, path in paths.items():
        try:
          pending.append(self._read(name, path))
        except UserError as error:
          self.skipped[path] = str(error)
          bar.update()
        if len(pending) == size:
          with wait:
            self._process(pending, size)
          bar.update(size)
          pending = []
      if pending:
        # A short last batch is padded to a size that is compiled already.
        with wait:
          self._process(pending, size if total > size else len(pending))
        bar.update(len(pending))
    if self._output.grid and self._rows:
      self._write_sheet()

  def _read(self, name: str, path: pathlib.Path) -> _Item:
    size = self._editor.resolution
    pixels = images.square(path, str(path), size, self._resample, warn=True)
    mask = self._masks.read(path, size) if self._masks else None
    return _Item(name, path, pixels, mask)

  def _process(self, items: Sequence[_Item], size: int) -> None:
    """Edits and writes one batch, padded to `size` pictures."""
    padded = [*items, *[items[-1]] * (size - len(items))]
    background = None
    if self._masks:
      background = np.stack([x.mask for x in padded if x.mask is not None])
    pictures = np.stack([item.pixels for item in padded])
    inversion = self._editor.invert(pictures)
    if self._output.inversion or self._output.grid:
      made = np.asarray(self._editor.reconstruct(inversion))
      folder = pathlib.Path("inversion") if self._output.inversion else None
      self._keep(items, made, folder)
    for edit in self._edits:
      edited = self._editor.edit(inversion, edit.strengths, background)
      self._keep(items, np.asarray(edited.image), edit.folder)
    fitting = [item for item in items if item.path not in self.skipped]
    self._rows = [*self._rows, *fitting][:_SHEET_ROWS]

  def _keep(
      self,
      items: Sequence[_Item],
      made: np.ndarray,
      folder: pathlib.Path | None,
  ) -> None:
    """Writes results into a folder of the output, if any, and keeps them.

    Args:
      items: pictures of a batch.
      made: float (at least as many, size, size, 3).
      folder: relative to the output folder; None writes no file.
    """
    for item, picture in zip(items, made):
      try:
        pixels = images.to_uint8(picture)
      except UserError as error:
        self.skipped[item.path] = f"{folder or 'inversion'}: {error}"
        continue
      if self._output.grid:
        item.row.append(pixels)
      if folder is not None:
        name = f"{item.name}.{self._output.format}"
        path = self._output.folder / folder / name
        images.write(path, pixels)
        logging.info("wrote %s", path)

  def _write_sheet(self) -> None:
    """Writes grid.png: a row per picture, a column per version."""
    if len(self._rows) == _SHEET_ROWS:
      logging.info("grid.png shows the first %d pictures", _SHEET_ROWS)
    titles = ["input", "inversion", *(edit.title for edit in self._edits)]
    rows = [[item.pixels, *item.row] for item in self._rows]
    captions = [item.path.name for item in self._rows]
    path = self._output.folder / "grid.png"
    images.write(path, images.grid(rows, titles, captions=captions))
    logging.info("wrote %s", path)


class _ExplainedWait:
  """Explains a long first batch, which is mostly compilation."""

  def __init__(self):
    text = (
        "still working: the first batch compiles the networks, which can take a"
        " minute; later runs reuse the compiled code"
    )
    self._timer = threading.Timer(_PATIENCE, logging.info, [text])
    self._timer.daemon = True
    self._started = False

  def __enter__(self) -> None:
    if not self._started:
      self._started = True
      self._timer.start()

  def __exit__(self, *_: object) -> None:
    self._timer.cancel()
