"""The entries of a table of edit directions: one class per family.

An entry says which file or numbers make a direction, what the edit does and
over which strengths it is useful; `build` turns it into a `DirectionData`.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterable

from sfe_jax.directions import families, files
from sfe_jax.directions.families import DirectionData, LatentSpace
from sfe_jax.errors import UserError
from sfe_jax.models.mappers import LevelsMapper
from sfe_jax.storage import weights
from sfe_jax.storage.labels import name_key

Folder = pathlib.Path | None  # a weight folder, or None where there is none


def parse_strengths(
    specs: Iterable[str], option: str
) -> dict[str, tuple[float, ...]]:
  """["age=-5,5", "smile=3"] -> {"age": (-5.0, 5.0), "smile": (3.0,)}.

  Args:
    specs: texts of the form NAME=STRENGTH or NAME=STRENGTH,STRENGTH,...
    option: the flag or config value that the texts come from, for messages.

  Raises:
    UserError: a text has another form, a strength is not finite, or a name is
      given twice.
  """
  parsed: dict[str, tuple[float, ...]] = {}
  for spec in specs:
    name, _, text = (part.strip() for part in spec.rpartition("="))
    try:
      strengths = tuple(float(s) for s in text.split(","))
    except ValueError:
      strengths = ()
    if "=" in name:
      raise UserError(f"{option} {spec}: give every edit its own {option}")
    if not name or not strengths or not all(map(math.isfinite, strengths)):
      raise UserError(
          f"{option} {spec}: write NAME=STRENGTH, e.g. age=5, or age=-5,0,5"
      )
    if name in parsed:
      raise UserError(f"{option} {name} is given twice; use one list")
    parsed[name] = strengths
  return parsed


def range_text(low: float | None, high: float | None) -> str:
  """A range of strengths as text: "-10..15", or "-" if it is unknown."""
  if low is None and high is None:
    return "-"
  ends = ("" if x is None else f"{x:g}" for x in (low, high))
  return "..".join(ends)


@dataclasses.dataclass(frozen=True)
class Entry:
  """One direction by name.

  Attributes:
    name: name of the direction; published ones keep the release's name.
    effect: what a positive (+) and a negative (-) strength do.
    low: smallest useful strength; None if it is not known.
    high: largest useful strength; None if it is not known.
    remark: side effects and limits, or a better direction for the same edit.
    adds: attributes that a positive strength adds: CelebA's names for published
      directions, the labels' for fitted ones.
    removes: attributes that a positive strength removes.
    family: the method that found the direction.
  """

  name: str
  effect: str
  low: float | None = None
  high: float | None = None
  _: dataclasses.KW_ONLY
  remark: str = ""
  adds: tuple[str, ...] = ()
  removes: tuple[str, ...] = ()
  family: str = ""

  def in_range(self, strength: float) -> bool:
    """Whether a strength is useful; True where the range is not known."""
    return (self.low is None or strength >= self.low) and (
        self.high is None or strength <= self.high
    )

  def sense(self, attribute: str) -> int | None:
    """Whether a positive strength adds or removes an attribute.

    Args:
      attribute: an attribute's name; case, spaces, underscores, hyphens and
        equals signs do not matter ("Heavy_Makeup", "heavy makeup").

    Returns:
      1 if a positive strength adds the attribute, -1 if it removes it, None if
      that is not known.
    """
    key = _attribute_key(attribute)
    for sign, names in ((1, self.adds), (-1, self.removes)):
      if key in map(_attribute_key, names):
        return sign
    return None

  def build(self, folder: Folder, space: LatentSpace) -> DirectionData:
    """Makes the direction from the files of a weight folder.

    Args:
      folder: the weight folder; None if there is none.
      space: sizes of the generator.

    Raises:
      UserError: a file is missing or does not fit the generator.
    """
    raise NotImplementedError

  def check(self, folder: Folder, space: LatentSpace) -> None:
    """Raises UserError where `build` would, without reading large files."""
    self.build(folder, space)


def _attribute_key(attribute: str) -> str:
  return name_key(attribute.replace("=", "_"))


def _file(folder: Folder, name: str, official: str) -> pathlib.Path:
  """The path of a converted official file, which must exist."""
  path = folder / name if folder else None
  if path is None or not path.exists():
    raise UserError(
        f"{path or name} is missing; `python -m sfe_jax.convert` makes it from"
        f" the official file {official}"
    )
  return path


def _direction_file(folder: Folder, stem: str, suffix: str) -> pathlib.Path:
  """The path of a converted official direction, which must exist."""
  path = _file(folder, f"directions/{stem}.npz", f"{stem}{suffix}")
  if files.about(path) is not None:
    raise UserError(
        f"{path} is a fitted direction, not the official {stem}{suffix}"
    )
  return path


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterFaceGAN(Entry):
  """An InterFaceGAN direction, converted from the official `stem`.pt."""

  stem: str
  family: str = "InterFaceGAN"

  def build(self, folder: Folder, space: LatentSpace) -> DirectionData:
    path = _direction_file(folder, self.stem, ".pt")
    return families.interfacegan(files.read_direction(path), space)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureStyle(Entry):
  """A Feature-Style boundary, converted from the official `stem`.npy."""

  stem: str
  family: str = "Feature-Style"

  def build(self, folder: Folder, space: LatentSpace) -> DirectionData:
    path = _direction_file(folder, self.stem, ".npy")
    return families.boundary(files.read_direction(path), space)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GANSpace(Entry):
  """A principal component that moves w+ rows first to last - 1.

  Attributes:
    stem: name of the official file of principal components, `stem`.pt.
    component: index of the component.
    first: first w+ row that moves.
    last: the row after the last one that moves.
  """

  stem: str
  component: int
  first: int
  last: int
  family: str = "GANSpace"

  def build(self, folder: Folder, space: LatentSpace) -> DirectionData:
    path = _file(folder, f"directions/{self.stem}.npz", f"{self.stem}.pt")
    pca = files.read(path)
    if not {"mean", "comp", "std"} <= set(pca):
      raise UserError(
          f"{path} holds no principal components: mean, comp or std is missing"
      )
    return families.ganspace(
        pca, self.component, self.first, self.last, space
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleSpace(Entry):
  """A StyleSpace direction: (layer, channel) pairs; it needs no file."""

  channels: tuple[tuple[int, int], ...]
  family: str = "StyleSpace"

  def build(self, folder: Folder, space: LatentSpace) -> DirectionData:
    del folder
    return families.stylespace(self.channels, space)


@dataclasses.dataclass(frozen=True)
class Mapper(Entry):
  """A StyleCLIP mapper, converted from styleclip_mappers/`name`.pt."""

  family: str = "StyleCLIP mapper"

  def build(self, folder: Folder, space: LatentSpace) -> DirectionData:
    path = self._path(folder)
    module, variables = weights.read(path)
    if not isinstance(module, LevelsMapper):
      raise UserError(
          f"{path} holds a {type(module).__name__}, not a StyleCLIP mapper"
      )
    return families.mapper(variables["params"], space)

  def check(self, folder: Folder, space: LatentSpace) -> None:
    self._path(folder)

  def _path(self, folder: Folder) -> pathlib.Path:
    return _file(
        folder, f"mappers/{self.name}", f"styleclip_mappers/{self.name}.pt"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class File(Entry):
  """A direction from a file: the user's, or fitted by sfe_jax.directions.

  The edit is w + strength * d.

  Attributes:
    path: the .npy or .npz file.
  """

  path: pathlib.Path
  family: str = "file"

  def build(self, folder: Folder, space: LatentSpace) -> DirectionData:
    del folder
    direction = files.read_direction(self.path)
    try:
      return families.user(direction, space)
    except UserError as error:
      raise UserError(f"{self.path}: {error}") from error
