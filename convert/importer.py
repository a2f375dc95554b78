"""Official files -> one weight folder, whole or not at all."""

import dataclasses
import hashlib
import os
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import tqdm
from absl import logging

from convert import official, reader
from convert.mapping import Converted, flatten
from sfe_jax import weights
from sfe_jax.errors import UserError

_SKIPPED_SUFFIXES = frozenset(
    {".csv", ".dat", ".jpg", ".json", ".md", ".png", ".txt", ".yaml", ".yml"}
)


# Networks of one release belong together, so where several files hold a
# network, the file with the first of these is preferred.
_PREFERENCE = ("feature_editor", "inverter", "e4e", "generator", "psp")


_LPIPS = (
    "half of an LPIPS network; give torchvision's vgg16 or alexnet and LPIPS'"
    " lin weights (vgg.pth, alex.pth) together"
)


@dataclasses.dataclass(frozen=True)
class _Staged:
  """A network written to the staging folder.

  Attributes:
    name: of the network.
    rank: of its file, lower is preferred.
    path: of its file.
    digest: of its variables.
    folder: where it waits.
  """

  name: str
  rank: int
  path: pathlib.Path
  digest: str
  folder: pathlib.Path


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
  dst.parent.mkdir(parents=True, exist_ok=True)
  staging = dst.with_name(f".{dst.name}.convert-{os.getpid()}")
  try:
    staging.mkdir()
    for name, staged in _convert_all(paths, from_folder, staging).items():
      _move(staged, dst / name)
  finally:
    shutil.rmtree(staging, ignore_errors=True)


def _files(
    sources: Sequence[str | os.PathLike],
) -> tuple[list[pathlib.Path], set[pathlib.Path]]:
  """All files, and those that were not named but found in a folder."""
  paths: list[pathlib.Path] = []
  from_folder: set[pathlib.Path] = set()
  for source in map(pathlib.Path, sources):
    if source.is_dir():
      inside = sorted(
          p for p in source.rglob("*")
          if p.is_file()
          and not p.name.startswith(".")
          and p.suffix.lower() not in _SKIPPED_SUFFIXES
      )
      if not inside:
        raise UserError(f"{source}: no weight file in this folder")
      from_folder.update(inside)
      paths += inside
    elif source.exists():
      paths.append(source)
    else:
      raise UserError(f"{source}: no such file or folder")
  return list(dict.fromkeys(paths)), from_folder


def _convert_all(
    paths: Sequence[pathlib.Path],
    from_folder: set[pathlib.Path],
    staging: pathlib.Path,
) -> dict[str, pathlib.Path]:
  """Writes all networks to `staging`: {final name: folder or file}."""
  networks: list[_Staged] = []
  out: dict[str, pathlib.Path] = {}
  features: list[tuple[pathlib.Path, official.Found]] = []
  lin: list[official.State] = []
  for path in tqdm.tqdm(paths, unit="file", disable=len(paths) < 2):
    found = _find(path, path in from_folder)
    if found is None:
      continue
    if found.arrays is not None:
      out[f"directions/{path.stem}.npz"] = _stage_arrays(
          found.arrays, staging / f"{len(out)}.npz"
      )
      logging.info("%s: direction %s", path.name, path.stem)
    if found.features is not None:
      features.append((path, found))
    if found.lin is not None:
      lin.append(found.lin)
    networks += _stage(path, found, found.parts, staging, len(networks))
  for path, found in features:
    part = official.lpips_part(found.features, lin)
    if part is None:
      logging.warning("skipped %s: %s", path, _LPIPS)
    else:
      networks += _stage(path, found, [part], staging, len(networks))
  if not networks and not out:
    raise UserError(
        _LPIPS
        if features or lin
        else "nothing recognised: no file holds official weights"
    )
  return out | _choose(networks)


def _find(path: pathlib.Path, lenient: bool) -> official.Found | None:
  """What a file holds; None for a folder's file of something else."""
  try:
    found = official.find(reader.read(path), path.stem)
  except reader.NotWeights as error:
    if not lenient:
      raise
    logging.warning("skipped: %s", error)
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
    digest = _digest(converted)
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
  """Final names; equal networks count once."""
  out: dict[str, pathlib.Path] = {}
  digests: dict[str, set[str]] = {}
  for staged in sorted(networks, key=lambda s: s.rank):
    seen = digests.setdefault(staged.name, set())
    if staged.digest in seen:
      continue
    name = staged.name
    if seen:
      name = f"{staged.name}@{staged.path.stem}"
      logging.warning(
          "%s holds another %s; it is written as %s",
          staged.path.name, staged.name, name,
      )
    seen.add(staged.digest)
    out[name] = staged.folder
  return out


def _digest(converted: Converted) -> str:
  """Identifies the numbers of a network."""
  digest = hashlib.sha256()
  for path, value in sorted(flatten(converted.variables).items()):
    digest.update(path.encode())
    digest.update(np.ascontiguousarray(value).data)
  return digest.hexdigest()


def _file_digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _stage_arrays(
    arrays: dict[str, np.ndarray], path: pathlib.Path
) -> pathlib.Path:
  np.savez(path, **arrays)
  return path


def _move(staged: pathlib.Path, target: pathlib.Path) -> None:
  """Puts a finished folder or file in place of what was there."""
  target.parent.mkdir(parents=True, exist_ok=True)
  if target.is_dir():
    old = staged.with_name(f"old-{staged.name}")
    target.rename(old)
  staged.rename(target)
