"""Reads files of weights by their contents, and never runs code in them."""

import argparse
import io
import os
import pathlib
import pickle
import re
import zipfile
from typing import Any, BinaryIO

import numpy as np

from sfe_jax.errors import UserError

from . import nvidia_pickle
from .nvidia_pickle import Foreign, Unreadable

# The contents of a file: nested dicts, lists and tuples of NumPy arrays (half
# precision is widened to float32), numbers, strings and None; a network of an
# NVIDIA pickle is a `nvidia_pickle.ModuleState`.
Contents = Any

_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
_KNOWN = (
    "PyTorch .pt and .pth, NVIDIA .pkl, NumPy .npy, .npz and pickled arrays"
)


class NotWeights(UserError):
  """The file is sound, but holds no weights."""


def read(path: str | os.PathLike) -> Contents:
  """Reads a file of weights or directions.

  Args:
    path: PyTorch, NVIDIA, NumPy or plain pickle file; its name is ignored.

  Returns:
    Its contents, see `Contents`.

  Raises:
    NotWeights: the file is of another format.
    UserError: the file cannot be read, or is refused; one line says why.
  """
  path = pathlib.Path(path)
  try:
    return _read(path)
  except Foreign as e:
    raise NotWeights(f"{path} {e}") from e
  except Unreadable as e:
    raise UserError(f"{path} {e}") from e
  except OSError as e:
    raise UserError(f"{path} cannot be read: {e.strerror or e}") from e
  except Exception as e:  # Damaged bytes can raise anything.
    cause = str(e).strip().partition("\n")[0][:100]
    raise UserError(
        f"{path} is truncated or damaged ({type(e).__name__}: {cause});"
        " download it again"
    ) from e


def _read(path: pathlib.Path) -> Contents:
  if not path.exists():
    raise Unreadable("does not exist")
  if path.is_dir():
    raise Unreadable("is a directory, expected a file")
  with path.open("rb") as file:
    head = file.read(512)
    if not head:
      raise Unreadable("is empty; download it again")
    if _HTML.match(head):
      raise Unreadable(
          "is an HTML page, most likely a download quota or login page;"
          " download it again"
      )
    if head.startswith(b"version https://git-lfs"):
      raise Unreadable("is a git-lfs pointer; fetch the file with git lfs pull")
    if head.startswith(b"PK\x03\x04"):
      return _read_zip(path)
    if head.startswith(_TORCH_LEGACY):
      return _read_torch(path)
    file.seek(0)
    if head.startswith(b"\x93NUMPY"):
      return _read_numpy(file)
    if _PICKLE.match(head):
      return nvidia_pickle.load(file, _read_storage)
  raise Foreign(f"is of an unknown format; known are {_KNOWN}")


def _read_zip(path: pathlib.Path) -> Contents:
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
  if all(name.endswith(".npy") for name in names):
    with path.open("rb") as file:
      return _read_numpy(file)
  if any(name.endswith("/constants.pkl") for name in names):
    raise Foreign("is a TorchScript program, not weights")
  if any(name.endswith("/data.pkl") for name in names):
    return _read_torch(path)
  raise Foreign("is a zip archive of something else than weights")


def _read_numpy(file: BinaryIO) -> Contents:
  def single(x):
    return x.astype(np.float32) if x.dtype == np.float16 else x

  try:
    contents = np.load(file, allow_pickle=False)
    if isinstance(contents, np.ndarray):
      return single(contents)
    return {name: single(contents[name]) for name in contents.files}
  except ValueError as e:
    if "allow_pickle" in str(e):
      raise Foreign(
          "holds Python objects, not numbers; they are never unpickled"
      ) from e
    raise


def import_torch(done: str) -> Any:
  """The module torch, which only these programs need.

  Args:
    done: what is done to files with it, for the message.

  Raises:
    UserError: PyTorch is not installed.
  """
  try:
    import torch
  except ImportError:
    raise UserError(
        f".pt files are {done} with PyTorch, which is missing: pip install"
        " torch --index-url https://download.pytorch.org/whl/cpu"
    ) from None
  return torch


def _load_torch(file: str | os.PathLike | BinaryIO) -> Any:
  """`torch.load` restricted to weights and argparse's Namespace."""
  try:
    torch = import_torch("read")
  except UserError as e:
    raise Unreadable(f"cannot be read: {e}") from e
  try:
    with torch.serialization.safe_globals([argparse.Namespace]):
      return torch.load(file, map_location="cpu", weights_only=True)
  except pickle.UnpicklingError as e:
    name = re.search(r"GLOBAL (\w+(?:\.\w+)*)", str(e))
    if name:
      raise nvidia_pickle.refused(name[1]) from e
    raise Unreadable(
        "holds more than plain weights or is damaged; refused"
    ) from e


def _array(tensor: Any) -> np.ndarray:
  if tensor.dtype.is_floating_point and tensor.dtype.itemsize < 4:
    tensor = tensor.float()
  return tensor.detach().numpy()


def _read_torch(path: pathlib.Path) -> Contents:
  def leaf(x):
    if isinstance(x, argparse.Namespace):
      return nvidia_pickle.plain(vars(x), leaf)
    if isinstance(x, torch.Tensor):
      return _array(x)
    return str(x) if isinstance(x, torch.dtype | torch.device) else x

  contents = _load_torch(path)
  import torch

  return nvidia_pickle.plain(contents, leaf)


def _read_storage(data: bytes) -> np.ndarray:
  """The numbers of a pickled PyTorch storage."""
  storage = _load_torch(io.BytesIO(data))
  import torch

  return _array(torch.empty(0, dtype=storage.dtype).set_(storage))
