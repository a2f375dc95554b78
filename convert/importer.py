"""Official files -> one weight folder, whole or not at all."""

import dataclasses
import hashlib
import itertools
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import logging

from convert import official, reader
from convert.mapping import Converted, flatten
from sfe_jax.errors import UserError
from sfe_jax.storage import weights

_SKIPPED_SUFFIXES = frozenset({
    ".csv", ".dat", ".html", ".jpg", ".json", ".md", ".png", ".py", ".txt",
    ".yaml", ".yml",
})


# Networks of one release belong together, so where several files hold a
# network, the file with the first of these is preferred.
_PREFERENCE = ("feature_editor", "inverter", "e4e", "generator", "psp")


_LPIPS = (
    "half of an LPIPS network; give torchvision's vgg16 or alexnet and LPIPS'"
    " lin weights (vgg.pth, alex.pth) together"
)


_STAGING = ".convert-"
_ABANDONED = 24 * 3600  # seconds


@dataclasses.dataclass(frozen=True)
class _Staged:
  """A network or direction written to the staging folder.

  Attributes:
    name: of the network, or directions/NAME.
    rank: of its file, lower is preferred.
    path: of its file.
    digest: of its numbers.
    where: folder or file in which it waits.
  """

  name: str
  rank: int
  path: pathlib.Path
  digest: str
  where: pathlib.Path

  @property
  def is_bundled(self) -> bool:
    """Whether the file is called after another network it holds."""
    return self.name in _PREFERENCE and self.name != _PREFERENCE[self.rank]


def import_files(
    sources: Sequence[str | os.PathLike], dst: str | os.PathLike
) -> None:
  """Converts official files, or folders of them, into weight folder `dst`.

  Networks that `dst` holds already stay unless a source holds them too.  A
  network that several sources hold with different numbers is written as
  NAME and, from the less preferred files, NAME@FILE.

  Raises:
    UserError: a file is damaged or refused, or nothing is recognised; `dst`
      is then unchanged.
  """
  paths, from_folder = _files(sources)
  dst = pathlib.Path(dst)
  if dst.exists() and not dst.is_dir():
    raise UserError(f"{dst} is a file; --dst is the weight folder to write")
  is_new = not dst.exists()
  dst.mkdir(parents=True, exist_ok=True)
  _sweep(dst)
  # Inside `dst`, which may be a file system of its own.
  staging = pathlib.Path(tempfile.mkdtemp(prefix=_STAGING, dir=dst))
  try:
    _install(_convert_all(paths, from_folder, staging), dst, staging)
  finally:
    shutil.rmtree(staging, ignore_errors=True)
    if is_new and dst.exists() and not any(dst.iterdir()):
      dst.rmdir()


def _files(
    sources: Sequence[str | os.PathLike],
) -> tuple[list[pathlib.Path], set[pathlib.Path]]:
  """All files, and those that were not named but found in a folder."""
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
  """Files of a folder but for hidden ones and networks converted already."""
  converted = {p.parent for p in folder.rglob("network.json")}
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
    staging: pathlib.Path,
) -> dict[str, pathlib.Path]:
  """Writes all networks to `staging`: {final name: folder or file}."""
  networks: list[_Staged] = []
  features: list[tuple[pathlib.Path, official.Found]] = []
  lin: dict[pathlib.Path, official.State] = {}
  for path in tqdm.tqdm(paths, unit="file", disable=len(paths) < 2 or None):
    found = _find(path, path in from_folder)
    if found is None:
      continue
    if found.arrays is not None:
      networks.append(
          _stage_arrays(path, found.arrays, staging / f"{len(networks)}.npz")
      )
    if found.features is not None:
      features.append((path, found))
    if found.lin is not None:
      lin[path] = found.lin
    networks += _stage(path, found, found.parts, staging, len(networks))
  unused = set(lin)
  for path, found in features:
    network = official.lpips_part(found.features, lin)
    if network is None:
      unused.add(path)
    else:
      part, half = network
      unused.discard(half)
      networks += _stage(path, found, [part], staging, len(networks))
  for path in sorted(unused):
    logging.warning("skipped: %s is %s", path, _LPIPS)
  if not networks:
    raise UserError(
        f"{', '.join(p.name for p in unused)}: {_LPIPS}"
        if unused
        else "nothing recognised: no file holds official weights"
    )
  return _choose(networks)


def _find(path: pathlib.Path, lenient: bool) -> official.Found | None:
  """What a file holds; None for a folder's file of something else."""
  try:
    found = official.find(reader.read(path), path.stem)
  except reader.NotWeights as error:
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
  return found


def _prefixed(path: pathlib.Path, error: UserError) -> str:
  message = str(error)
  return message if str(path) in message else f"{path}: {message}"


def _stage(
    path: pathlib.Path,
    found: official.Found,
    parts: Sequence[official.Part],
    staging: pathlib.Path,
    start: int,
) -> list[_Staged]:
  """Writes the networks of one file to numbered folders."""
  if not parts:
    return []
  names = [part.name for part in parts]
  rank = min(
      _PREFERENCE.index(n) if n in _PREFERENCE else len(_PREFERENCE)
      for n in names
  )
  source = {"file": path.name, "sha256": _file_digest(path)}
  staged, dropped = [], dict(found.dropped)
  for part in parts:
    try:
      module, converted = official.convert(part)
    except UserError as error:
      raise UserError(_prefixed(path, error)) from error
    folder = staging / str(start + len(staged))
    info = {"source": source, "kept": _kept(converted)}
    weights.write(folder, module, converted.variables, info)
    digest = _digest(converted.variables)
    staged.append(_Staged(part.name, rank, path, digest, folder))
    dropped.update(converted.unused)
  logging.info("%s: %s", path.name, ", ".join(names))
  for why in dict.fromkeys(dropped.values()):
    entries = [name for name, reason in dropped.items() if reason == why]
    more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
    logging.info("  left out %s%s: %s", entries[0], more, why)
  return staged


def _kept(converted: Converted) -> dict[str, int | list[int]]:
  """What export needs: counters by name, and the shape of latent_avg."""
  kept: dict[str, int | list[int]] = {}
  for key, value in converted.kept.items():
    kept[key] = list(value.shape) if key == "latent_avg" else int(value)
  return kept


def _choose(networks: Sequence[_Staged]) -> dict[str, pathlib.Path]:
  """Final names; equal numbers count once."""
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
  # Its own file says best how a network is exported.
  return {
      name: min(same, key=lambda s: s.is_bundled).where
      for name, same in copies.items()
  }


def _other_name(staged: _Staged, taken: Container[str]) -> str:
  """NAME@FILE, or NAME@FOLDER where NAME is the file's already."""
  if "/" in staged.name:
    origin = staged.path.parent.name
  else:
    # Our own exports are called NAME@FILE.
    origin = staged.path.stem.rpartition("@")[2]
  first = name = f"{staged.name}@{origin}"
  for i in itertools.count(2):
    if name not in taken:
      break
    name = f"{first}-{i}"
  return name


def _digest(arrays: Mapping[str, Any]) -> str:
  """Identifies the numbers of a network or direction."""
  digest = hashlib.sha256()
  for path, value in sorted(flatten(arrays).items()):
    digest.update(path.encode())
    digest.update(np.ascontiguousarray(value).data)
  return digest.hexdigest()


def _file_digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _stage_arrays(
    path: pathlib.Path, arrays: Mapping[str, np.ndarray], where: pathlib.Path
) -> _Staged:
  np.savez(where, **arrays)
  logging.info("%s: direction %s", path.name, path.stem)
  name = f"directions/{path.stem}"
  return _Staged(name, len(_PREFERENCE), path, _digest(arrays), where)


def _install(
    finished: Mapping[str, pathlib.Path],
    dst: pathlib.Path,
    staging: pathlib.Path,
) -> None:
  """Puts finished folders and files in place: all of them or none."""
  moved: list[tuple[pathlib.Path, pathlib.Path | None]] = []
  try:
    for i, (name, staged) in enumerate(finished.items()):
      target = dst / name
      if staged.is_file():
        target = target.with_name(f"{target.name}{staged.suffix}")
      target.parent.mkdir(parents=True, exist_ok=True)
      old = None
      if target.exists():
        old = staging / f"old-{i}"
        target.rename(old)
      moved.append((target, old))
      staged.rename(target)
  except BaseException:
    for i, (target, old) in enumerate(reversed(moved)):
      if target.exists():
        target.rename(staging / f"undone-{i}")
      if old is not None:
        old.rename(target)
    raise


def _sweep(dst: pathlib.Path) -> None:
  """Removes what conversions left that were killed days ago."""
  for folder in dst.glob(f"{_STAGING}*"):
    if time.time() - folder.stat().st_mtime > _ABANDONED:
      shutil.rmtree(folder, ignore_errors=True)
