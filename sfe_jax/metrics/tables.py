r"""Prints reports of `python -m sfe_jax.evaluate` as Markdown tables.

  python -m sfe_jax.metrics.tables FILE.json [FILE.json ...]

Reports with the same --name share a row.  Numbers of one column must have been
measured alike: on the same pictures or drawn faces, with the same evaluation
networks.  Otherwise the files are refused.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sfe_jax import command_line
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

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
    "identity": "Identity similarity to the true edited picture",
}
_STRENGTH = "Strength, and its effect in % of the true change"
_SIGNS = {"adds": "+", "removes": "-"}
# Entries of a report that must be equal for all numbers of a column.
_BASIS = ("size", "measures", "networks", "seed", "count")
# Numbers without an edit do not depend on the method; they may differ by this
# relative rounding error.
_ROUNDING = 0.01


class Cell(NamedTuple):
  """One number of a table.

  Attributes:
    table: title of the table.
    row: name of the row.
    column: name of the column.
    text: the number as printed.
    basis: what must be equal for all numbers of the column.
  """

  table: str
  row: str
  column: str
  text: str
  basis: dict[str, Any]


def cells(document: Mapping[str, Any]) -> Iterator[Cell]:
  """Yields all numbers of one report."""
  name, results = document["name"], document["results"]
  basis = {key: document[key] for key in _BASIS if key in document}
  if document["protocol"] == "inversion":
    basis |= {"count": results["count"], "files": document["pictures"]["files"]}
    for key, title in _INVERSION.items():
      if results.get(key) is not None:
        yield Cell(_QUALITY, name, title, number(results[key]), basis)
  elif document["protocol"] == "editing":
    edit = document["edit"]
    column = f"FID {edit['attribute']} ({_SIGNS[edit['effect']]})"
    basis["count"] = [results["count_compared"], results["count_edited"]]
    basis["files"] = document["pictures"]["files"]
    for row, key in ((_UNEDITED, "fid_unedited"), (name, "fid")):
      yield Cell(_QUALITY, row, column, number(results[key]), basis)
  else:
    for attribute, values in results.items():
      yield from _truth_cells(name, attribute, values, basis)


def _truth_cells(
    name: str,
    attribute: str,
    values: Mapping[str, Any],
    basis: dict[str, Any],
) -> Iterator[Cell]:
  rows = {_UNEDITED: "input", name: "edit", f"{name}, truth inverted": "floor"}
  for key, table in _TRUTH.items():
    for row, kind in rows.items():
      if key in values[kind]:
        text = number(values[kind][key])
        yield Cell(table, row, attribute, text, basis)
  text = f"{values['strength']:.2f}"
  if values["effect"] is not None:
    text += f" ({100 * values['effect']:.0f} %)"
  yield Cell(_STRENGTH, name, attribute, text, basis)


def number(value: float) -> str:
  """Formats a number with three significant digits."""
  return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def markdown(documents: Mapping[str, Mapping[str, Any]]) -> str:
  """Formats reports as Markdown tables.

  Args:
    documents: reports by the name of their file.

  Raises:
    UserError: two reports were not measured alike, or they have different
      numbers for one cell.
  """
  tables: dict[str, dict[str, dict[str, str]]] = {}
  columns: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {}
  for file, document in documents.items():
    for cell in cells(document):
      first = columns.setdefault(cell.table, {}).setdefault(
          cell.column, (file, cell.basis)
      )
      _check_alike(first, (file, cell.basis))
      row = tables.setdefault(cell.table, {}).setdefault(cell.row, {})
      known = row.setdefault(cell.column, cell.text)
      if known != cell.text and not _is_rounding(cell, known):
        raise UserError(
            f"{file}: {cell.row!r} already has another number in column"
            f" {cell.column!r}; evaluate with another --name"
        )
  return "\n".join(
      _table(title, rows, list(columns[title]))
      for title, rows in tables.items()
  )


def _check_alike(
    first: tuple[str, dict[str, Any]], second: tuple[str, dict[str, Any]]
) -> None:
  """Raises UserError if two files measured one column differently."""
  (file_a, a), (file_b, b) = first, second
  for key in sorted(a.keys() | b.keys()):
    if a.get(key) != b.get(key):
      raise UserError(
          f"{file_a} and {file_b} were not measured alike: {key} is"
          f" {a.get(key)} and {b.get(key)}"
      )


def _is_rounding(cell: Cell, known: str) -> bool:
  return cell.row == _UNEDITED and math.isclose(
      float(known), float(cell.text), rel_tol=_ROUNDING
  )


def _table(
    title: str, rows: Mapping[str, Mapping[str, str]], columns: list[str]
) -> str:
  columns = sorted(columns, key=lambda name: name == _SECONDS)
  names = sorted(rows, key=lambda name: name != _UNEDITED)
  lines = [["", *columns], ["---"] * (len(columns) + 1)]
  lines += [[n, *(rows[n].get(c, "") for c in columns)] for n in names]
  body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
  return f"{title}:\n\n{body}"


def read(file: str) -> dict[str, Any]:
  """Reads one report.

  Raises:
    UserError: the file is missing or is not a report.
  """
  document = atomic.read_json(file)
  try:
    list(cells(document))
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise UserError(
        f"{file} is not a report of this version of sfe_jax.evaluate"
    ) from error
  return document


def define_flags() -> None:
  """Defines nothing: the program takes files only."""


def main(argv: Sequence[str]) -> int:
  """Prints tables of the report files argv[1:]; returns the exit code."""
  if len(argv) < 2:
    raise UserError("name report files of sfe_jax.evaluate; --help shows how")
  documents = {file: read(file) for file in argv[1:]}
  sys.stdout.write(markdown(documents))
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags, positional=True)
