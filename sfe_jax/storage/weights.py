"""Our weight folders: one network a folder, parameters plus their sizes.

  DIR/generator/network.json   what it is: class, sizes, where it came from
  DIR/generator/variables/     Orbax: {collection: {module: {name: array}}}

A folder is written beside its place and renamed, so it is whole or absent.
Those that come with the project, such as "toy", are found by their names.
"""

import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import zlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import orbax.checkpoint as ocp

from sfe_jax.architecture import NETWORKS
from sfe_jax.errors import UserError

FORMAT = 1
SHIPPED = pathlib.Path(__file__).parents[1] / "pretrained"
_DOCUMENT = "network.json"
_VARIABLES = "variables"
_NOT_SIZES = frozenset({"parent", "name", "dtype", "axis_name"})


def abstract(network: nn.Module) -> Any:
  """Shapes and dtypes of the network's variables, without computing them."""
  return jax.eval_shape(
      network.init, jax.random.key(0), *network.example_inputs()
  )


def init(network: nn.Module, rng: jax.Array) -> Any:
  """Random variables of a network, from its layers' initialisers."""

  @jax.jit
  def lazily(rng):
    return network.lazy_init(rng, *network.example_inputs())

  return lazily(rng)


def random(network: nn.Module, seed: int = 0) -> Any:
  """Random variables that keep signals at a sensible scale, drawn in seconds.

  Unlike `init` it compiles nothing and does not ask the layers: what a variable
  is follows from its name.  For trying things, not for training.
  """

  def draw(path, spec) -> np.ndarray:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    rng = np.random.default_rng(zlib.crc32(f"{name} {seed}".encode()))
    noise = rng.standard_normal(spec.shape, np.float32)
    if name.endswith(("scale", "var")):
      return 1 + 0.1 * np.abs(noise)
    if name.endswith("kernel") and "affine" not in name:
      # The generator's convolutions scale their kernels at run time.
      equalised = re.fullmatch(r"params/conv\d+/kernel", name)
      fan_in = math.prod(spec.shape[:-1])
      return noise * np.float32(1 if equalised else fan_in**-0.5)
    return 0.1 * noise + np.float32("affine/bias" in name)

  return jax.tree_util.tree_map_with_path(draw, abstract(network))


def sizes(network: nn.Module) -> dict[str, Any]:
  """The network's fields that fix its variables, JSON-serialisable."""
  return {
      field.name: getattr(network, field.name)
      for field in dataclasses.fields(network)
      if field.name not in _NOT_SIZES
  }


def locate(folder: str | os.PathLike) -> pathlib.Path:
  """The path itself, or where weights of this name come with the project."""
  path = pathlib.Path(folder)
  shipped = SHIPPED / path.name
  is_name = path.name == os.fspath(folder) and not path.exists()
  return shipped if is_name and shipped.is_dir() else path


def write(
    folder: str | os.PathLike,
    network: nn.Module,
    variables: Mapping[str, Any],
    info: Mapping[str, Any] | None = None,
    dtype: Any = np.float32,
) -> None:
  """Writes one network, whole or not at all; replaces what was there.

  Args:
    folder: e.g. "weights/generator".
    network: its class and sizes are stored.
    variables: float arrays by collection.
    info: JSON-serialisable facts kept beside the weights.
    dtype: in which they are stored; np.float16 takes half of the space.
  """
  folder = pathlib.Path(folder).absolute()
  folder.parent.mkdir(parents=True, exist_ok=True)
  new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
  old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
  shutil.rmtree(new, ignore_errors=True)  # of a killed process of this number
  try:
    new.mkdir()
    # Otherwise Orbax waits for the other processes of a run.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix="weights",
    )
    with ocp.StandardCheckpointer(
        multiprocessing_options=alone
    ) as checkpointer:
      checkpointer.save(
          new / _VARIABLES,
          jax.tree.map(lambda x: np.asarray(x, dtype), variables),
      )
    document = {
        "format": FORMAT,
        "network": type(network).__name__,
        "sizes": sizes(network),
        "files": {
            p.relative_to(new).as_posix(): p.stat().st_size
            for p in sorted((new / _VARIABLES).rglob("*"))
            if p.is_file()
        },
        "info": dict(info or {}),
    }
    (new / _DOCUMENT).write_text(json.dumps(document, indent=1) + "\n")
    if folder.exists():
      folder.rename(old)
    new.rename(folder)
  finally:
    if old.exists() and not folder.exists():
      old.rename(folder)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def describe(folder: str | os.PathLike) -> dict[str, Any]:
  """The JSON document of a weight folder.

  Raises:
    UserError: there is none, or it is not one of ours.
  """
  path = pathlib.Path(folder) / _DOCUMENT
  try:
    document = json.loads(path.read_text())
  except FileNotFoundError:
    raise UserError(
        f"{folder} holds no weights ({_DOCUMENT} is missing); python -m convert"
        " makes weight folders from official files"
    ) from None
  except (OSError, ValueError) as error:
    raise UserError(f"{path} cannot be read: {error}") from None
  if not isinstance(document, dict) or document.get("format") != FORMAT:
    raise UserError(
        f"{path} is not of format {FORMAT}, the one this version reads"
    )
  return document


def module(
    folder: str | os.PathLike,
    expected: type[nn.Module] | None = None,
    **options: Any,
) -> nn.Module:
  """The network a folder holds, with `options` such as dtype; reads no array.

  Raises:
    UserError: nothing there, or another network than `expected`.
  """
  network = build(describe(folder), folder, **options)
  if expected is not None and not isinstance(network, expected):
    raise UserError(
        f"{folder} holds a {type(network).__name__}, expected a"
        f" {expected.__name__}; convert the official file again"
    )
  return network


def build(document: Mapping[str, Any], where: Any, **options: Any) -> nn.Module:
  """The network that `describe`'s document is of.

  Args:
    document: has "network", the class, and "sizes", its fields.
    where: it is from, for messages.
    **options: further fields, such as dtype.

  Raises:
    UserError: an unknown network, or sizes it does not have.
  """
  name = str(document.get("network"))
  if name not in NETWORKS:
    raise UserError(f"{where} holds an unknown network {name!r}")
  try:
    sizes = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in document["sizes"].items()
    }
    if _NOT_SIZES & sizes.keys():
      raise KeyError(f"{min(_NOT_SIZES & sizes.keys())} is no size")
    return NETWORKS[name](**sizes, **options)
  except (AttributeError, KeyError, TypeError) as error:
    raise UserError(f"{where}: sizes do not make a {name}: {error}") from None


def read(
    folder: str | os.PathLike,
    expected: type[nn.Module] | None = None,
    **options: Any,
) -> tuple[nn.Module, dict[str, Any]]:
  """Reads one network: its module, `options` such as dtype, and variables.

  Raises:
    UserError: nothing there, another network than `expected`, or arrays that
      do not fit.
  """
  folder = pathlib.Path(folder)
  network = module(folder, expected, **options)
  _check_files(folder, describe(folder).get("files", {}))
  device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  path = folder.absolute() / _VARIABLES
  try:
    target = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=device),
        abstract(network),
    )
    with ocp.StandardCheckpointer() as checkpointer:
      return network, checkpointer.restore(path, target)
  except Exception as error:  # Damaged bytes can raise anything.
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    raise UserError(f"{folder}: weights cannot be read: {reason}") from error


def _check_files(folder: pathlib.Path, files: Mapping[str, int]) -> None:
  """Refuses half a copy, over which Orbax fails with many a traceback."""
  for name, want in files.items():
    path = folder / name
    got = path.stat().st_size if path.is_file() else 0
    if got != want:
      raise UserError(
          f"{folder}: weights are damaged: {name} has {got} bytes instead of"
          f" {want}; copy or convert the network again"
      )
