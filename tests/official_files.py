"""Writes files as the official projects do, and hostile ones."""

import collections
import contextlib
import os
import pathlib
import pickle
import sys
import types
from collections.abc import Mapping
from typing import Any
from unittest import mock

import numpy as np
import torch

# Names that NVIDIA's modules register as buffers; all others are parameters.
_BUFFERS = frozenset({"resample_filter", "noise_const", "w_avg"})
_HOOKS = (
    "_backward_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


def to_torch(x: Any) -> Any:
  """Nested dicts, lists and tuples with tensors for arrays."""
  if isinstance(x, np.ndarray):
    return torch.from_numpy(np.array(x))
  if isinstance(x, Mapping):
    return type(x)((k, to_torch(v)) for k, v in x.items())
  if isinstance(x, list | tuple):
    return type(x)(map(to_torch, x))
  return x


def write_torch(
    path: str | os.PathLike, contents: Any, legacy: bool = False
) -> None:
  """Saves arrays as tensors with `torch.save`, `legacy` as before 1.6."""
  torch.save(
      to_torch(contents), path, _use_new_zipfile_serialization=not legacy
  )


class _EasyDict(dict):
  """Stands for dnnlib.util.EasyDict while pickling."""


def _reconstruct_persistent_obj(meta):
  """Stands for NVIDIA's function, which executes meta["module_src"]."""
  raise AssertionError("only its name is pickled")


@contextlib.contextmanager
def nvidia_modules():
  """Makes the modules that NVIDIA's pickles refer to importable."""
  modules = {
      name: types.ModuleType(name)
      for name in (
          "dnnlib",
          "dnnlib.util",
          "torch_utils",
          "torch_utils.persistence",
      )
  }
  for thing, module, name in (
      (_EasyDict, "dnnlib.util", "EasyDict"),
      (
          _reconstruct_persistent_obj,
          "torch_utils.persistence",
          "_reconstruct_persistent_obj",
      ),
  ):
    thing.__module__, thing.__name__, thing.__qualname__ = module, name, name
    setattr(modules[module], name, thing)
  with mock.patch.dict(sys.modules, modules):
    yield


class _Persistent:
  """A module pickled as `torch_utils.persistence` does."""

  def __init__(self, class_name, state, init_kwargs, module_src):
    groups: dict[str, dict] = {}
    parameters, buffers = collections.OrderedDict(), collections.OrderedDict()
    for key, value in state.items():
      name, _, rest = key.partition(".")
      tensor = to_torch(np.asarray(value))
      if rest:
        groups.setdefault(name, {})[rest] = value
      elif name in _BUFFERS:
        buffers[name] = tensor
      else:
        parameters[name] = torch.nn.Parameter(tensor, requires_grad=False)
    modules = collections.OrderedDict(
        (name, _Persistent(name.title(), group, {}, module_src))
        for name, group in groups.items()
    )
    parameters.setdefault("bias", None)
    self._meta = {
        "type": "class",
        "version": 6,
        "module_src": module_src,
        "class_name": class_name,
        "state": {
            "training": False,
            "_parameters": parameters,
            "_buffers": buffers,
            "_non_persistent_buffers_set": set(),
            **{name: collections.OrderedDict() for name in _HOOKS},
            "_is_full_backward_hook": None,
            "_modules": modules,
            "weight_gain": 1 / np.sqrt(np.float64(512)),
            "_init_args": (),
            "_init_kwargs": _EasyDict(init_kwargs),
        },
    }

  def __reduce__(self):
    return _reconstruct_persistent_obj, (self._meta,), None


def marking_source(marker: str | os.PathLike) -> str:
  """Python source that leaves a mark when executed."""
  return f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"


def write_nvidia_pickle(
    path: str | os.PathLike,
    networks: Mapping[str, tuple[str, Mapping[str, np.ndarray], Mapping]],
    marker: str | os.PathLike | None = None,
    protocol: int = 3,
) -> None:
  """Pickles networks as NVIDIA's stylegan2-ada does.

  Args:
    path: file to write.
    networks: "G", "D", "G_ema" -> (class name, state dict, init kwargs).
    marker: created if anybody executes the source stored in the file; by
      default the file's path plus ".executed".
    protocol: of the pickle; 3 is what NVIDIA's files have.
  """
  source = marking_source(marker or f"{path}.executed")
  contents: dict[str, Any] = {
      name: _Persistent(class_name, state, kwargs, source)
      for name, (class_name, state, kwargs) in networks.items()
  }
  with nvidia_modules(), pathlib.Path(path).open("wb") as file:
    contents["training_set_kwargs"] = _EasyDict(path="images.zip", max_size=70)
    contents["augment_pipe"] = None
    pickle.dump(contents, file, protocol)


class Hostile:
  """Calls `function(*args)` when unpickled without care."""

  def __init__(self, function, *args):
    self._call = function, args

  def __reduce__(self):
    return self._call


def hostile(marker: str | os.PathLike) -> Hostile:
  """Leaves a mark through the shell when unpickled without care."""
  return Hostile(os.system, f"touch '{marker}'")


def pickle_of_global(module: str, name: str, argument: str = "") -> bytes:
  """A pickle that calls `module.name(argument)`, written by hand."""
  text = argument.encode()
  return (
      b"\x80\x04"
      + b"".join(
          b"\x8c" + bytes([len(part)]) + part
          for part in (module.encode(), name.encode())
      )
      + b"\x93X" + len(text).to_bytes(4, "little") + text
      + b"\x85R."
  )
