"""Directions by name: the release's tables and the user's own files."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Iterable, Sequence

from sfe_jax.directions import cars, faces, files
from sfe_jax.directions.entries import Entry, File
from sfe_jax.directions.families import DirectionData, LatentSpace
from sfe_jax.errors import UserError
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import labels

TABLES: dict[str, tuple[Entry, ...]] = {
    "faces": faces.ENTRIES,
    "cars": cars.ENTRIES,
}
# Files in a weights folder's directions/ that are no direction of their own.
_TEXT_FILES = frozenset({"delta_i_c", "fs3", "S_mean_std"})
_W_DIM = 512  # latent width of the published generators


@dataclasses.dataclass(frozen=True)
class Description:
  """What a list of directions shows.

  Attributes:
    name: to ask for it.
    family: where it comes from.
    low: smallest published strength, None if not published.
    high: largest published strength, None if not published.
    effect: what + and - do.
    available: whether it can be used.
    missing: why not: the missing file, or what does not fit the generator.
  """

  name: str
  family: str
  low: float | None
  high: float | None
  effect: str
  available: bool
  missing: str | None


class Registry:
  """Looks up directions for one generator and one weights folder."""

  def __init__(
      self,
      folder: str | pathlib.Path,
      space: LatentSpace,
      entries: Iterable[Entry],
  ):
    """Starts with `entries`; `load` chooses them by domain."""
    self._folder = pathlib.Path(folder)
    self._space = space
    self._entries: dict[str, Entry] = {}
    self._built: dict[str, DirectionData] = {}
    for entry in entries:
      self._add(entry)

  @classmethod
  def load(
      cls,
      folder: str | pathlib.Path,
      domain: str,
      styles: int,
      widths: Sequence[int],
      w_dim: int = 512,
  ) -> "Registry":
    """The directions of a weights folder.

    Args:
      folder: holds directions/*.npz and mappers/NAME; both may be absent.
      domain: "faces" and "cars" have tables; any other name has only the
        files in directions/.
      styles: the generator's w+ rows.
      widths: input channels of its convolutions.
      w_dim: its latent width.

    Raises:
      UserError: a file has the name of a direction of the tables.
    """
    registry = cls(
        folder,
        LatentSpace(styles, tuple(widths), w_dim),
        TABLES.get(domain, ()),
    )
    known = _TEXT_FILES | {
        entry.stem
        for table in TABLES.values()
        for entry in table
        if hasattr(entry, "stem")
    }
    own = pathlib.Path(folder) / "directions"
    fitted = files.fitted(own)
    for path in sorted(own.glob("*.npz")):
      if path in fitted:
        about = fitted[path]._asdict()
        registry._add(File(path.stem, path=path, **about))
      elif path.stem not in known:
        registry._add(_user_entry(path, path.stem))
    return registry

  @classmethod
  def of_weights(
      cls,
      folder: str | os.PathLike[str],
      generator: Generator,
      domain: str | None = None,
  ) -> "Registry":
    """The directions that a weight folder offers its generator.

    Args:
      folder: weight folder.
      generator: its generator.
      domain: table of directions: "faces", "cars" or "none".  By default
        "none" if w_dim is not 512 or the folder holds fitted directions, i.e.
        for a generator trained by the user; else "cars" at 512 px, the size
        of the published car model, and "faces" at other sizes.

    Raises:
      UserError: a file has the name of a direction of the tables.
    """
    folder = pathlib.Path(folder)
    if not domain:
      fitted = files.fitted(folder / "directions")
      if generator.w_dim != _W_DIM or fitted:
        domain = "none"
      else:
        domain = "cars" if generator.resolution == 512 else "faces"
    return cls.load(
        folder,
        domain,
        generator.styles,
        generator.style_widths,
        generator.w_dim,
    )

  def names(self) -> list[str]:
    """Names of the directions that can be used."""
    return [d.name for d in self.describe() if d.available]

  def describe(self) -> list[Description]:
    """All directions, also those that cannot be used and why."""
    out = []
    for entry in self._entries.values():
      missing = None
      try:
        entry.check(self._folder, self._space)
      except UserError as error:
        missing = str(error)
      out.append(
          Description(
              entry.name,
              entry.family,
              entry.low,
              entry.high,
              entry.effect,
              missing is None,
              missing,
          )
      )
    return out

  def entry(self, name: str) -> Entry:
    """The table's line for `name`.

    Raises:
      UserError: no direction has this name.
    """
    key = labels.name_key(name)
    if key not in self._entries:
      close = difflib.get_close_matches(key, self._entries, 3)
      names = ", ".join(repr(self._entries[k].name) for k in close)
      raise UserError(
          f"unknown direction {name!r}"
          + (f"; did you mean {names}?" if names else "")
          + "; list them all with `python -m sfe_jax.edit --list_edits"
          + f" --weights {self._folder}`"
      )
    return self._entries[key]

  def get(self, name: str) -> DirectionData:
    """The direction as data for `apply`.

    Raises:
      UserError: the name is unknown, a file is missing or does not fit.
    """
    entry = self.entry(name)
    key = labels.name_key(name)
    if key not in self._built:
      try:
        self._built[key] = entry.build(self._folder, self._space)
      except UserError as error:
        raise UserError(
            f"direction {entry.name!r} is not available: {error}"
        ) from error
    return self._built[key]

  def add_file(
      self, path: str | pathlib.Path, name: str | None = None
  ) -> str:
    """Adds a user's direction and returns its name.

    Args:
      path: .npy, or .npz with one array or one called "direction"; shapes as
        in `families.user`.
      name: the file's stem if not given.

    Raises:
      UserError: the file or its shape is wrong, or the name is taken.
    """
    path = pathlib.Path(path)
    entry = _user_entry(path, name or path.stem)
    entry.check(self._folder, self._space)
    self._add(entry)
    return entry.name

  def _add(self, entry: Entry) -> None:
    key = labels.name_key(entry.name)
    if key in self._entries:
      where = f" ({entry.path})" if isinstance(entry, File) else ""
      raise UserError(
          f"the name {entry.name!r}{where} is taken by direction"
          f" {self._entries[key].name!r}; choose another name"
          + ", or domain none, which leaves the published directions out"
          * (not isinstance(self._entries[key], File))
      )
    self._entries[key] = entry


def _user_entry(path: pathlib.Path, name: str) -> File:
  return File(name, f"your direction {path}, + along it", path=path)
