r"""Markdown tables of what `python -m sfe_jax.evaluate` measured.

  python -m sfe_jax.metrics.tables *.json

Files of one --name share a row.  Numbers that were not measured alike (another
number of pictures, another network that measures) are refused, not mixed.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sfe_jax.errors import UserError

_QUALITY = "Inversion and editing quality"
_UNEDITED = "no edit"
_SECONDS = "s/picture"
_INVERSION = {
    "l2": "L2",
    "perceptual": "perceptual",
    "identity": "identity",
    "ms_ssim": "MS-SSIM",
    "fid": "FID",
    "seconds_per_picture": _SECONDS,
}
_TRUTH = {
    "l2": "L2 to the true edited picture",
    "l2_changed": "L2 to the true edited picture, where it differs",
    "perceptual": "Perceptual distance to the true edited picture",
    "identity": "Identity beside the true edited picture",
}
_STRENGTH = "Strength, and its effect in % of the true change"
# What must be the same of all numbers in a column.
_BASIS = ("size", "measures", "networks", "seed", "count")
_ALIKE = 0.01  # numbers that do not depend on the method: rounding apart


class Cell(NamedTuple):
  """One number, where it stands, and what it rests on."""

  table: str
  row: str
  column: str
  text: str
  basis: dict[str, Any]


def cells(document: dict[str, Any]) -> Iterator[Cell]:
  """All numbers of one report."""
  name, results = document["name"], document["results"]
  basis = {key: document[key] for key in _BASIS if key in document}
  if document["protocol"] == "inversion":
    basis |= {"count": results["count"], "files": document["pictures"]["files"]}
    for key, title in _INVERSION.items():
      if results.get(key) is not None:
        yield Cell(_QUALITY, name, title, number(results[key]), basis)
  elif document["protocol"] == "editing":
    edit = document["edit"]
    sign = "+" if edit["strength"] > 0 else "-"
    column = f"FID {edit['attribute']} ({sign})"
    basis["count"] = [results["count_compared"], results["count_edited"]]
    basis["files"] = document["pictures"]["files"]
    for row, key in ((_UNEDITED, "fid_unedited"), (name, "fid")):
      yield Cell(_QUALITY, row, column, number(results[key]), basis)
  else:
    for attribute, values in results.items():
      yield from _truth_cells(name, attribute, values, basis)


def _truth_cells(name, attribute, values, basis) -> Iterator[Cell]:
  rows = {_UNEDITED: "input", name: "edit", f"{name}, truth inverted": "floor"}
  for key, table in _TRUTH.items():
    for row, kind in rows.items():
      if key in values[kind]:
        text = number(values[kind][key])
        yield Cell(table, row, attribute, text, basis)
  effect = values["effect"]
  text = f"{values['strength']:.2f}"
  text += "" if effect is None else f" ({100 * effect:.0f} %)"
  yield Cell(_STRENGTH, name, attribute, text, basis)


def number(value: float) -> str:
  """Three digits."""
  return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def markdown(documents: dict[str, dict[str, Any]]) -> str:
  """Tables of some reports.

  Args:
    documents: reports by the name of their file.

  Raises:
    UserError: two reports measure differently, or the same.
  """
  tables: dict[str, dict[str, dict[str, str]]] = {}
  columns: dict[str, dict[str, tuple[str, dict]]] = {}
  for file, document in documents.items():
    for cell in cells(document):
      first, basis = columns.setdefault(cell.table, {}).setdefault(
          cell.column, (file, cell.basis)
      )
      for key in basis.keys() | cell.basis.keys():
        if basis.get(key) != cell.basis.get(key):
          raise UserError(
              f"{first} and {file} are not measured alike: {key} is"
              f" {basis.get(key)} and {cell.basis.get(key)}"
          )
      row = tables.setdefault(cell.table, {}).setdefault(cell.row, {})
      known = row.setdefault(cell.column, cell.text)
      shared = cell.row == _UNEDITED and math.isclose(
          float(known), float(cell.text), rel_tol=_ALIKE
      )
      if known != cell.text and not shared:
        raise UserError(
            f"{file}: {cell.row!r} has another number for {cell.column!r}"
            " already; evaluate with another --name"
        )
  return "\n".join(
      _table(title, rows, list(columns[title]))
      for title, rows in tables.items()
  )


def _table(title: str, rows: dict[str, dict], columns: list[str]) -> str:
  columns = sorted(columns, key=lambda name: name == _SECONDS)
  names = sorted(rows, key=lambda name: name != _UNEDITED)
  lines = [["", *columns], ["---"] * (len(columns) + 1)]
  lines += [[n, *(rows[n].get(c, "") for c in columns)] for n in names]
  body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
  return f"{title}:\n\n{body}"


def main(files: Sequence[str]) -> int:
  """Prints tables of report files; returns the exit code."""
  documents = {}
  try:
    if not files:
      raise UserError("name the files that python -m sfe_jax.evaluate wrote")
    for file in files:
      documents[file] = _read(file)
    sys.stdout.write(markdown(documents))
  except UserError as error:
    sys.stderr.write(f"error: {error}\n")
    return 2
  return 0


def _read(file: str) -> dict[str, Any]:
  try:
    with open(file, encoding="utf-8") as text:
      document = json.load(text)
    list(cells(document))
  except OSError as error:
    raise UserError(f"{file}: {error.strerror}") from error
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise UserError(f"{file} is no report of sfe_jax.evaluate") from error
  return document


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
