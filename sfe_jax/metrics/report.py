"""Parts of an evaluation's JSON report that make it reproducible.

They state which pictures were measured, with which weights, and on which
machine.
"""

import collections
import datetime
import hashlib
import importlib.metadata
import os
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import jax
from absl import logging

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "pillow")
_HASH_DIGITS = 16


def describe_pictures(folder: str, files: Sequence[str]) -> dict[str, Any]:
  """Describes a test set; warns if its files have different formats.

  Args:
    folder: the folder that the user named.
    files: paths of the pictures in it.

  Returns:
    "folder", "formats" ({suffix: count}), and "files", a hash of the pictures'
    relative paths and sizes in bytes.
  """
  suffixes = (pathlib.Path(f).suffix.lower().lstrip(".") for f in files)
  formats = collections.Counter(s.replace("jpeg", "jpg") for s in suffixes)
  if len(formats) > 1:
    counts = ", ".join(f"{n} {name}" for name, n in formats.items())
    logging.warning(
        "%s mixes formats (%s): lossy compression changes Frechet distances;"
        " compare only numbers measured on the same files",
        folder, counts,
    )
  digest = hashlib.sha256()
  for file in files:
    name = os.path.relpath(file, folder)
    digest.update(f"{name} {os.path.getsize(file)}\n".encode())
  return {
      "folder": folder,
      "formats": dict(formats),
      "files": digest.hexdigest()[:_HASH_DIGITS],
  }


def hashes(folder: pathlib.Path, names: Iterable[str]) -> dict[str, str]:
  """Hashes of files, or of whole folders, below a weight folder.

  Args:
    folder: the weight folder.
    names: relative paths; those that do not exist are left out.

  Returns:
    The first digits of the SHA-256 of every name's contents.
  """
  found = {}
  for name in names:
    digest = hashlib.sha256()
    for path in sorted([folder / name, *(folder / name).rglob("*")]):
      if path.is_file():
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
        found[name] = digest.hexdigest()[:_HASH_DIGITS]
  return found


def circumstances() -> dict[str, Any]:
  """Time, command line, versions of packages, and the kind of device."""
  now = datetime.datetime.now(datetime.UTC)
  return {
      "time": now.isoformat(timespec="seconds"),
      "command": sys.argv,
      "versions": {p: importlib.metadata.version(p) for p in _PACKAGES},
      "device": jax.devices()[0].device_kind,
  }
