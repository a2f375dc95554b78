"""Files that are whole or absent: written beside their place, then renamed."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Gives a path to write to; it becomes `path` when the block ends well.

  Makes the folder.  The path given has the suffix of `path`.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
  try:
    yield part
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes UTF-8."""
  with replacing(path) as part:
    part.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
  """Writes JSON for programs and for people."""
  write_text(path, json.dumps(content, indent=1) + "\n")
