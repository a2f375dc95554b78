"""Writes weight folders and training runs as official-layout .pt files."""

import json
import os
import pathlib
import pickle
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import numpy as np
import tqdm
from absl import logging

from sfe_jax.directions import files
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, layout, runs, weights

from . import official, reader
from .family import Family
from .rules import directions, discriminator, e4e, mappers

# Official files that hold several networks: {file: {network: container}}.
_BUNDLES = {
    "feature_editor": {
        "feature_editor": "state_dict/encoder.",
        "inverter": "state_dict/inverter.",
        "e4e": "state_dict/e4e_encoder.",
        "generator": "state_dict/decoder.",
    },
    "inverter": {
        "inverter": "state_dict/encoder.",
        "generator": "state_dict/decoder.",
    },
    "e4e": {
        "e4e": "state_dict/encoder.",
        "generator": "state_dict/decoder.",
    },
}
# Files of a training run, unlike "light" ones, also hold the discriminator.
_IN_TRAINING = {"discriminator": "state_dict/discriminator."}
_CONTAINERS = {"generator_raw": "g/"}
# Options that tell files apart whose tensors have the same names.
_OPTIONS = {
    "e4e": {"encoder_type": "Encoder4Editing"},
    "psp": {"encoder_type": "GradualStyleEncoder"},
}
_FAMILIES: dict[str, Family] = {
    **{family.name: family for family in reversed(official.FAMILIES)},
    "generator_raw": official.FAMILIES[0],
    "discriminator": discriminator.FAMILY,
    "psp": e4e.PSP_FAMILY,
}
Folders = Mapping[str, pathlib.Path]


def export_folder(src: str | os.PathLike, dst: str | os.PathLike) -> None:
  """Writes the networks and directions of a weight folder as official files.

  NAME.pt has the layout of the release's file for that network; feature_editor
  and e4e also hold the networks that the release's files bundle.  Networks and
  directions without an official layout are left out, and logged by name.

  Args:
    src: weight folder, or the name of one that comes with the project.
    dst: folder for the files; it gets all of them or none.

  Raises:
    UserError: `src` is not a weight folder, or nothing in it can be exported.
  """
  src, dst = weights.locate(src), pathlib.Path(dst)
  networks = find(src)
  arrays = sorted((src / "directions").glob("*.npz"))
  if not networks and not arrays:
    raise UserError(
        f"{src}: neither a weight folder nor a training run; python -m convert"
        " makes weight folders"
    )
  edits = {
      f"directions/{path.stem}": directions.to_official(files.read(path))
      for path in arrays
  }
  families = {name: _find_family(name) for name in networks}
  names = _with_layout(src, {**families, **edits})
  with atomic.staging(dst) as stage:
    _write(networks, [n for n in names if n in networks], stage, dst)
    for name in names:
      if name in edits:
        _save_direction(stage / name, edits[name])
    _place(stage, dst)


def export_run(
    src: str | os.PathLike, dst: str | os.PathLike, step: int | None = None
) -> None:
  """Writes the networks that a training run trained as official files.

  The file of the trained network also holds the networks that it was trained
  with, as in `export_folder`, and the discriminator.

  Args:
    src: the run's workdir.
    dst: folder for the files; it gets all of them or none.
    step: step of the checkpoint; None takes the one that the run deploys, by
      default the best.

  Raises:
    UserError: `src` is not a run, it lacks the checkpoint, or none of its
      networks has an official layout.
  """
  src, dst = pathlib.Path(src), pathlib.Path(dst)
  families = {name: _find_family(name) for name in runs.names(src)}
  names = _with_layout(src, families)
  step = runs.deployed_step(src) if step is None else step
  trained = {name: runs.read(src, name, step) for name in names}
  with atomic.staging(dst) as scratch, atomic.staging(dst) as stage:
    networks = find(src / layout.WEIGHTS)
    for name, (module, variables) in trained.items():
      networks[name] = scratch / name
      weights.write(networks[name], module, variables)
    _write(networks, names, stage, dst, _IN_TRAINING)
    _place(stage, dst)


def find(src: pathlib.Path) -> dict[str, pathlib.Path]:
  """The networks of a weight folder: {name: folder}."""
  folders = sorted(p.parent for p in src.glob(f"**/{weights.DOCUMENT}"))
  names = {folder.relative_to(src): folder for folder in folders}
  return {
      name.as_posix(): folder
      for name, folder in names.items()
      if not any(part.startswith(".") for part in name.parts)
  }


def contents(
    networks: Folders, name: str, besides: Mapping[str, str] | None = None
) -> dict[str, Any]:
  """The entries of the official file of one network.

  Args:
    networks: {name: folder}, see `find`.
    name: name of the network.
    besides: {network: container} of further networks that the file holds if it
      is one that holds several.

  Raises:
    UserError: the network has no official layout, or its folder is damaged.
  """
  out: dict[str, Any] = {}
  documents = {}
  average: Any = None
  for network, where in _bundle(networks, name, besides).items():
    module, state, shape = official_state(networks[network], _family(network))
    other = state.pop("latent_avg", None)
    if other is not None and average is None:
      average = other
      out["latent_avg"] = other[:1].reshape(shape) if shape else other
    if other is not None and not np.array_equal(other, average):
      # The file has one latent_avg, which is wrong for this network.
      logging.info(
          "  %s is not added to this file, because its latent_avg differs; it"
          " is in its own file", network,
      )
      continue
    documents[network.partition("@")[0]] = {
        "network": type(module).__name__,
        "sizes": weights.sizes(module),
    }
    entry, _, prefix = where.rpartition("/")
    node = out.setdefault(entry, {}) if entry else out
    node.update({prefix + key: value for key, value in state.items()})
  base = name.partition("@")[0]
  if base in _OPTIONS:
    out["opts"] = _OPTIONS[base]
  out[official.OURS] = json.dumps(documents)
  return out


def _bundle(
    networks: Folders, name: str, besides: Mapping[str, str] | None
) -> dict[str, str]:
  """{network: container} of the networks in the file of network `name`."""
  base = name.partition("@")[0]
  bundle = {name: _CONTAINERS.get(base, _family(name).container)}
  if name in _BUNDLES:
    bundle = _BUNDLES[name] | dict(besides or {})
  return {name: where for name, where in bundle.items() if name in networks}


def official_state(
    folder: pathlib.Path, family: Family
) -> tuple[nn.Module, dict[str, np.ndarray], list[int] | None]:
  """A network in its official layout.

  Returns:
    Our module, the official tensors, and the shape that latent_avg had in the
    file that the network comes from (None: one row per style).
  """
  module, variables = weights.read(folder)
  kept = dict(weights.describe(folder)["info"].get("kept", {}))
  shape = kept.pop("latent_avg", None)
  counters = {key: np.array(value, np.int64) for key, value in kept.items()}
  return module, family.export(module, variables, counters), shape


def save(path: pathlib.Path, entries: Any) -> None:
  """Writes an array, or nested dicts of arrays, as a PyTorch file."""
  torch = reader.import_torch("written")

  def tensors(node: Any) -> Any:
    if isinstance(node, Mapping):
      return {key: tensors(value) for key, value in node.items()}
    return torch.from_numpy(node) if isinstance(node, np.ndarray) else node

  with atomic.replacing(path) as part:
    torch.save(tensors(entries), part)


def _find_family(name: str) -> Family | None:
  if name.startswith("mappers/"):
    return mappers.STYLECLIP_FAMILY
  return _FAMILIES.get(name.partition("@")[0])


def _family(name: str) -> Family:
  family = _find_family(name)
  if family is None:
    raise UserError(f"{name} has no official layout")
  return family


def _with_layout(src: pathlib.Path, layouts: Mapping[str, Any]) -> list[str]:
  """The names that have an official layout; logs the others.

  Args:
    src: folder that they come from, for messages.
    layouts: by name, None for names that have no official layout.

  Raises:
    UserError: none has one.
  """
  known = [name for name, layout in layouts.items() if layout is not None]
  left_out = [name for name in layouts if name not in known]
  if not known:
    raise UserError(
        f"{src}: no official layout exists for {', '.join(left_out)}"
    )
  if left_out:
    networks = [name for name in left_out if "/" not in name]
    others = len(left_out) - len(networks)
    logging.warning(
        "left out, because no official layout exists for them: %s",
        ", ".join([*networks, *([f"{others} directions"] if others else [])]),
    )
  return known


def _write(
    networks: Folders,
    names: Iterable[str],
    stage: pathlib.Path,
    dst: pathlib.Path,
    besides: Mapping[str, str] | None = None,
) -> None:
  """Writes the networks `names` to `stage`, from which they move to `dst`."""
  written: dict[str, str] = {}
  for name in tqdm.tqdm(list(names), unit="network", disable=None):
    save(stage / f"{name}.pt", contents(networks, name, besides))
    logging.info("%s.pt", dst / name)
    written |= _bundle(networks, name, besides)
  for name in written:
    module = weights.module(networks[name])
    for field, value in official.hidden_fields(module).items():
      logging.warning(
          "%s: the official layout cannot hold %s %s; programs other than this"
          " one will assume %s", name, field, value, official.ASSUMED[field],
      )


def _place(stage: pathlib.Path, dst: pathlib.Path) -> None:
  written = [path for path in stage.rglob("*") if path.is_file()]
  atomic.place_all({dst / p.relative_to(stage): p for p in written})


def _save_direction(path: pathlib.Path, value: Any) -> None:
  """Writes a direction in the format of the release's file of its kind.

  Args:
    path: path of the file without suffix.
    value: contents, see `directions.to_official`.
  """
  if isinstance(value, list):
    with atomic.replacing(path) as part:
      part.write_bytes(pickle.dumps(value))
  elif isinstance(value, Mapping) or value.shape == (1, 512):
    save(path.with_name(f"{path.name}.pt"), value)
  else:
    with atomic.replacing(path.with_name(f"{path.name}.npy")) as part:
      np.save(part, value)
