"""What a table of directions says about each: one class per family."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable
from typing import ClassVar

from sfe_jax.directions import families, files
from sfe_jax.directions.families import DirectionData, LatentSpace
from sfe_jax.errors import UserError
from sfe_jax.models.mappers import LevelsMapper
from sfe_jax.storage import labels, weights


def parse_strengths(
    specs: Iterable[str], option: str
) -> dict[str, tuple[float, ...]]:
  """["age=-5,5", "smile=3"] -> {"age": (-5.0, 5.0), "smile": (3.0,)}.

  Args:
    specs: each NAME=STRENGTH or NAME=STRENGTH,STRENGTH,...
    option: where a user gave them, for messages.

  Raises:
    UserError: another form, a strength that is not finite, a name twice.
  """
  parsed = {}
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


@dataclasses.dataclass(frozen=True)
class Entry:
  """One named direction.

  Attributes:
    name: as in the release.
    effect: what + and - do, in a user's words.
    low: smallest published strength; None where none is published.
    high: largest published strength.
    adds: attributes that a positive strength adds to a picture.
    removes: attributes that a positive strength removes.
  """

  name: str
  effect: str
  low: float | None = None
  high: float | None = None
  adds: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
  removes: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
  family: ClassVar[str] = ""

  def sense(self, attribute: str) -> int | None:
    """What a positive strength does to an attribute.

    Args:
      attribute: its name; case, spaces, underscores, hyphens and equals signs
        are ignored.

    Returns:
      1 if it adds the attribute, -1 if it removes it, None if that is unknown.
    """
    key = _attribute_key(attribute)
    if key in map(_attribute_key, self.adds):
      return 1
    return -1 if key in map(_attribute_key, self.removes) else None

  def in_range(self, strength: float) -> bool:
    """Whether the strength is within the published range, if there is one."""
    return (self.low is None or strength >= self.low) and (
        self.high is None or strength <= self.high
    )

  def build(self, folder: pathlib.Path, space: LatentSpace) -> DirectionData:
    """The direction as data, from the files of weights folder `folder`.

    Raises:
      UserError: a file is missing or does not fit the generator.
    """
    raise NotImplementedError

  def check(self, folder: pathlib.Path, space: LatentSpace) -> None:
    """Raises UserError where `build` would, reading no large file."""
    self.build(folder, space)


def _attribute_key(name: str) -> str:
  return labels.name_key(name).replace("=", "")


def _file(folder: pathlib.Path, name: str, official: str) -> pathlib.Path:
  path = folder / name
  if not path.exists():
    raise UserError(
        f"{path} is missing; `python -m convert` makes it from the official"
        f" file {official}"
    )
  return path


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterFaceGAN(Entry):
  """A direction from the official file `stem`.pt."""

  stem: str
  family: ClassVar[str] = "InterFaceGAN"

  def build(self, folder: pathlib.Path, space: LatentSpace) -> DirectionData:
    path = _file(folder, f"directions/{self.stem}.npz", f"{self.stem}.pt")
    return families.interfacegan(files.read_direction(path), space)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureStyle(Entry):
  """A boundary from the official file `stem`.npy."""

  stem: str
  family: ClassVar[str] = "Feature-Style"

  def build(self, folder: pathlib.Path, space: LatentSpace) -> DirectionData:
    path = _file(folder, f"directions/{self.stem}.npz", f"{self.stem}.npy")
    return families.boundary(files.read_direction(path), space)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GANSpace(Entry):
  """A component of the official file `stem`.pt, on rows first..last-1."""

  stem: str
  component: int
  first: int
  last: int
  family: ClassVar[str] = "GANSpace"

  def build(self, folder: pathlib.Path, space: LatentSpace) -> DirectionData:
    path = _file(folder, f"directions/{self.stem}.npz", f"{self.stem}.pt")
    pca = files.read(path)
    if not {"mean", "comp", "std"} <= set(pca):
      raise UserError(f"{path} is no PCA: it lacks mean, comp or std")
    return families.ganspace(
        pca, self.component, self.first, self.last, space
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleSpace(Entry):
  """(layer, channel) pairs; needs no file."""

  channels: tuple[tuple[int, int], ...]
  family: ClassVar[str] = "StyleSpace"

  def build(self, folder: pathlib.Path, space: LatentSpace) -> DirectionData:
    del folder  # The table says it all.
    return families.stylespace(self.channels, space)


@dataclasses.dataclass(frozen=True)
class Mapper(Entry):
  """A StyleCLIP mapper from the official styleclip_mappers/`name`.pt."""

  family: ClassVar[str] = "StyleCLIP mapper"

  def build(self, folder: pathlib.Path, space: LatentSpace) -> DirectionData:
    path = self._path(folder)
    module, variables = weights.read(path)
    if not isinstance(module, LevelsMapper):
      raise UserError(
          f"{path} holds a {type(module).__name__}, not a StyleCLIP mapper"
      )
    return families.mapper(variables["params"], space)

  def check(self, folder: pathlib.Path, space: LatentSpace) -> None:
    self._path(folder)

  def _path(self, folder: pathlib.Path) -> pathlib.Path:
    return _file(
        folder, f"mappers/{self.name}", f"styleclip_mappers/{self.name}.pt"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class File(Entry):
  """A user's own direction or a fitted one, w + strength * d."""

  path: pathlib.Path
  family: str = "file"

  def build(self, folder: pathlib.Path, space: LatentSpace) -> DirectionData:
    del folder  # The path is the user's.
    direction = files.read_direction(self.path)
    try:
      return families.user(direction, space)
    except UserError as error:
      raise UserError(f"{self.path}: {error}") from error
