"""Copies tensors between official files and our variables, in both directions.

The correspondence of one network is a plain list of entries, made from the
network's sizes (see `Family.tensors`).  For example

  Tensor("convs.0.conv.weight", "params/conv1/kernel", "1 o i h w -> h w i o")

says that the official tensor `convs.0.conv.weight` has the axes (1, o, i, h, w)
and becomes the variable `kernel` of our module `conv1` with the axes
(h, w, i, o).
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from flax import traverse_util

from sfe_jax.errors import UserError

State: TypeAlias = Mapping[str, np.ndarray]

CONV = "o i h w -> h w i o"
LINEAR = "o i -> i o"


class Tensor(NamedTuple):
  """An official tensor and the variable that it fills.

  Attributes:
    official: name in the official file.
    ours: path of our variable, "collection/module/.../name".
    layout: "official axes -> our axes", one word per axis; a literal 1 is an
      axis of length one.  Empty if the axes are the same.
  """

  official: str
  ours: str
  layout: str = ""


class Constant(NamedTuple):
  """An official tensor that is not learned, such as a filter.

  A file may lack it; if it has it, it must hold `value`.
  """

  official: str
  value: np.ndarray


class Counter(NamedTuple):
  """A whole number that a file may hold; it is kept for export only."""

  official: str


class Unused(NamedTuple):
  """Official tensors whose names start with `prefix` are left out: `why`."""

  prefix: str
  why: str


Entry: TypeAlias = Tensor | Constant | Counter | Unused


def conv(official: str, ours: str, bias: bool = False) -> Iterator[Tensor]:
  """Entries of a convolution."""
  yield Tensor(f"{official}.weight", f"params/{ours}/kernel", CONV)
  if bias:
    yield Tensor(f"{official}.bias", f"params/{ours}/bias")


def linear(official: str, ours: str) -> Iterator[Tensor]:
  """Entries of a linear layer with a bias."""
  yield Tensor(f"{official}.weight", f"params/{ours}/kernel", LINEAR)
  yield Tensor(f"{official}.bias", f"params/{ours}/bias")


def batch_norm(
    official: str, ours: str, affine: bool = True
) -> Iterator[Tensor | Counter]:
  """Entries of a batch norm; `affine` says whether it has scale and bias."""
  if affine:
    yield Tensor(f"{official}.weight", f"params/{ours}/scale")
    yield Tensor(f"{official}.bias", f"params/{ours}/bias")
  yield Tensor(f"{official}.running_mean", f"batch_stats/{ours}/mean")
  yield Tensor(f"{official}.running_var", f"batch_stats/{ours}/var")
  yield Counter(f"{official}.num_batches_tracked")


def prelu(official: str, ours: str) -> Iterator[Tensor]:
  """Entry of a PReLU."""
  yield Tensor(f"{official}.weight", f"params/{ours}/alpha")


@dataclasses.dataclass
class Converted:
  """Our variables for one network and what its file held besides them.

  Attributes:
    variables: {collection: nested dict of float32 arrays}.
    kept: counters of the file by official name, needed to export it again.
    unused: official names that were left out, with the reason.
  """

  variables: dict[str, Any]
  kept: dict[str, np.ndarray]
  unused: dict[str, str]


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
  """{"a": {"b": x}} -> {"a/b": x}."""
  return traverse_util.flatten_dict(tree, sep="/")


def relayout(x: np.ndarray, layout: str, inverse: bool = False) -> np.ndarray:
  """Rearranges the axes of an array, e.g. by "1 o i -> i o".

  Raises:
    ValueError: the array does not have the axes of the layout.
  """
  if not layout:
    return x
  source, target = (side.split() for side in layout.split("->"))
  if inverse:
    source, target = target, source
  ones = tuple(i for i, axis in enumerate(source) if axis == "1")
  if x.ndim != len(source) or any(x.shape[i] != 1 for i in ones):
    raise ValueError(f"shape {x.shape} is not of the form ({' '.join(source)})")
  named = [axis for axis in source if axis != "1"]
  x = np.squeeze(x, ones)
  x = x.transpose([named.index(axis) for axis in target if axis != "1"])
  ones = tuple(i for i, axis in enumerate(target) if axis == "1")
  return np.expand_dims(x, ones)


def to_ours(
    entries: Iterable[Entry],
    state: State,
    abstract: Mapping[str, Any],
    what: str,
) -> Converted:
  """Maps an official state dict to our variables.

  Args:
    entries: the correspondence; it must cover every variable exactly once.
    state: official tensors by name; each of them is used exactly once.
    abstract: our variables with the shapes to fill (`jax.eval_shape`).
    what: names the network in messages.

  Raises:
    UserError: a tensor is unknown or missing, or its shape or dtype differs.
    ValueError: `entries` does not fit the variables (an error in our code).
  """
  entries = list(entries)
  want = flatten(abstract)
  _check_cover(entries, want)
  by_name = {e.official: e for e in entries if not isinstance(e, Unused)}
  dropped = {e.prefix: e.why for e in entries if isinstance(e, Unused)}
  unused = {
      key: why
      for key in state
      for prefix, why in dropped.items()
      if key.startswith(prefix) and key not in by_name
  }
  _check_names(by_name, state, unused, what)
  out: dict[str, np.ndarray] = {}
  kept: dict[str, np.ndarray] = {}
  for key in by_name.keys() & state.keys():
    entry, value = by_name[key], np.asarray(state[key])
    if isinstance(entry, Tensor):
      shape = tuple(want[entry.ours].shape)
      out[entry.ours] = _fit(value, entry, shape, what)
    elif isinstance(entry, Constant):
      _check_constant(value, entry, what)
    else:
      kept[key] = _counter(value, key, what)
  ordered = {path: out[path] for path in want}
  return Converted(
      traverse_util.unflatten_dict(ordered, sep="/"), kept, unused
  )


def to_official(
    entries: Iterable[Entry],
    variables: Mapping[str, Any],
    kept: State | None = None,
) -> dict[str, np.ndarray]:
  """The inverse of `to_ours`: {official name: array}, equal to the bit.

  Args:
    entries: the correspondence.
    variables: our variables; a collection may be absent as a whole.
    kept: counters by official name; the others are written as 0.

  Raises:
    ValueError: `entries` does not fit the variables (an error in our code).
  """
  entries = [
      e for e in entries
      if not isinstance(e, Tensor) or e.ours.partition("/")[0] in variables
  ]
  flat = flatten(jax.device_get(dict(variables)))
  _check_cover(entries, flat)
  out: dict[str, np.ndarray] = {}
  for entry in entries:
    if isinstance(entry, Tensor):
      value = np.asarray(flat[entry.ours])
      value = relayout(value, entry.layout, inverse=True)
      out[entry.official] = np.array(value, order="C")
    elif isinstance(entry, Constant):
      out[entry.official] = entry.value
    elif isinstance(entry, Counter):
      out[entry.official] = np.array(0, np.int64)
  return out | dict(kept or {})


def _check_cover(entries: Sequence[Entry], want: Mapping[str, Any]) -> None:
  """Entries name each variable, and each official tensor, exactly once."""
  ours = collections.Counter(
      e.ours for e in entries if isinstance(e, Tensor)
  )
  official = collections.Counter(
      e.official for e in entries if not isinstance(e, Unused)
  )
  wrong = {path for path in (*ours, *want) if ours[path] != int(path in want)}
  wrong |= {name for name, times in official.items() if times > 1}
  if wrong:
    raise ValueError(
        f"the list of tensors does not cover exactly once: {_some(wrong)}"
    )


def _check_names(
    by_name: Mapping[str, Entry],
    state: State,
    unused: Mapping[str, str],
    what: str,
) -> None:
  """Names unknown and missing tensors in one line."""
  unknown = state.keys() - by_name.keys() - unused.keys()
  missing = {
      key
      for key, entry in by_name.items()
      if isinstance(entry, Tensor) and key not in state
  }
  problems = [
      f"{len(names)} {adjective} tensor(s): {_some(names)}"
      for adjective, names in (("unknown", unknown), ("missing", missing))
      if names
  ]
  if problems:
    raise UserError(
        f"{what}: {'; '.join(problems)}; the file is damaged or of another"
        " architecture"
    )


def _some(names: Iterable[str]) -> str:
  """The first three of many names, for a one-line message."""
  names = sorted(names)
  more = f" and {len(names) - 3} more" if len(names) > 3 else ""
  return ", ".join(names[:3]) + more


def _fit(
    value: np.ndarray, entry: Tensor, shape: tuple[int, ...], what: str
) -> np.ndarray:
  """The official tensor in our layout, checked against our shape."""
  theirs = relayout(np.empty(shape, np.bool_), entry.layout, inverse=True).shape
  if value.shape != theirs:
    raise UserError(
        f"{what}: {entry.official} has shape {value.shape}, expected {theirs}"
    )
  if not np.issubdtype(value.dtype, np.floating):
    raise UserError(
        f"{what}: {entry.official} has dtype {value.dtype}, expected a float"
    )
  return np.array(relayout(value, entry.layout), np.float32, order="C")


def _check_constant(value: np.ndarray, entry: Constant, what: str) -> None:
  if value.shape != entry.value.shape:
    raise UserError(
        f"{what}: {entry.official} has shape {value.shape}, expected"
        f" {entry.value.shape}"
    )
  if not np.allclose(value, entry.value, atol=1e-6):
    raise UserError(
        f"{what}: {entry.official} is not the fixed filter that this network is"
        " built with; the file is of another architecture"
    )


def _counter(value: np.ndarray, key: str, what: str) -> np.ndarray:
  if value.shape or value.dtype.kind not in "iu":
    raise UserError(
        f"{what}: {key} has shape {value.shape} and dtype {value.dtype},"
        " expected a whole number; the file is damaged"
    )
  return value
