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
from sfe_jax.storage import atomic, checkpoints, runs, weights

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
# Fields that official layouts cannot hold, with the values that their readers
# assume.
_ASSUMED = {"conv_clamp": None, "mbstd_group": 4}

Folders = Mapping[str, pathlib.Path]


def export_folder(src: str | os.PathLike, dst: str | os.PathLike) -> None:
  """Writes the networks and directions of a weight folder as official files.

  NAME.pt has the layout of the release's file for that network; feature_editor
  and e4e also hold the networks that the release's files bundle.  Networks
  without an official layout are named and left out.

  Args:
    src: weight folder, or the name of one that comes with the project.
    dst: folder for the files; it gets all of them or none.

  Raises:
    UserError: `src` is no weight folder, or none of it can be exported.
  """
  src, dst = weights.locate(src), pathlib.Path(dst)
  networks = find(src)
  arrays = sorted((src / "directions").glob("*.npz"))
  if not networks and not arrays:
    raise UserError(
        f"{src}: no weight folder and no training run; python -m convert makes"
        " weight folders"
    )
  names = _with_layout(networks, f"{src}: ", required=not arrays)
  with atomic.staging(dst) as stage:
    _write(networks, names, stage, dst)
    for path in arrays:
      _save_direction(path, stage / "directions")
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
    step: step of the checkpoint; None takes the last.

  Raises:
    UserError: `src` is no run, it has no such checkpoint, or none of its
      networks has an official layout.
  """
  src, dst = pathlib.Path(src), pathlib.Path(dst)
  names = _with_layout(runs.names(src), f"{src}: ", required=True)
  step = checkpoints.latest_step(src) if step is None else step
  trained = {name: runs.read(src, name, step) for name in names}
  with atomic.staging(dst) as scratch, atomic.staging(dst) as stage:
    networks = find(src / "weights")
    for name, (module, variables) in trained.items():
      networks[name] = scratch / name
      weights.write(networks[name], module, variables)
    _write(networks, names, stage, dst, _IN_TRAINING)
    _place(stage, dst)


def find(src: pathlib.Path) -> dict[str, pathlib.Path]:
  """The networks of a weight folder: {name: folder}."""
  folders = sorted(p.parent for p in src.glob("**/network.json"))
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
  base = name.partition("@")[0]
  bundle = {name: _CONTAINERS.get(base, _family(name).container)}
  if name in _BUNDLES:
    bundle = _BUNDLES[name] | dict(besides or {})
  out: dict[str, Any] = {}
  documents = {}
  average: Any = None
  for network, where in bundle.items():
    if network not in networks:
      continue
    module, state, shape = official_state(networks[network], _family(network))
    other = state.pop("latent_avg", None)
    if other is not None and average is None:
      average = other
      out["latent_avg"] = other[:1].reshape(shape) if shape else other
    if other is not None and not np.array_equal(other, average):
      # The file has one latent_avg, which is wrong for this network.
      logging.info("  %s has another latent_avg: only in its own file", network)
      continue
    documents[network.partition("@")[0]] = {
        "network": type(module).__name__,
        "sizes": weights.sizes(module),
    }
    entry, _, prefix = where.rpartition("/")
    node = out.setdefault(entry, {}) if entry else out
    node.update({prefix + key: value for key, value in state.items()})
  if base in _OPTIONS:
    out["opts"] = _OPTIONS[base]
  out[official.OURS] = json.dumps(documents)
  return out


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


def save(path: pathlib.Path, entries: Mapping[str, Any]) -> None:
  """Writes nested dicts of arrays as a PyTorch file, atomically."""
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


def _with_layout(
    names: Iterable[str], where: str, required: bool
) -> list[str]:
  """The networks that have an official layout; names the others."""
  names = list(names)
  known = [name for name in names if _find_family(name)]
  left_out = ", ".join(name for name in names if name not in known)
  if required and not known:
    raise UserError(
        f"{where}nothing to export: {left_out} has no official layout"
    )
  if left_out:
    logging.warning(
        "%sleft out, having no official layout: %s", where, left_out
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
  for name in tqdm.tqdm(list(names), unit="network", disable=None):
    save(stage / f"{name}.pt", contents(networks, name, besides))
    logging.info("%s.pt", dst / name)
    _warn_of_lost_fields(name, weights.module(networks[name]))


def _warn_of_lost_fields(name: str, module: nn.Module) -> None:
  for field, assumed in _ASSUMED.items():
    value = getattr(module, field, assumed)
    if value != assumed:
      logging.warning(
          "%s.pt: the official layout cannot hold %s %s; programs other than"
          " this one will assume %s", name, field, value, assumed,
      )


def _place(stage: pathlib.Path, dst: pathlib.Path) -> None:
  written = [path for path in stage.rglob("*") if path.is_file()]
  atomic.place_all({dst / p.relative_to(stage): p for p in written})


def _save_direction(path: pathlib.Path, dst: pathlib.Path) -> None:
  """Writes .npy for boundaries and matrices and .pt otherwise, as released."""
  value = directions.to_official(path.stem, files.read(path))
  if isinstance(value, list):
    with atomic.replacing(dst / path.stem) as part:
      part.write_bytes(pickle.dumps(value))
  elif isinstance(value, Mapping):
    save(dst / f"{path.stem}.pt", value)
  elif value.ndim == 2 and len(value) == 1 and value.shape[1] == 512:
    torch = reader.import_torch("written")
    with atomic.replacing(dst / f"{path.stem}.pt") as part:
      torch.save(torch.from_numpy(value), part)
  else:
    with atomic.replacing(dst / f"{path.stem}.npy") as part:
      np.save(part, value)
