"""Edit directions by name: published tables, fitted directions, user files."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from absl import logging

from sfe_jax.directions import cars, faces, files
from sfe_jax.directions.entries import Entry, File, range_text
from sfe_jax.directions.families import DirectionData, LatentSpace
from sfe_jax.errors import UserError
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage.labels import name_key
from sfe_jax.storage.weights import shown

TABLES: dict[str, tuple[Entry, ...]] = {
    "faces": faces.ENTRIES,
    "cars": cars.ENTRIES,
}
_PUBLISHED_W_DIM = 512
_DOMAIN_OF_RESOLUTION = {1024: "faces", 512: "cars"}
# Official files in a weight folder's directions/ that are not directions.
_TEXT_FILES = frozenset({"delta_i_c", "fs3", "S_mean_std"})


@dataclasses.dataclass(frozen=True)
class Description:
  """One row of a list of directions.

  Attributes:
    name: name of the direction.
    family: method that found the direction.
    low: smallest useful strength, None if it is not known.
    high: largest useful strength, None if it is not known.
    effect: what a positive (+) and a negative (-) strength do.
    remark: side effects and limits, or a better direction for the same edit.
    adds: attributes that a positive strength adds.
    removes: attributes that a positive strength removes.
    available: whether the direction can be used.
    missing: why it cannot be used: the missing file, or what does not fit the
      generator.
  """

  name: str
  family: str
  low: float | None
  high: float | None
  effect: str
  remark: str
  adds: tuple[str, ...]
  removes: tuple[str, ...]
  available: bool
  missing: str | None

  @property
  def attributes(self) -> str:
    """What a positive strength adds and removes: "+Smiling", "-Young"."""
    return ",".join(
        [*(f"+{name}" for name in self.adds)]
        + [*(f"-{name}" for name in self.removes)]
    )


def table(rows: Sequence[Description], with_missing: bool = True) -> str:
  """Formats descriptions as a table in plain text, one direction per line.

  Args:
    rows: the directions.
    with_missing: whether a line below a direction that cannot be used says
      why.
  """
  cells = [("name", "strengths", "family", "attribute", "effect")]
  cells += [
      (
          row.name,
          range_text(row.low, row.high),
          row.family,
          row.attributes or "-",
          "; ".join(filter(None, (row.effect, row.remark))),
      )
      for row in rows
  ]
  widths = [max(map(len, column)) + 2 for column in zip(*cells)]
  header, *lines = (
      "".join(f"{text:{width}}" for text, width in zip(line, widths)).rstrip()
      for line in cells
  )
  out = [header]
  for line, row in zip(lines, rows):
    out.append(line)
    if with_missing and not row.available:
      out.append(f"{'':{widths[0]}}not available: {row.missing}")
  if not rows:
    out.append(
        "(none; `python -m sfe_jax.directions --weights WEIGHTS` finds some)"
    )
  return "\n".join(out)


def published_domain(generator: Generator) -> str:
  """The table of published directions that fits a generator.

  The published directions belong to two generators: FFHQ at 1024 px and cars
  at 512 px, both with 512-dimensional latents.

  Returns:
    "faces", "cars", or "none" for a generator of another shape, to whose
    latents the published directions mean nothing.
  """
  if generator.w_dim != _PUBLISHED_W_DIM:
    return "none"
  return _DOMAIN_OF_RESOLUTION.get(generator.resolution, "none")


class Registry:
  """Looks up the directions of one generator and one weight folder."""

  def __init__(
      self,
      folder: str | os.PathLike[str] | None,
      space: LatentSpace,
      entries: Iterable[Entry],
  ):
    """Starts with `entries`; use `of_weights` or `published` to find them.

    Args:
      folder: weight folder that the entries read; None if there is none.
      space: sizes of the generator.
      entries: the directions.
    """
    self._folder = None if folder is None else pathlib.Path(folder)
    self._space = space
    self._entries: dict[str, Entry] = {}
    self._built: dict[str, DirectionData] = {}
    for entry in entries:
      self._add(entry)

  @classmethod
  def of_weights(
      cls,
      folder: str | os.PathLike[str],
      generator: Generator,
      domain: str | None = None,
  ) -> "Registry":
    """Finds the directions that a weight folder offers its generator.

    These are the published directions of `domain`, then the files in
    FOLDER/directions: directions that `python -m sfe_jax.directions` fitted,
    and the user's own.

    By default the generator's shape chooses the published directions (see
    `published_domain`): faces for 1024 px and cars for 512 px, both with w_dim
    512, and none for any other shape.  The shape cannot tell what a generator
    was trained on: give `domain` "none" for a generator of this shape that was
    trained on other pictures.

    A fitted direction with the name of a published one is offered as
    "fitted_NAME", which is logged: the published names always mean the
    published directions.

    Args:
      folder: weight folder; it may lack directions/ and mappers/.
      generator: the generator that the folder holds.
      domain: "faces", "cars", or "none" for FOLDER/directions alone; None
        chooses by the generator's shape.

    Raises:
      UserError: a user's file has the name of another direction.
    """
    registry = cls(
        folder, LatentSpace.of(generator), _entries(generator, domain)
    )
    official = _TEXT_FILES
    if generator.w_dim == _PUBLISHED_W_DIM:
      official |= {
          entry.stem
          for entries in TABLES.values()
          for entry in entries
          if hasattr(entry, "stem")
      }
    own = pathlib.Path(folder) / "directions"
    fitted = files.fitted(own)
    for path in sorted(own.glob("*.npz")):
      if path in fitted:
        registry._add_fitted(path, fitted[path])
      elif path.stem not in official:
        registry._add(_user_entry(path, path.stem))
    return registry

  @classmethod
  def published(
      cls, generator: Generator, domain: str | None = None
  ) -> "Registry":
    """The published directions alone; looks at no folder.

    Only the StyleSpace directions can be used, because they need no file.

    Args:
      generator: the generator.
      domain: see `of_weights`.
    """
    space = LatentSpace.of(generator)
    return cls(None, space, _entries(generator, domain))

  def names(self) -> list[str]:
    """Names of the directions that can be used."""
    return [d.name for d in self.describe() if d.available]

  def describe(self) -> list[Description]:
    """Describes all directions, with the reason for those not available."""
    return [self._describe(entry) for entry in self._entries.values()]

  def _describe(self, entry: Entry) -> Description:
    missing = None
    try:
      entry.check(self._folder, self._space)
    except UserError as error:
      missing = str(error)
    return Description(
        name=entry.name,
        family=entry.family,
        low=entry.low,
        high=entry.high,
        effect=entry.effect,
        remark=entry.remark,
        adds=entry.adds,
        removes=entry.removes,
        available=missing is None,
        missing=missing,
    )

  def entry(self, name: str) -> Entry:
    """The entry of a direction.

    Args:
      name: its name; case, spaces, underscores and hyphens do not matter.

    Raises:
      UserError: no direction has this name.
    """
    return self._entries[self._key(name)]

  def get(self, name: str) -> DirectionData:
    """The direction as data for `apply`; built once.

    Raises:
      UserError: the name is unknown, or a file is missing or does not fit.
    """
    key = self._key(name)
    entry = self._entries[key]
    if key not in self._built:
      try:
        self._built[key] = entry.build(self._folder, self._space)
      except UserError as error:
        raise UserError(
            f"direction {entry.name!r} is not available: {error}"
        ) from error
    return self._built[key]

  def _key(self, name: Any) -> str:
    """The key of a known direction; UserError for other names."""
    if not isinstance(name, str):
      raise UserError(
          f"a direction's name must be a string such as 'age', got {name!r}"
      )
    key = name_key(name)
    if key in self._entries:
      return key
    close = difflib.get_close_matches(key, self._entries, 3)
    names = ", ".join(repr(self._entries[k].name) for k in close)
    published = " or ".join(
        f"--domain {domain}"
        for domain, entries in TABLES.items()
        if key in {name_key(entry.name) for entry in entries}
    )
    raise UserError(
        f"unknown direction {name!r}"
        + (f"; did you mean {names}?" if names else "")
        + (
            "; it is a published direction of another generator, which"
            f" {published} offers nevertheless"
            if published
            else ""
        )
        + "; list them all with `python -m sfe_jax.edit --list_edits"
        + (f" --weights {shown(self._folder)}`" if self._folder else "`")
    )

  def add_file(
      self, path: str | os.PathLike[str], name: str | None = None
  ) -> str:
    """Adds a user's direction file.

    Args:
      path: an .npy file, or an .npz file with one array or one called
        "direction"; see `families.user` for its shape.
      name: the direction's name; default: the file's name without suffix.

    Returns:
      The direction's name.

    Raises:
      UserError: the file or its shape is wrong, or the name is taken.
    """
    path = pathlib.Path(path)
    entry = _user_entry(path, name or path.stem)
    entry.check(self._folder, self._space)
    self._add(entry)
    return entry.name

  def _add_fitted(self, path: pathlib.Path, about: files.About) -> None:
    name, remark = path.stem, ""
    taken = self._entries.get(name_key(name))
    if taken is not None and not isinstance(taken, File):
      name = f"fitted_{name}"
      remark = f"{taken.name!r} is the published direction"
      logging.warning(
          "the fitted direction %s has the name of the published direction %r:"
          " it is offered as %r; with --domain none only fitted directions are"
          " offered",
          path, taken.name, name,
      )
    self._add(File(name, path=path, remark=remark, **about._asdict()))

  def _add(self, entry: Entry) -> None:
    key = name_key(entry.name)
    if key in self._entries:
      taken = self._entries[key]
      where = f" ({entry.path})" if isinstance(entry, File) else ""
      raise UserError(
          f"the name {entry.name!r}{where} is taken by direction"
          f" {taken.name!r}; choose another name"
          + ", or domain none, which leaves the published directions out"
          * (not isinstance(taken, File))
      )
    self._entries[key] = entry


def _entries(generator: Generator, domain: str | None) -> tuple[Entry, ...]:
  """The table of a domain, by default that of the generator's shape."""
  return TABLES.get(domain or published_domain(generator), ())


def _user_entry(path: pathlib.Path, name: str) -> File:
  return File(name, f"your direction {path}, + along it", path=path)
