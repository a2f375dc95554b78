"""Strengths of edits as the Python API takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from sfe_jax.directions.entries import Entry
from sfe_jax.errors import UserError
from sfe_jax.storage import checks

# A number for all pictures, an array with one number per picture, or a list of
# either: a strip, with one edited picture per entry.
Strength = ArrayLike | Sequence[ArrayLike]

# Beyond this multiple of the published range `remark` warns.
_FAR = 10


def strip(edits: Mapping[str, Strength]) -> list[dict[str, Any]] | None:
  """Splits lists of strengths.

  Args:
    edits: strength by name.

  Returns:
    One dict per entry of the lists, in which lists are replaced by that entry;
    None if no strength is a list or tuple.

  Raises:
    UserError: lists of different lengths, or empty ones.
  """
  lists = {k: s for k, s in edits.items() if isinstance(s, (list, tuple))}
  lengths = {len(s) for s in lists.values()}
  if not lengths:
    return None
  if len(lengths) > 1 or lengths == {0}:
    found = ", ".join(f"{len(s)} for {name}" for name, s in lists.items())
    raise UserError(
        f"lists of strengths must have one length, got {found}; a list gives"
        " one picture per entry, an array one strength per picture"
    )
  return [
      {k: lists[k][i] if k in lists else s for k, s in edits.items()}
      for i in range(lengths.pop())
  ]


def per_picture(name: Any, strength: ArrayLike, n: int) -> np.ndarray:
  """Checks a strength and repeats it for every picture.

  Args:
    name: of the direction.
    strength: a real number or an array (n,).
    n: number of pictures.

  Returns:
    float32 (n,).

  Raises:
    UserError: the name is no string, or the strength is something else.
  """
  if not isinstance(name, str):
    raise UserError(f"directions are named by strings, got {name!r}")
  values = _real(strength)
  is_fitting = values is not None and values.shape in ((), (n,))
  if values is None or not is_fitting or not np.isfinite(values).all():
    raise UserError(
        f"{name}: the strength must be a finite number or an array of {n}, one"
        f" per picture; got {strength!r}"
    )
  return np.broadcast_to(values, (n,))


def _real(strength: ArrayLike) -> np.ndarray | None:
  """float32, or None for what is not real numbers."""
  try:
    array = np.asarray(strength)
  except ValueError:  # lists of different lengths
    return None
  if not (checks.is_float(array) or array.dtype.kind in "iu"):
    return None
  with np.errstate(over="ignore"):  # infinity is refused by the caller
    return array.astype(np.float32)


def remark(entry: Entry, strengths: np.ndarray) -> str:
  """A warning for strengths far outside the direction's published range.

  Args:
    entry: the direction.
    strengths: any shape.

  Returns:
    The text; empty if there is no range or the strengths are not far outside.
  """
  reach = max(abs(entry.low or 0), abs(entry.high or 0))
  most = strengths.flat[np.abs(strengths).argmax()]
  if not reach or abs(most) <= _FAR * reach:
    return ""
  low, high = ("" if x is None else f"{x:g}" for x in (entry.low, entry.high))
  return (
      f"{entry.name}: strength {most:g} is more than {_FAR} times the published"
      f" range {low}..{high}"
  )
