"""Rules that carry tensors between official files and our variables.

A rule is data and works in both directions:

  Rule("convs.{2i}.conv", "conv{2i+1}", UP_CONV)

Templates hold `{i}`, `{i+1}`, `{2i}` or `{2i+1}` for an integer (solved for i
when matching) and `{*p}` for any dotted path (slashes on our side).  A kind
lists the tensors found below the two names and their layouts, written as axis
lists: "o i h w -> h w i o"; a literal 1 is an axis of size one.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from sfe_jax.errors import UserError

Bindings = tuple[tuple[str, Any], ...]
_FIELD = re.compile(r"\{(\*?)(\d*)([a-z]+)([+-]\d+)?\}")


class Tensor(NamedTuple):
  """One tensor below a rule: its official name, our name and the layout."""

  source: str
  target: str
  layout: str = ""


class Constant(NamedTuple):
  """An official tensor that holds no learned value.

  `value` is what export writes; with `fixed` a file must hold just that,
  otherwise the file's own value is kept beside the weights for export.
  """

  source: str
  value: np.ndarray
  fixed: bool = True


class Rule(NamedTuple):
  """Maps everything below an official name to names below one of ours."""

  source: str
  target: str
  kind: Sequence[Tensor | Constant]


class Unused(NamedTuple):
  """Official tensors that are dropped, and why."""

  source: str
  why: str


CONV = (
    Tensor("weight", "params/kernel", "o i h w -> h w i o"),
    Tensor("bias", "params/bias"),
)
LINEAR = (
    Tensor("weight", "params/kernel", "o i -> i o"),
    Tensor("bias", "params/bias"),
)
BATCH_NORM = (
    Tensor("weight", "params/scale"),
    Tensor("bias", "params/bias"),
    Tensor("running_mean", "batch_stats/mean"),
    Tensor("running_var", "batch_stats/var"),
    Constant("num_batches_tracked", np.array(0, np.int64), fixed=False),
)
PRELU = (Tensor("weight", "params/alpha"),)


@dataclasses.dataclass
class Converted:
  """Our variables for one network and what its file held beside them.

  Attributes:
    variables: {collection: nested dict of float32 arrays}.
    kept: counters of the file by official name, needed to export it again.
    unused: official names that were dropped, with the reason.
  """

  variables: dict[str, Any]
  kept: dict[str, np.ndarray]
  unused: dict[str, str]


def relayout(x: np.ndarray, layout: str, inverse: bool = False) -> np.ndarray:
  """Applies "o i -> i o"; raises ValueError where axes do not fit."""
  if not layout:
    return x
  source, target = (side.split() for side in layout.split("->"))
  if inverse:
    source, target = target, source
  fits = x.ndim == len(source) and all(
      n == 1 for n, axis in zip(x.shape, source) if axis == "1"
  )
  if not fits:
    raise ValueError(f"shape {x.shape} is not of the form ({' '.join(source)})")
  named = [axis for axis in source if axis != "1"]
  x = x.reshape([n for n, axis in zip(x.shape, source) if axis != "1"])
  x = x.transpose([named.index(axis) for axis in target if axis != "1"])
  sizes = iter(x.shape)
  return x.reshape([1 if axis == "1" else next(sizes) for axis in target])


@functools.cache
def _compile(template: str) -> tuple[re.Pattern[str], tuple[Any, ...]]:
  """Returns the template's regex and (name, factor, offset) per field."""
  fields, pattern, end = [], "", 0
  for m in _FIELD.finditer(template):
    star, factor, name, offset = m.groups()
    pattern += re.escape(template[end : m.start()])
    pattern += r"(.+)" if star else r"(0|[1-9]\d*)"
    fields.append(
        (name, None, 0) if star else (name, int(factor or 1), int(offset or 0))
    )
    end = m.end()
  return re.compile(pattern + re.escape(template[end:])), tuple(fields)


def _match(template: str, name: str) -> dict[str, Any] | None:
  """Solves `template` for `name`; None where it does not fit."""
  pattern, fields = _compile(template)
  m = pattern.fullmatch(name)
  if m is None:
    return None
  bindings = {}
  for (field, factor, offset), text in zip(fields, m.groups()):
    if factor is None:
      value = text.replace("/", ".")
    else:
      value, rest = divmod(int(text) - offset, factor)
      if rest or value < 0:
        return None
    if bindings.setdefault(field, value) != value:
      return None
  return bindings


def matches(template: str, name: str) -> bool:
  """Whether `name` is of the form `template`."""
  return _match(template, name) is not None


def _render(template: str, bindings: Mapping[str, Any], slash: bool) -> str:
  def field(m: re.Match[str]) -> str:
    star, factor, name, offset = m.groups()
    if star:
      return bindings[name].replace(".", "/") if slash else bindings[name]
    return str(int(factor or 1) * bindings[name] + int(offset or 0))

  return _FIELD.sub(field, template)


def _join(*parts: str, sep: str) -> str:
  return sep.join(p for p in parts if p)


def _path(tensor: Tensor, target: str) -> str:
  """"params/kernel" below "conv1" is "params/conv1/kernel"."""
  collection, leaf = tensor.target.split("/", 1)
  return _join(collection, target, leaf, sep="/")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """{"a": {"b": x}} -> {"a/b": x}."""
  out = {}
  for key, value in tree.items():
    path = f"{prefix}{key}"
    if isinstance(value, Mapping):
      out.update(flatten(value, path + "/"))
    else:
      out[path] = value
  return out


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
  """{"a/b": x} -> {"a": {"b": x}}."""
  out: dict[str, Any] = {}
  for path, value in flat.items():
    *parents, leaf = path.split("/")
    node = out
    for parent in parents:
      node = node.setdefault(parent, {})
    node[leaf] = value
  return out


def _find(rules: Sequence[Rule | Unused], key: str):
  """First rule that takes the official `key`: (rule, tensor, bindings)."""
  for rule in rules:
    if isinstance(rule, Unused):
      if _match(rule.source, key) is not None:
        return rule, None, {}
      continue
    for tensor in rule.kind:
      template = _join(rule.source, tensor.source, sep=".")
      bindings = _match(template, key)
      if bindings is not None:
        return rule, tensor, bindings
  return None


def _some(names: Sequence[str]) -> str:
  """A few of many names, for a one-line message."""
  names = sorted(names)
  more = f" and {len(names) - 3} more" if len(names) > 3 else ""
  return ", ".join(names[:3]) + more


def to_ours(
    rules: Sequence[Rule | Unused],
    state: Mapping[str, np.ndarray],
    abstract: Mapping[str, Any],
    what: str,
) -> Converted:
  """Maps an official state dict to our variables.

  Args:
    rules: ordered; the first that fits a key takes it.
    state: official tensors by name.
    abstract: our variables with the shapes to fill (`jax.eval_shape`).
    what: names the network in messages.

  Raises:
    UserError: a key is unknown, missing or given twice, or a shape differs.
  """
  want = flatten(abstract)
  out: dict[str, np.ndarray] = {}
  kept: dict[str, np.ndarray] = {}
  unused: dict[str, str] = {}
  unknown = []
  for key, value in state.items():
    found = _find(rules, key)
    if found is None:
      unknown.append(key)
      continue
    rule, tensor, bindings = found
    if isinstance(rule, Unused):
      unused[key] = rule.why
    elif isinstance(tensor, Constant):
      _check_constant(value, tensor, key, what)
      if not tensor.fixed:
        kept[key] = np.asarray(value)
    else:
      target = _render(rule.target, bindings, slash=True)
      path = _path(tensor, target)
      if path not in want:
        unknown.append(key)
        continue
      if path in out:
        raise UserError(f"{what}: {key} fills {path} a second time")
      out[path] = _fit(value, tensor.layout, want[path].shape, key, what)
  if unknown:
    raise UserError(
        f"{what}: {len(unknown)} unknown tensor(s): {_some(unknown)}; the file"
        " is damaged or of another architecture"
    )
  missing = [path for path in want if path not in out]
  if missing:
    raise UserError(
        f"{what}: {len(missing)} tensor(s) missing from the file:"
        f" {_some(_official(rules, missing))}"
    )
  return Converted(unflatten(out), kept, unused)


def _check_constant(value, constant, key, what) -> None:
  if np.shape(value) != constant.value.shape:
    raise UserError(
        f"{what}: {key} has shape {np.shape(value)}, expected"
        f" {constant.value.shape}"
    )
  if not constant.fixed and np.asarray(value).dtype.kind not in "iu":
    raise UserError(f"{what}: {key} is no whole number; the file is damaged")
  if constant.fixed and not np.allclose(value, constant.value, atol=1e-6):
    raise UserError(
        f"{what}: {key} is not the fixed filter this network is built with;"
        " the file is of another architecture"
    )


def _fit(value, layout, shape, key, what) -> np.ndarray:
  value = np.asarray(value)
  try:
    ours = relayout(value, layout)
  except ValueError:
    ours = None
  if ours is None or ours.shape != tuple(shape):
    theirs = relayout(np.empty(shape, np.bool_), layout, inverse=True).shape
    raise UserError(
        f"{what}: {key} has shape {value.shape}, expected {theirs}"
    )
  if not np.issubdtype(ours.dtype, np.floating):
    raise UserError(f"{what}: {key} has dtype {ours.dtype}, expected a float")
  return np.array(ours, np.float32, order="C")


def _inverse(
    rules: Sequence[Rule | Unused], path: str
) -> tuple[Rule, Tensor, dict[str, Any]] | None:
  """First rule and tensor that our `path` comes from, with its bindings."""
  for rule in rules:
    if isinstance(rule, Unused):
      continue
    for tensor in rule.kind:
      if isinstance(tensor, Tensor):
        bindings = _match(_path(tensor, rule.target), path)
        if bindings is not None:
          return rule, tensor, bindings
  return None


def _official(rules, paths: Sequence[str]) -> list[str]:
  names = []
  for path in paths:
    found = _inverse(rules, path)
    if found is None:
      names.append(path)
      continue
    rule, tensor, bindings = found
    source = _render(rule.source, bindings, slash=False)
    names.append(_join(source, tensor.source, sep="."))
  return names


def to_official(
    rules: Sequence[Rule | Unused],
    variables: Mapping[str, Any],
    kept: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
  """The inverse of `to_ours`: {official name: array}, bit for bit.

  Constants come from `kept` where it has them, else from the rules.

  Raises:
    ValueError: a variable that no rule covers.
  """
  out: dict[str, np.ndarray] = {}
  for path, value in flatten(variables).items():
    found = _inverse(rules, path)
    if found is None:
      raise ValueError(f"no rule exports {path}")
    rule, tensor, bindings = found
    source = _render(rule.source, bindings, slash=False)
    value = np.asarray(jax.device_get(value))
    key = _join(source, tensor.source, sep=".")
    out[key] = np.array(
        relayout(value, tensor.layout, inverse=True), order="C"
    )
    for constant in rule.kind:
      if isinstance(constant, Constant):
        out[_join(source, constant.source, sep=".")] = constant.value
  out.update(kept or {})
  return out
