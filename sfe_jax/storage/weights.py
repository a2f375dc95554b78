"""Weight folders: one subfolder per network, with its variables and sizes.

  DIR/generator/network.json   class, sizes, origin and checksums
  DIR/generator/variables/     Orbax: {collection: {module: {name: array}}}

Checksums are CRC-32: they find damage, not forgery.  CRC-32 finds every single
changed bit, and on the machines measured it is three to four times as fast as
SHA-256.

Weight folders that are part of the package, such as "toy", are found by name.
"""

import concurrent.futures
import dataclasses
import difflib
import json
import math
import os
import pathlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import orbax.checkpoint as ocp

from sfe_jax.architecture import NETWORKS
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, labels, layout

FORMAT = 1
SHIPPED = pathlib.Path(__file__).parents[1] / "pretrained"
DOCUMENT = "network.json"
_VARIABLES = "variables"
# Keys of DOCUMENT that hold checksums: of the files, and of DOCUMENT itself
# without this key.  Folders of version 0.1 have neither.
_FILE_CHECKSUMS, _OWN_CHECKSUM = "crc32", "document_crc32"
_NOT_SIZES = frozenset({"parent", "name", "dtype", "axis_name"})
_CHUNK = 2**20
_ADVICE = "copy or convert the network again"


def abstract(network: nn.Module) -> Any:
  """Shapes and dtypes of a network's variables, without computing them."""
  return jax.eval_shape(
      network.init, jax.random.key(0), *network.example_inputs()
  )


def init(network: nn.Module, rng: jax.Array) -> Any:
  """Variables of a network as its layers initialise them."""

  @jax.jit
  def lazily(rng):
    return network.lazy_init(rng, *network.example_inputs())

  return lazily(rng)


def random(network: nn.Module, seed: int = 0) -> Any:
  """Random variables under which signals keep a sensible scale.

  They serve tests and demonstrations, not training.  Unlike `init`, nothing is
  compiled: the distribution of a variable follows from its name and shape.

  Args:
    network: module with `example_inputs`.
    seed: a variable depends on the seed and on its own path only.

  Returns:
    The variables as float32 numpy arrays.
  """

  def draw(path: tuple[Any, ...], spec: jax.ShapeDtypeStruct) -> np.ndarray:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    *_, layer, leaf = name.split("/")
    rng = np.random.default_rng(zlib.crc32(f"{name} {seed}".encode()))
    noise = rng.standard_normal(spec.shape, np.float32)
    if leaf in ("scale", "var"):
      return 1 + 0.1 * np.abs(noise)
    if layer == "affine":  # its outputs are styles, which are near 1
      return 0.1 * noise + np.float32(leaf == "bias")
    if leaf == "kernel":
      return noise * np.float32(math.prod(spec.shape[:-1]) ** -0.5)
    return 0.1 * noise

  return jax.tree_util.tree_map_with_path(draw, abstract(network))


def sizes(network: nn.Module) -> dict[str, Any]:
  """The fields of a network that determine its variables; JSON-serialisable."""
  return {
      field.name: getattr(network, field.name)
      for field in dataclasses.fields(network)
      if field.name not in _NOT_SIZES
  }


def locate(folder: str | os.PathLike) -> pathlib.Path:
  """Finds a weight folder by path or by the name of a shipped one.

  Args:
    folder: a path, or a name such as "toy".  An existing path takes precedence.

  Returns:
    The path, which need not exist.
  """
  path = pathlib.Path(folder)
  shipped = SHIPPED / path.name
  is_name = path.name == os.fspath(folder) and not path.exists()
  return shipped if is_name and shipped.is_dir() else path


def shown(folder: str | os.PathLike) -> str:
  """A path for messages; paths in shipped folders begin with the name."""
  path = pathlib.Path(folder)
  if path != SHIPPED and path.is_relative_to(SHIPPED):
    return path.relative_to(SHIPPED).as_posix()
  return os.fspath(folder)


def require_folder(folder: str | os.PathLike) -> pathlib.Path:
  """As `locate`, for a weight folder that must exist.

  Raises:
    UserError: there is no such folder, or it is the folder of a training run.
  """
  path = locate(folder)
  if not path.is_dir():
    what = "is a file, not a" if path.exists() else "no such"
    shipped = [p.name for p in SHIPPED.iterdir() if p.is_dir()]
    close = difflib.get_close_matches(str(folder).lower(), shipped, 1)
    raise UserError(
        f"{folder}: {what} weight folder"
        + (f"; did you mean {close[0]}?" if close else "")
        + "; make one with python -m sfe_jax.convert --src pretrained_models"
        " --dst weights"
    )
  if layout.is_run(path):
    inside = path / layout.WEIGHTS
    raise UserError(
        f"{folder} is the workdir of a training run; "
        + (
            f"its weights are in {inside}"
            if inside.is_dir()
            else "it has no weights yet: run its command again until it ends"
        )
    )
  return path


def write(
    folder: str | os.PathLike,
    network: nn.Module,
    variables: Mapping[str, Any],
    info: Mapping[str, Any] | None = None,
    dtype: Any = np.float32,
) -> None:
  """Writes one network completely or not at all; replaces what was there.

  Args:
    folder: folder of the network, for example "weights/generator".
    network: its class and sizes are stored.
    variables: float arrays by collection.
    info: JSON-serialisable facts to keep with the variables.
    dtype: storage dtype; np.float16 halves the space.

  Raises:
    OSError: the folder cannot be written.
  """
  with atomic.replacing_folder(folder) as new:
    # By default Orbax waits for the other processes of a run.
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
    # Orbax needs this file on cloud storage alone; it names local folders.
    (new / _VARIABLES / "commit_success.txt").unlink(missing_ok=True)
    files = sorted(p for p in (new / _VARIABLES).rglob("*") if p.is_file())
    names = [p.relative_to(new).as_posix() for p in files]
    document = {
        "format": FORMAT,
        "network": type(network).__name__,
        "sizes": sizes(network),
        "files": {n: p.stat().st_size for n, p in zip(names, files)},
        _FILE_CHECKSUMS: checksums(new, names),
        "info": dict(info or {}),
    }
    document = json.loads(json.dumps(document))  # as `describe` reads it
    document[_OWN_CHECKSUM] = _document_checksum(document)
    atomic.write_json(new / DOCUMENT, document)


def describe(folder: str | os.PathLike) -> dict[str, Any]:
  """Reads the JSON document of a network's folder.

  Returns:
    Keys "network" (class name), "sizes" (fields), "files" (bytes by name),
    "info" (facts given to `write`), and checksums.

  Raises:
    UserError: there is no network in the folder, its format is unknown, or the
      document was changed.
  """
  path = pathlib.Path(folder) / DOCUMENT
  document = atomic.read_json(
      path,
      missing=f"{shown(folder)} holds no weights ({DOCUMENT} is missing);"
      " python -m sfe_jax.convert makes weight folders from official files",
      advice=_ADVICE,
  )
  if not isinstance(document, dict) or document.get("format") != FORMAT:
    raise UserError(
        f"{shown(path)} is not of format {FORMAT}, the one this version reads"
    )
  stored = document.get(_OWN_CHECKSUM)
  has_checksums = stored is not None or _FILE_CHECKSUMS in document
  if has_checksums and stored != _document_checksum(document):
    raise UserError(
        f"{shown(path)} was changed or damaged after it was written (its"
        f" {_OWN_CHECKSUM} differs); {_ADVICE}"
    )
  return document


def label_schema(folder: str | os.PathLike) -> labels.Schema:
  """The labels that a stored perception network predicts; () if none.

  Args:
    folder: folder of the network.

  Raises:
    UserError: the folder holds no network.
  """
  return labels.from_json(describe(folder).get("info", {}).get("labels", ()))


def module(
    folder: str | os.PathLike,
    expected: type[nn.Module] | None = None,
    **options: Any,
) -> nn.Module:
  """Builds the network that a folder holds, without reading its arrays.

  Args:
    folder: folder of the network.
    expected: class that the network must have.
    **options: further fields of the module, such as dtype.

  Raises:
    UserError: the folder holds no network, or another one than `expected`.
  """
  network = build(describe(folder), shown(folder), **options)
  if expected is not None and not isinstance(network, expected):
    raise UserError(
        f"{shown(folder)} holds a {type(network).__name__}, expected a"
        f" {expected.__name__}; convert the official file again"
    )
  return network


def build(document: Mapping[str, Any], where: Any, **options: Any) -> nn.Module:
  """Builds the network that a document of `describe` names.

  Args:
    document: has "network", the class name, and "sizes", its fields.
    where: origin of the document, for messages.
    **options: further fields of the module, such as dtype.

  Raises:
    UserError: the class is unknown, or the sizes do not fit it.
  """
  name = str(document.get("network"))
  if name not in NETWORKS:
    raise UserError(f"{where} holds an unknown network {name!r}")
  network: Callable[..., nn.Module] = NETWORKS[name]
  try:
    sizes = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in document["sizes"].items()
    }
    if _NOT_SIZES & sizes.keys():
      raise KeyError(f"{min(_NOT_SIZES & sizes.keys())} is no size")
    return network(**sizes, **options)
  except (AttributeError, KeyError, TypeError) as error:
    raise UserError(f"{where}: sizes do not make a {name}: {error}") from None


def read(
    folder: str | os.PathLike,
    expected: type[nn.Module] | None = None,
    **options: Any,
) -> tuple[Any, dict[str, Any]]:
  """Reads one network.

  Args:
    folder: folder of the network.
    expected: class that the network must have.
    **options: further fields of the module, such as dtype.

  Returns:
    The module, and its variables as float32 arrays on the first local device.

  Raises:
    UserError: the folder holds no network or another one than `expected`, a
      file differs from what was written, or the arrays do not fit the module.
  """
  folder = pathlib.Path(folder)
  network = module(folder, expected, **options)
  _check_files(folder)
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
    raise UserError(
        f"{shown(folder)}: weights cannot be read: {reason}"
    ) from error


def checksums(folder: pathlib.Path, names: Sequence[str]) -> dict[str, str]:
  """CRC-32 of files by name, as eight hexadecimal digits."""
  with concurrent.futures.ThreadPoolExecutor() as pool:
    paths = [folder / name for name in names]
    return dict(zip(names, pool.map(_file_checksum, paths)))


def _file_checksum(path: pathlib.Path) -> str:
  """zlib releases the GIL, so that threads compute these in parallel."""
  value, buffer = 0, memoryview(bytearray(_CHUNK))
  with path.open("rb", buffering=0) as file:
    while count := file.readinto(buffer):
      value = zlib.crc32(buffer[:count], value)
  return f"{value:08x}"


def _document_checksum(document: Mapping[str, Any]) -> str:
  """CRC-32 of a document's content, whatever its layout as text."""
  rest = {k: v for k, v in document.items() if k != _OWN_CHECKSUM}
  return f"{zlib.crc32(json.dumps(rest, sort_keys=True).encode()):08x}"


def _check_files(folder: pathlib.Path) -> None:
  """Raises UserError if a file is not what its network's document says.

  This comes before Orbax reads the files: for damaged files Orbax prints long
  tracebacks or returns changed arrays.
  """
  document = describe(folder)
  for name, want in document.get("files", {}).items():
    path = folder / name
    size = path.stat().st_size if path.is_file() else 0
    if size != want:
      raise UserError(
          f"{shown(folder)}: weights are damaged: {name} has {size} bytes"
          f" instead of {want}; {_ADVICE}"
      )
  stored = document.get(_FILE_CHECKSUMS, {})
  found = checksums(folder, list(stored))
  for name, want in stored.items():
    if found[name] != want:
      raise UserError(
          f"{shown(folder)}: weights are damaged: the bytes of {name} were"
          f" changed after it was written; {_ADVICE}"
      )
