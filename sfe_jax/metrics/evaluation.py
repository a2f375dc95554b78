"""Runs one evaluation: checks its settings, measures, writes a JSON report.

A protocol is prepared (its inputs are checked and its pictures listed) before
any network is read, so that mistakes are reported at once.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, cast

import jax
from absl import logging

from sfe_jax.directions import Registry, parse_strengths
from sfe_jax.directions.entries import Entry, File, Mapper
from sfe_jax.errors import UserError
from sfe_jax.metrics import attributes, methods, protocols, report, truth
from sfe_jax.metrics.judge import Judge
from sfe_jax.metrics.methods import Method
from sfe_jax.metrics.settings import Settings
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import atomic, images, labels, weights
from sfe_jax.storage.images import Pictures

_PAIRS = 500


class Prepared(Protocol):
  """A protocol whose inputs have been checked."""

  @property
  def directions(self) -> Sequence[str]:
    """Names of the directions that the protocol uses."""

  def describe(self) -> dict[str, Any]:
    """Returns the report's entries about the inputs."""

  def measure(self, method: Method, judge: Judge, batch_size: int) -> Any:
    """Returns the report's "results"."""

  def skipped(self) -> Sequence[str]:
    """Files that could not be read, once `measure` has returned."""


@dataclasses.dataclass(frozen=True)
class InversionProtocol:
  """Protocol "inversion" on the pictures of a folder."""

  folder: str
  pictures: Pictures
  directions: ClassVar[Sequence[str]] = ()

  def describe(self) -> dict[str, Any]:
    files = self.pictures.paths
    return {"pictures": report.describe_pictures(self.folder, files)}

  def measure(self, method: Method, judge: Judge, batch_size: int) -> Any:
    return protocols.inversion(method, judge, self.pictures, batch_size)

  def skipped(self) -> Sequence[str]:
    return self.pictures.skipped


@dataclasses.dataclass(frozen=True)
class EditingProtocol:
  """Protocol "editing" on the labelled pictures of a folder.

  Attributes:
    folder: the folder.
    files: all its pictures.
    compared: the pictures that are not edited.
    edited: the pictures that are edited.
    name: direction of the edit.
    strength: strength of the edit.
    attribute: expression of the attribute.
    sense: what the edit does to the attribute.
  """

  folder: str
  files: Sequence[str]
  compared: Pictures
  edited: Pictures
  name: str
  strength: float
  attribute: str
  sense: attributes.Sense

  @property
  def directions(self) -> Sequence[str]:
    return (self.name,)

  def describe(self) -> dict[str, Any]:
    edit = {
        "name": self.name,
        "strength": self.strength,
        "attribute": self.attribute,
        "effect": self.sense.name,
        "edited": "without" if self.sense.adds else "with",
        "reason": self.sense.reason,
    }
    pictures = report.describe_pictures(self.folder, self.files)
    return {"pictures": pictures, "edit": edit}

  def measure(self, method: Method, judge: Judge, batch_size: int) -> Any:
    return protocols.editing(
        method,
        judge,
        self.compared,
        self.edited,
        self.name,
        self.strength,
        batch_size,
    )

  def skipped(self) -> Sequence[str]:
    return [*self.compared.skipped, *self.edited.skipped]


@dataclasses.dataclass(frozen=True)
class TruthProtocol:
  """Protocol "truth" on drawn faces.

  Attributes:
    strengths: strength by attribute; None where it must be found.
    ranges: useful strengths of the direction of every attribute.
    count: pairs per attribute.
    seed: random seed of the faces.
  """

  strengths: Mapping[str, float | None]
  ranges: Mapping[str, tuple[float | None, float | None]]
  count: int
  seed: int

  @property
  def directions(self) -> Sequence[str]:
    return tuple(self.strengths)

  def describe(self) -> dict[str, Any]:
    return {"seed": self.seed, "count": self.count}

  def measure(self, method: Method, judge: Judge, batch_size: int) -> Any:
    return truth.measure_all(
        method,
        judge,
        self.strengths,
        self.ranges,
        count=self.count,
        seed=self.seed,
        batch_size=batch_size,
    )

  def skipped(self) -> Sequence[str]:
    return ()


def _prepare_inversion(
    settings: Settings, size: int, directions: Registry
) -> InversionProtocol:
  del directions  # Nothing is edited.
  _refuse(settings, "edit", "attribute", "labels", "positive")
  folder, files = _pictures(settings)
  return InversionProtocol(folder, Pictures(files, size))


def _prepare_editing(
    settings: Settings, size: int, directions: Registry
) -> EditingProtocol:
  edits = _edits(settings)
  if len(edits) != 1 or len(settings.attribute) > 1:
    raise UserError(
        "--protocol editing measures one edit: give one --edit NAME=STRENGTH"
        " and at most one --attribute"
    )
  ((name, strength),) = edits.items()
  if not settings.labels:
    raise UserError("--protocol editing needs --labels labels.csv")
  if not os.path.isfile(settings.labels):
    raise UserError(f"--labels {settings.labels}: no such file")
  folder, files = _pictures(settings)
  attribute = attributes.parse((*settings.attribute, name)[0])
  has = attributes.divide(labels.read(settings.labels), files, attribute)
  entry = directions.entry(name)
  sense = attributes.sense(entry, strength, attribute, settings.positive)
  compared, edited = (
      [f for f, h in zip(files, has) if h == side]
      for side in (sense.adds, not sense.adds)
  )
  logging.info(
      "%s=%g %s %s (%s): %d pictures %s it are edited and compared with %d %s"
      " it",
      name, strength, sense.name, attribute.text, sense.reason,
      len(edited), "without" if sense.adds else "with",
      len(compared), "with" if sense.adds else "without",
  )
  return EditingProtocol(
      folder,
      files,
      Pictures(compared, size),
      Pictures(edited, size),
      name,
      strength,
      attribute.text,
      sense,
  )


def _prepare_truth(
    settings: Settings, size: int, directions: Registry
) -> TruthProtocol:
  _refuse(settings, "dir", "labels", "positive")
  edits = _edits(settings)
  names = settings.attribute or list(truth.CHANGES)
  for name in (*names, *edits):
    if name not in truth.CHANGES:
      raise UserError(
          "--protocol truth knows the true edits of"
          f" {', '.join(truth.CHANGES)}, not {name!r}"
      )
  if unread := sorted(set(edits) - set(names)):
    raise UserError(
        f"--edit {unread[0]} is not measured, because --attribute does not name"
        f" it; add --attribute {unread[0]}"
    )
  truth.check_size(size)
  entries = {name: directions.entry(name) for name in names}
  return TruthProtocol(
      strengths={name: edits.get(name) for name in names},
      ranges={name: (e.low, e.high) for name, e in entries.items()},
      count=settings.count or _PAIRS,
      seed=settings.seed,
  )


PROTOCOLS: Mapping[str, Callable[[Settings, int, Registry], Prepared]] = {
    "inversion": _prepare_inversion,
    "editing": _prepare_editing,
    "truth": _prepare_truth,
}


def _refuse(settings: Settings, *names: str) -> None:
  """Raises UserError if a flag is given that the protocol does not use."""
  for name in names:
    if getattr(settings, name):
      raise UserError(f"--protocol {settings.protocol} does not use --{name}")


def _edits(settings: Settings) -> dict[str, float]:
  """Strengths of --edit by name."""
  edits = {}
  for name, strengths in parse_strengths(settings.edit, "--edit").items():
    if len(strengths) > 1:
      raise UserError(f"--edit {name}: one strength is measured at a time")
    edits[name] = strengths[0]
  return edits


def _pictures(settings: Settings) -> tuple[str, list[str]]:
  """The folder of the test pictures, and their paths."""
  if not settings.dir:
    raise UserError(
        f"--protocol {settings.protocol} needs pictures: --dir FOLDER"
    )
  return settings.dir, images.find_below(settings.dir)[: settings.count]


def run(settings: Settings) -> dict[str, Any]:
  """Measures what the settings say; writes the report and returns it.

  Raises:
    UserError: the settings contradict each other, an input or a network is
      missing or damaged, or a file cannot be used.
  """
  if settings.method != methods.SFE and settings.without:
    raise UserError("--without can only be used with --method sfe")
  if os.path.isdir(settings.out):
    raise UserError(f"--out {settings.out} is a folder; name a JSON file")
  atomic.require_writable(pathlib.Path(settings.out).absolute().parent)
  folder = weights.require_folder(settings.weights)
  networks = weights.require_folder(settings.networks or folder)
  generator = cast(Generator, weights.module(folder / "generator", Generator))
  size = generator.resolution
  directions = Registry.of_weights(folder, generator, settings.domain)
  prepared = PROTOCOLS[settings.protocol](settings, size, directions)
  for name in prepared.directions:
    directions.get(name)  # raises if a file is missing
  inputs = prepared.describe()
  # By default accelerators compute float32 products with fewer digits.
  with jax.default_matmul_precision("highest"):
    judge = Judge.load(
        networks,
        size,
        settings.perceptual,
        settings.identity,
        settings.features,
    )
    method = methods.load(
        settings.method,
        folder,
        directions,
        without=settings.without,
        batch_size=settings.batch_size,
    )
    pathlib.Path(settings.out).parent.mkdir(parents=True, exist_ok=True)
    results = prepared.measure(method, judge, settings.batch_size)
  document = {
      **_about(settings, size),
      **inputs,
      "measures": {**judge.names, "ms_ssim_scales": judge.scales},
      "skipped": len(prepared.skipped()),
      "results": results,
      **_hashes(settings, folder, map(directions.entry, prepared.directions)),
      "networks": report.hashes(networks, judge.networks),
      **report.circumstances(),
  }
  atomic.write_json(settings.out, document)
  logging.info("wrote %s", settings.out)
  return document


def _about(settings: Settings, size: int) -> dict[str, Any]:
  """The report's entries about the protocol and the method."""
  without = sorted(set(settings.without))
  return {
      "protocol": settings.protocol,
      "name": settings.name or " without ".join([settings.method, *without]),
      "method": settings.method,
      "without": without,
      "size": size,
  }


def _hashes(
    settings: Settings, folder: pathlib.Path, directions: Iterable[Entry]
) -> dict[str, Any]:
  """The report's hashes of the method's networks and direction files."""
  names = methods.networks(settings.method, settings.without)
  files = [file for entry in directions for file in _files(entry)]
  return {
      "weights": report.hashes(folder, names),
      "directions": report.hashes(folder, files),
  }


def _files(entry: Entry) -> list[str]:
  """Files that a direction is built from, relative to the weight folder."""
  if isinstance(entry, File):
    return [f"directions/{entry.path.name}"]
  if isinstance(entry, Mapper):
    return [f"mappers/{entry.name}"]
  stem = getattr(entry, "stem", None)  # StyleSpace needs no file
  return [f"directions/{stem}.npz"] if stem else []
