"""Strengths of edits as the Python API takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from sfe_jax.directions.entries import Entry, range_text
from sfe_jax.errors import UserError
from sfe_jax.storage import checks

# A number for all pictures, an array with one number per picture, or a list of
# either: a strip, with one edited picture per entry.
Strength = ArrayLike | Sequence[ArrayLike]


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
        " one picture per entry"
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
  """A warning for strengths outside a direction's useful range.

  Args:
    entry: the direction.
    strengths: float32 of any shape.

  Returns:
    The text; empty if all strengths are in the range or it is not known.
  """
  # As text the float32 next to 0.14 is 0.14, which is in a range up to 0.14.
  values = [float(str(x)) for x in strengths.flat]
  outside = [x for x in values if not entry.in_range(x)]
  if not outside:
    return ""
  return (
      f"{entry.name} {max(outside, key=abs):g} is outside the useful range"
      f" {range_text(entry.low, entry.high)}"
  )
