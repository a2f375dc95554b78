"""Reads pickled weights without running code in the pickle.

A pickle is a program that names Python objects and calls them.  This reader
refuses every name outside a short table, and replaces the names in the table by
functions of this file that only collect data.  It never calls the functions of
NumPy and PyTorch that a pickle names: a forged dtype makes NumPy follow
pointers out of the file, and `torch.storage._load_from_bytes` unpickles without
restriction.  NVIDIA's pickles also carry Python source to be executed, which is
ignored.
"""

import collections
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

_NUMBERS = re.compile(r"[biuf]\d+")
_TORCH_DTYPE = re.compile(r"bool|(bfloat|float|uint|int)\d+")


class Unreadable(Exception):
  """A file is not read; the message is a predicate such as "is empty"."""


class Foreign(Unreadable):
  """A file is sound, but holds something other than weights."""


def refused(name: str) -> Unreadable:
  """The error for a file that names the Python object `name`."""
  return Unreadable(f"refers to {name}, which weights never need; refused")


class ModuleState(dict):
  """A pickled network as its state dict, {dotted name: array}.

  Attributes:
    class_name: name of its class ("Generator").
    init_args: positional arguments that it was built with.
    init_kwargs: keyword arguments that it was built with.
  """

  class_name: str
  init_args: tuple
  init_kwargs: dict[str, Any]


class _Call:
  """A function that a pickle may call but not change.

  The pickle instruction BUILD could set attributes of a plain function, even
  `__code__`.
  """

  def __init__(self, function: Callable):
    self._function = function

  def __call__(self, *args):
    return self._function(*args)

  def __setstate__(self, state):
    raise pickle.UnpicklingError("alters a function")


class _Dtype:
  """Stands for `numpy.dtype`; accepts numbers only."""

  def __init__(self, code, *unused_flags):
    if not _NUMBERS.fullmatch(code):
      raise Unreadable(
          f"holds an array of dtype {code!r}, expected numbers; refused"
      )
    self.dtype = np.dtype(code)

  def __setstate__(self, state):
    order = state[1]
    if order in ("<", ">"):
      self.dtype = self.dtype.newbyteorder(order)

  def numbers(self, data) -> np.ndarray:
    native = self.dtype.newbyteorder("=")
    return np.frombuffer(data, self.dtype).astype(native)


class _Array:
  """Stands for a NumPy array, which usually gets its state after creation."""

  def __init__(self):
    self.value = None

  def __setstate__(self, state):
    _, shape, dtype, is_fortran, data = state
    order = "F" if is_fortran else "C"
    self.value = dtype.numbers(data).reshape(shape, order=order)


def _frombuffer(data, dtype, shape, order) -> _Array:
  """Stands for `numpy._core.numeric._frombuffer` of pickle protocol 5."""
  array = _Array()
  array.__setstate__((1, shape, dtype, order == "F", data))
  return array


def _tensor(storage, offset, shape, strides, *unused) -> np.ndarray:
  """Stands for `torch._utils._rebuild_tensor_v2`; NumPy checks the bounds."""
  n = storage.itemsize
  view = np.ndarray(
      shape, storage.dtype, storage, offset * n, [n * s for s in strides]
  )
  return view.copy()


def _module(meta) -> ModuleState:
  """Stands for `torch_utils.persistence._reconstruct_persistent_obj`."""
  state = meta["state"]
  out = ModuleState()
  for tensors in (state["_parameters"], state["_buffers"]):
    out.update((k, v) for k, v in tensors.items() if v is not None)
  for name, child in state["_modules"].items():
    out.update((f"{name}.{k}", v) for k, v in (child or {}).items())
  out.class_name = meta["class_name"]
  out.init_args = state.get("_init_args", ())
  out.init_kwargs = state.get("_init_kwargs", {})
  return out


_MULTIARRAY = {
    "_reconstruct": _Call(lambda *unused: _Array()),
    "scalar": _Call(lambda dtype, data: dtype.numbers(data)[0].item()),
}
_NUMERIC = {"_frombuffer": _Call(_frombuffer)}
_EASY_DICT = {"EasyDict": dict}
_BUILTINS = {"bytes": bytes, "set": set}
# Functions are wrapped in `_Call`; a pickle cannot change the classes below.
_ALLOWED: dict[str, Mapping[str, Any]] = {
    "__builtin__": _BUILTINS,
    "builtins": _BUILTINS,
    "_codecs": {"encode": _Call(lambda text, _: text.encode("latin1"))},
    "collections": {"OrderedDict": collections.OrderedDict},
    "dnnlib": _EASY_DICT,
    "dnnlib.util": _EASY_DICT,
    "numpy": {"dtype": _Call(_Dtype), "ndarray": "ndarray"},
    "numpy.core.multiarray": _MULTIARRAY,
    "numpy._core.multiarray": _MULTIARRAY,
    "numpy.core.numeric": _NUMERIC,
    "numpy._core.numeric": _NUMERIC,
    "torch": {
        "Size": tuple,
        "device": _Call(lambda *parts: ":".join(map(str, parts))),
    },
    "torch._utils": {
        "_rebuild_parameter": _Call(lambda data, *unused: data),
        "_rebuild_tensor_v2": _Call(_tensor),
    },
    "torch_utils.persistence": {"_reconstruct_persistent_obj": _Call(_module)},
}


class _Unpickler(pickle.Unpickler):
  """Looks names up in the table and imports nothing."""

  def __init__(self, file, load_storage):
    super().__init__(file)
    self._load_storage = _Call(load_storage)

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) == ("torch.storage", "_load_from_bytes"):
      return self._load_storage
    if module == "torch" and _TORCH_DTYPE.fullmatch(name):
      return name
    if module.startswith("dnnlib.tflib"):
      raise Foreign(
          "is a TensorFlow pickle; convert it with NVIDIA's legacy.py first"
      )
    if name not in _ALLOWED.get(module, {}):
      raise refused(f"{module}.{name}")
    return _ALLOWED[module][name]


def plain(x: Any, leaf: Callable[[Any], Any]) -> Any:
  """Applies `leaf` to all but the dicts, lists and tuples of nested data."""
  if isinstance(x, ModuleState):
    x.update((k, plain(v, leaf)) for k, v in x.items())
    x.init_args = plain(x.init_args, leaf)
    x.init_kwargs = plain(x.init_kwargs, leaf)
    return x
  if isinstance(x, Mapping):
    return {k: plain(v, leaf) for k, v in x.items()}
  if isinstance(x, list):
    return [plain(v, leaf) for v in x]
  if isinstance(x, tuple):
    return tuple(plain(v, leaf) for v in x)
  return leaf(x)


def load(file: BinaryIO, load_storage: Callable[[bytes], np.ndarray]) -> Any:
  """Reads an NVIDIA pickle, or a pickle of NumPy arrays and Python values.

  Args:
    file: file, open at the start of the pickle.
    load_storage: turns the bytes of a pickled PyTorch storage into a
      one-dimensional array, without running anything.

  Returns:
    Nested dicts, lists and tuples of arrays and Python values; a network is a
    `ModuleState`.

  Raises:
    Unreadable: the pickle names an object outside the table.
    Exception: any kind of exception if the pickle is damaged.
  """
  contents = _Unpickler(file, load_storage).load()
  return plain(contents, lambda x: x.value if isinstance(x, _Array) else x)
