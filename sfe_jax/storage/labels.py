"""Labels of pictures: reads a CSV file and turns its columns into numbers.

  file,smile,glasses,hair
  a/1.png,0.25,1,short
  a/2.png,0.75,0,long

Paths in column `file` are relative to the folder of the CSV file.  A column
that holds only 0 and 1 is binary, another column of numbers is continuous, and
a column of text is categorical.
"""

import csv
import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

BINARY, CONTINUOUS, CATEGORICAL = "binary", "continuous", "categorical"
EFFECTS = "effects.json"  # beside a CSV file, see `read_effects`
FILE = "file"  # the column of paths
_MOST_CHOICES = 64
# Line numbers and texts of a column.
_Cells = Sequence[tuple[int, str]]


@dataclasses.dataclass(frozen=True)
class Column:
  """Meaning of one column.

  Attributes:
    name: name in the header.
    kind: BINARY, CONTINUOUS or CATEGORICAL.
    choices: the different texts of a categorical column, sorted.
    mean: mean of a continuous column.
    std: standard deviation of a continuous column.
  """

  name: str
  kind: str
  choices: tuple[str, ...] = ()
  mean: float = 0.0
  std: float = 1.0

  @property
  def outputs(self) -> tuple[str, ...]:
    """Names of the column's numbers: "smile", or "hair=long" per choice."""
    if self.kind == CATEGORICAL:
      return tuple(f"{self.name}={choice}" for choice in self.choices)
    return (self.name,)


Schema = tuple[Column, ...]


def to_json(schema: Schema) -> list[dict[str, Any]]:
  """A schema as JSON-serialisable dicts, which `from_json` reads."""
  return [dataclasses.asdict(column) for column in schema]


def from_json(columns: Iterable[Mapping[str, Any]]) -> Schema:
  """The schema that `to_json` made into dicts."""
  return tuple(
      Column(**{**column, "choices": tuple(column["choices"])})
      for column in columns
  )


def outputs(schema: Schema) -> list[str]:
  """Names of all numbers of a label in order, see `Column.outputs`."""
  return [name for column in schema for name in column.outputs]


def name_key(name: str) -> str:
  """Normal form of a name: case, spaces, "_" and "-" do not distinguish."""
  return re.sub(r"[\s_-]", "", name.lower())


def label_names(schema: Schema) -> list[str]:
  """Names of the directions for a schema's labels, in order.

  Example: "hair=long" -> "hair_long".

  Raises:
    UserError: two names are the same, or a label has no letter or digit, or
      the name is reserved (pca1, sefa1, ...).
  """
  names: list[str] = []
  taken: dict[str, str] = {}
  for label in outputs(schema):
    name = re.sub(r"\W+", "_", label).strip("_")
    key = name_key(name)
    if not key or re.fullmatch(r"(pca|sefa)\d+", key):
      raise UserError(
          f"the label {label!r} gives no name to an edit: use letters, and not"
          " pca1, sefa1, ..., which are taken"
      )
    if key in taken:
      raise UserError(
          f"the labels {taken[key]!r} and {label!r} would both name an edit"
          f" {name!r}; rename one"
      )
    taken[key] = label
    names.append(name)
  return names


def spans(schema: Schema) -> list[tuple[Column, slice]]:
  """Every column with the place of its numbers in a label."""
  ends = np.cumsum([len(column.outputs) for column in schema])
  return [
      (column, slice(int(end) - len(column.outputs), int(end)))
      for column, end in zip(schema, ends)
  ]


@dataclasses.dataclass(frozen=True)
class Table:
  """The labels of a set of files.

  Attributes:
    path: path of the CSV file.
    schema: its columns.
    rows: row number by absolute path of the picture.
    values: (rows, outputs) float32.  Binary columns are 0 or 1, continuous
      columns are standardised, categorical columns are one-hot.
  """

  path: str
  schema: Schema
  rows: Mapping[str, int]
  values: np.ndarray

  def of(self, files: Sequence[str]) -> np.ndarray:
    """Looks up the labels of files.

    Args:
      files: n paths of pictures.

    Returns:
      (n, outputs) float32, see `values`.

    Raises:
      UserError: a file has no label.
    """
    paths = [os.path.abspath(file) for file in files]
    missing = [f for f, path in zip(files, paths) if path not in self.rows]
    if missing:
      raise UserError(
          f"{self.path} has no row for {len(missing)} of {len(files)} pictures,"
          f" such as {missing[0]}; its column {FILE!r} is relative to"
          f" {os.path.dirname(self.path)}"
      )
    return self.values[[self.rows[path] for path in paths]]


def read(path: str | os.PathLike) -> Table:
  """Reads a CSV file of labels.

  Columns of a single value and texts with more than 64 choices are left out;
  this is logged.  Means and standard deviations are those of all rows.

  Args:
    path: path of the CSV file.

  Raises:
    UserError: the file or its column `file` is missing, a line has another
      number of values than the header, a picture has two rows, a value has
      another type than the first one of its column, or no column is left.
  """
  path = os.path.abspath(path)
  header, lines = _read(path)
  if FILE not in header:
    raise UserError(
        f"{path} has no column {FILE!r}, only {', '.join(header)}; it holds"
        " every picture's path, relative to the folder of the labels"
    )
  rows: dict[str, int] = {}
  schema: list[Column] = []
  values: list[np.ndarray] = []
  for i, name in enumerate(header):
    cells = [(line, fields[i].strip()) for line, fields in lines]
    if name == FILE:
      rows = _rows(path, cells)
      continue
    column, numbers = _column(path, name, cells)
    if column is not None:
      schema.append(column)
      values.append(numbers)
  if not schema:
    raise UserError(
        f"{path} has no column to learn from; it needs some besides {FILE!r},"
        " with different values"
    )
  together = np.concatenate(values, 1).astype(np.float32)
  return Table(path, tuple(schema), rows, together)


def _read(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
  """Reads the header, and the line number and fields of every row."""
  try:
    with open(path, encoding="utf-8-sig", newline="") as file:
      reader = csv.reader(file)
      header = [name.strip() for name in next(reader, [])]
      lines = [(reader.line_num, fields) for fields in reader if fields]
  except FileNotFoundError:
    raise UserError(
        f"{path}: no such file of labels; the config value data.labels names"
        ' it, "" means no labels'
    ) from None
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"{path} cannot be read: {error}") from error
  for line, fields in lines:
    if len(fields) != len(header):
      raise UserError(
          f"{path}, line {line} has {len(fields)} values for {len(header)}"
          " columns"
      )
  if not lines:
    raise UserError(f"{path} holds no labels")
  return header, lines


def _rows(path: str, cells: _Cells) -> dict[str, int]:
  """Row numbers by absolute path."""
  folder = os.path.dirname(path)
  rows: dict[str, int] = {}
  for row, (line, file) in enumerate(cells):
    file = os.path.normpath(os.path.join(folder, file))
    if file in rows:
      raise UserError(f"{path}, line {line}: {file} already has a row")
    rows[file] = row
  return rows


def _column(
    path: str, name: str, cells: _Cells
) -> tuple[Column | None, np.ndarray]:
  """Meaning of a column, None to leave it out; values (rows, outputs)."""
  first_line, first = cells[0]
  if _number(first) is None:
    return _category(path, name, cells)
  values = np.empty((len(cells), 1))
  for row, (line, text) in enumerate(cells):
    value = _number(text)
    if value is None:
      raise UserError(
          f"{path}, line {line}, column {name}: {text!r} is not a finite"
          f" number, as line {first_line} has; write numbers only, or text only"
      )
    values[row] = value
  if (values == values[0]).all():
    logging.warning(
        "%s: column %s is %s in every row; left out", path, name, first
    )
    return None, values
  if np.isin(values, (0, 1)).all():
    return Column(name, BINARY), values
  mean, std = float(values.mean()), float(values.std())
  column = Column(name, CONTINUOUS, mean=mean, std=std)
  return column, (values - mean) / std


def _category(
    path: str, name: str, cells: _Cells
) -> tuple[Column | None, np.ndarray]:
  """As `_column`, for a column of text."""
  for line, text in cells:
    if not text:
      raise UserError(f"{path}, line {line}, column {name} is empty")
  texts = [text for _, text in cells]
  choices, index = np.unique(texts, return_inverse=True)
  if not 1 < len(choices) <= _MOST_CHOICES:
    logging.warning(
        "%s: column %s has %d different texts, not 2 to %d; left out",
        path, name, len(choices), _MOST_CHOICES,
    )
    return None, index
  column = Column(name, CATEGORICAL, tuple(choices.tolist()))
  return column, np.eye(len(choices))[index]


def _number(text: str) -> float | None:
  """The finite number that a text stands for, else None."""
  try:
    value = float(text)
  except ValueError:
    return None
  return value if math.isfinite(value) else None


def read_effects(path: str | os.PathLike) -> dict[str, tuple[str, str]]:
  """Reads what edits of labels do, from the file EFFECTS beside a CSV file.

  The file is optional.  It maps a label, "skin" or "hair=long", to what a
  positive and what a negative strength does, e.g.
  {"skin": ["darker skin", "lighter skin"]}.

  Args:
    path: the CSV file of labels.

  Returns:
    Effects by label; empty without the file.

  Raises:
    UserError: the file cannot be read or has another form.
  """
  file = os.path.join(os.path.dirname(os.path.abspath(path)), EFFECTS)
  if not os.path.exists(file):
    return {}
  found = atomic.read_json(file)
  pairs = found.items() if isinstance(found, dict) else [("", found)]
  for label, texts in pairs:
    if (
        not isinstance(texts, list)
        or len(texts) != 2
        or not all(isinstance(text, str) for text in texts)
    ):
      raise UserError(
          f"{file}: {label!r} must be two texts, what + and what - does, e.g."
          f' ["darker skin", "lighter skin"]; got {texts!r}'
      )
  return {label: (texts[0], texts[1]) for label, texts in pairs}
