"""Converts official files into one weight folder: all of them or none."""

import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import logging

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, weights

from . import official, reader
from .family import Unsupported
from .mapping import Converted, flatten

_SKIPPED_SUFFIXES = frozenset({
    ".csv", ".dat", ".html", ".jpg", ".json", ".md", ".png", ".py", ".txt",
    ".yaml", ".yml",
})

# Networks of one release belong together.  Where several files hold a network,
# the file that holds the first of these is preferred.
_PREFERENCE = ("feature_editor", "inverter", "e4e", "generator", "psp")

_LPIPS = (
    "half of an LPIPS network; give torchvision's vgg16 or alexnet and LPIPS'"
    " lin weights (vgg.pth, alex.pth) together"
)


@dataclasses.dataclass(frozen=True)
class _Staged:
  """A network or direction that is written, but not yet in its place.

  Attributes:
    name: name of the network, or directions/NAME.
    rank: rank of its file; the lowest is preferred.
    path: official file that it comes from.
    digest: hash of its numbers and of fields that they do not show.
    where: folder or file that holds it.
  """

  name: str
  rank: int
  path: pathlib.Path
  digest: str
  where: pathlib.Path

  @property
  def is_bundled(self) -> bool:
    """Whether the file also holds a more preferred network."""
    return self.name in _PREFERENCE and self.name != _PREFERENCE[self.rank]


def import_files(
    sources: Sequence[str | os.PathLike], dst: str | os.PathLike
) -> None:
  """Converts official files, or folders of them, into weight folder `dst`.

  Networks that `dst` holds already are kept unless a source holds them too.  A
  network that several sources hold with different numbers is written as
  NAME; copies from other files are written as NAME@FILE (order: `_PREFERENCE`).

  Args:
    sources: files, which must be known, and folders, in which files of other
      kinds are skipped.
    dst: weight folder to write to.

  Raises:
    UserError: a file is damaged or refused, or no file is recognised; `dst` is
      then unchanged.
  """
  for source in sources:
    if any(pathlib.Path(weights.locate(source)).glob(f"*/{weights.DOCUMENT}")):
      raise UserError(
          f"{source} is a weight folder already: use it with --weights, or add"
          " --export to write official files"
      )
  paths, from_folder = _files(sources)
  dst = pathlib.Path(dst)
  if dst.exists() and not dst.is_dir():
    raise UserError(f"{dst} is a file; --dst is the weight folder to write")
  with atomic.staging(dst) as stage:
    finished = _convert_all(paths, from_folder, stage)
    atomic.place_all({
        dst / f"{name}{written.suffix}": written
        for name, written in finished.items()
    })


def _files(
    sources: Sequence[str | os.PathLike],
) -> tuple[list[pathlib.Path], set[pathlib.Path]]:
  """All files, and those of them that were found in a folder."""
  paths: list[pathlib.Path] = []
  from_folder: set[pathlib.Path] = set()
  for source in map(pathlib.Path, sources):
    if source.is_dir():
      inside = _inside(source)
      if not inside:
        raise UserError(f"{source}: no weight file in this folder")
      from_folder.update(inside)
      paths += inside
    elif source.exists():
      paths.append(source)
    else:
      raise UserError(f"{source}: no such file or folder")
  return list(dict.fromkeys(paths)), from_folder


def _inside(folder: pathlib.Path) -> list[pathlib.Path]:
  """Files of a folder, except hidden ones and converted networks."""
  converted = {p.parent for p in folder.rglob(weights.DOCUMENT)}
  return sorted(
      p for p in folder.rglob("*")
      if p.is_file()
      and not any(s.startswith(".") for s in p.relative_to(folder).parts)
      and p.suffix.lower() not in _SKIPPED_SUFFIXES
      and not converted.intersection(p.parents)
  )


def _convert_all(
    paths: Sequence[pathlib.Path],
    from_folder: set[pathlib.Path],
    stage: pathlib.Path,
) -> dict[str, pathlib.Path]:
  """Writes all networks to folder `stage`: {final name: folder or file}."""
  networks: list[_Staged] = []
  halves: dict[pathlib.Path, official.Found] = {}
  for path in tqdm.tqdm(paths, unit="file", disable=len(paths) < 2 or None):
    found = _find(path, path in from_folder)
    if found is None:
      continue
    if found.arrays is not None:
      networks.append(
          _stage_arrays(path, found.arrays, stage / f"{len(networks)}.npz")
      )
    if found.features is not None or found.lin is not None:
      halves[path] = found
    networks += _stage(path, found, found.parts, stage, len(networks))
  joined, single = _join(halves)
  for path, part in joined.items():
    networks += _stage(path, halves[path], [part], stage, len(networks))
  for path in single:
    logging.warning("skipped: %s is %s", path, _LPIPS)
  if not networks and single:
    raise UserError(f"{', '.join(p.name for p in single)}: {_LPIPS}")
  if not networks:
    raise UserError("nothing recognised: no file holds official weights")
  return _choose(networks)


def _join(
    halves: Mapping[pathlib.Path, official.Found],
) -> tuple[dict[pathlib.Path, official.Part], list[pathlib.Path]]:
  """Joins the halves of LPIPS networks.

  Returns:
    The networks by the file of their convolutions, and the files whose other
    half is missing.
  """
  lin = {path: found.lin for path, found in halves.items() if found.lin}
  joined: dict[pathlib.Path, official.Part] = {}
  used = set()
  for path, found in halves.items():
    network = official.lpips_part(found.features or {}, lin)
    if network is not None:
      joined[path], half = network
      used |= {path, half}
  return joined, sorted(set(halves) - used)


def _find(path: pathlib.Path, lenient: bool) -> official.Found | None:
  """What a file holds; None if it is skipped.

  Args:
    path: the file.
    lenient: skips a file of another kind instead of raising.
  """
  try:
    found = official.find(reader.read(path), path.stem)
  except (reader.NotWeights, Unsupported) as error:
    message = _prefixed(path, error)
    if not lenient:
      raise UserError(message) from error
    logging.warning("skipped: %s", message)
    return None
  except UserError as error:
    raise UserError(_prefixed(path, error)) from error
  if found is None:
    message = f"{path} holds no network that this project knows"
    if not lenient:
      raise UserError(message)
    logging.warning("skipped: %s", message)
    return None
  for where, reason in found.unsupported.items():
    logging.warning("%s: skipped %s: %s", path, where, reason)
  return found


def _prefixed(path: pathlib.Path, error: UserError) -> str:
  message = str(error)
  return message if str(path) in message else f"{path}: {message}"


def _stage(
    path: pathlib.Path,
    found: official.Found,
    parts: Sequence[official.Part],
    stage: pathlib.Path,
    start: int,
) -> list[_Staged]:
  """Writes the networks of one file to folders numbered from `start`."""
  if not parts:
    return []
  names = [part.name for part in parts]
  rank = min(
      _PREFERENCE.index(n) if n in _PREFERENCE else len(_PREFERENCE)
      for n in names
  )
  source = {"file": path.name, "sha256": _file_digest(path)}
  staged: list[_Staged] = []
  dropped = dict(found.dropped)
  for part in parts:
    try:
      module, converted = official.convert(part)
    except UserError as error:
      raise UserError(_prefixed(path, error)) from error
    folder = stage / str(start + len(staged))
    info = {"source": source, "kept": _kept(converted)}
    weights.write(folder, module, converted.variables, info)
    digest = _digest(converted.variables, official.hidden_fields(module))
    staged.append(_Staged(part.name, rank, path, digest, folder))
    dropped.update(converted.unused)
  logging.info("%s: %s", path.name, ", ".join(names))
  _log_dropped(dropped)
  return staged


def _log_dropped(dropped: Mapping[str, str]) -> None:
  """Logs one line per reason for which entries were left out."""
  for why in dict.fromkeys(dropped.values()):
    entries = [name for name, reason in dropped.items() if reason == why]
    more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
    logging.info("  left out %s%s: %s", entries[0], more, why)


def _kept(converted: Converted) -> dict[str, int | list[int]]:
  """What export needs: counters by name and the shape of latent_avg."""
  kept: dict[str, int | list[int]] = {}
  for key, value in converted.kept.items():
    kept[key] = list(value.shape) if key == "latent_avg" else int(value)
  return kept


def _choose(networks: Sequence[_Staged]) -> dict[str, pathlib.Path]:
  """{final name: folder or file}; networks of equal numbers count once."""
  copies: dict[str, list[_Staged]] = {}
  for staged in sorted(networks, key=lambda s: s.rank):
    what = (staged.name, staged.digest)
    names = [n for n, c in copies.items() if (c[0].name, c[0].digest) == what]
    name = names[0] if names else staged.name
    if not names and name in copies:
      name = _other_name(staged, copies)
      logging.warning(
          "%s holds another %s; it is written as %s",
          staged.path, staged.name, name,
      )
    copies.setdefault(name, []).append(staged)
  # A network's own file holds best what its export needs.
  return {
      name: min(same, key=lambda s: s.is_bundled).where
      for name, same in copies.items()
  }


def _other_name(staged: _Staged, taken: Container[str]) -> str:
  """NAME@FILE, or NAME@FOLDER for directions, whose NAME is the file's."""
  if "/" in staged.name:
    origin = staged.path.parent.name
  else:
    # Files that we exported may be called NAME@FILE themselves.
    origin = staged.path.stem.rpartition("@")[2]
  first = name = f"{staged.name}@{origin}"
  for i in itertools.count(2):
    if name not in taken:
      break
    name = f"{first}-{i}"
  return name


def _digest(arrays: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
  """Hash of all that makes a network or direction differ from another."""
  digest = hashlib.sha256(repr(sorted(fields.items())).encode())
  for path, value in sorted(flatten(arrays).items()):
    digest.update(path.encode())
    digest.update(np.ascontiguousarray(value).data)
  return digest.hexdigest()


def _file_digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _stage_arrays(
    path: pathlib.Path, arrays: Mapping[str, Any], where: pathlib.Path
) -> _Staged:
  np.savez(where, **arrays)
  logging.info("%s: direction %s", path.name, path.stem)
  name = f"directions/{path.stem}"
  return _Staged(name, len(_PREFERENCE), path, _digest(arrays, {}), where)
