"""Weight folders and training runs -> official-layout .pt files."""

import json
import os
import pathlib
import pickle
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tqdm
from absl import logging

from convert import official
from convert.family import Family
from convert.rules import directions, discriminator, e4e, mappers
from sfe_jax.directions import files
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, runs, weights

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
# Training's files, unlike "light" ones, hold the discriminator too.
_IN_TRAINING = {"discriminator": "state_dict/discriminator."}
_CONTAINERS = {"generator_raw": "g/"}

Folders = Mapping[str, pathlib.Path]
# What tells these files apart; their tensors have the same names.
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


def export_folder(src: str | os.PathLike, dst: str | os.PathLike) -> None:
  """Writes every network and direction of a weight folder as official files.

  NAME.pt has the layout of the release's file for that network; feature_editor
  and e4e also hold the networks that the release's files bundle.

  Raises:
    UserError: `src` is no weight folder, or holds an unknown network.
  """
  src, dst = pathlib.Path(src), pathlib.Path(dst)
  networks = find(src)
  arrays = sorted((src / "directions").glob("*.npz"))
  if not networks and not arrays:
    raise UserError(
        f"{src}: no weight folder and no training run; python -m convert makes"
        " weight folders"
    )
  dst.mkdir(parents=True, exist_ok=True)
  for name in tqdm.tqdm(networks, unit="network", disable=None):
    target = dst / f"{name}.pt"
    save(target, contents(networks, name))
    logging.info("wrote %s", target)
  for path in arrays:
    _save_direction(path, dst / "directions")


def export_run(
    src: str | os.PathLike, dst: str | os.PathLike, step: int | None = None
) -> None:
  """Writes what a training run trained as official files.

  The trained network's file bundles the networks that it was trained with, as
  `export_folder` does, and the discriminator.

  Args:
    src: the run's workdir.
    dst: gets NAME.pt.
    step: of the checkpoint; None takes the one the run deploys (the best, by
      default).

  Raises:
    UserError: no run, no such checkpoint, or a network without official layout.
  """
  src, dst = pathlib.Path(src), pathlib.Path(dst)
  names = runs.names(src)
  step = runs.deployed_step(src) if step is None else step
  for name in names:
    _family(name)
  found = {name: runs.read(src, name, step) for name in names}
  dst.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=dst, prefix=".") as part:
    networks = find(src / "weights")
    for name, network in found.items():
      networks[name] = pathlib.Path(part) / name
      weights.write(networks[name], *network)
    for name in names:
      target = dst / f"{name}.pt"
      save(target, contents(networks, name, _IN_TRAINING))
      logging.info("wrote %s", target)


def find(src: pathlib.Path) -> dict[str, pathlib.Path]:
  """The networks of a weight folder by name."""
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
  """The entries of the official file of network `name`.

  Args:
    networks: folder by name, see `find`.
    name: of the network.
    besides: {network: container} that a bundle holds as well.
  """
  base = name.partition("@")[0]
  container = _CONTAINERS.get(base, _family(name).container)
  bundle = {name: container}
  if name in _BUNDLES:
    bundle = _BUNDLES[name] | dict(besides or {})
  out: dict[str, Any] = {}
  documents = {}
  average = None
  for network, where in bundle.items():
    if network not in networks:
      continue
    state, shape = official_state(networks[network], _family(network))
    other = state.pop("latent_avg", None)
    if average is None and other is not None:
      average = other
      out["latent_avg"] = other[:1].reshape(shape) if shape else other
    elif other is not None and not np.array_equal(average, other):
      # The file has one latent_avg: this network would get a wrong one.
      logging.info("  %s has another latent_avg: only in its own file", network)
      continue
    document = weights.describe(networks[network])
    documents[network.partition("@")[0]] = {
        key: document[key] for key in ("network", "sizes")
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
) -> tuple[dict[str, np.ndarray], list[int] | None]:
  """Official tensors of a network, and the shape its file's latent_avg had."""
  _, variables = weights.read(folder)
  kept = dict(weights.describe(folder)["info"].get("kept", {}))
  shape = kept.pop("latent_avg", None)
  counters = {key: np.array(value, np.int64) for key, value in kept.items()}
  return family.export(variables, counters), shape


def _family(name: str) -> Family:
  if name.startswith("mappers/"):
    return mappers.STYLECLIP_FAMILY
  base = name.partition("@")[0]
  if base not in _FAMILIES:
    raise UserError(f"no official layout is known for {name!r}")
  return _FAMILIES[base]


def save(path: pathlib.Path, entries: Mapping[str, Any]) -> None:
  """Writes entries of arrays as a PyTorch file, atomically."""
  torch = _torch()

  def tensors(node: Any) -> Any:
    if isinstance(node, Mapping):
      return {key: tensors(value) for key, value in node.items()}
    return torch.from_numpy(node) if isinstance(node, np.ndarray) else node

  with atomic.replacing(path) as part:
    torch.save(tensors(entries), part)


def _torch():
  try:
    import torch
  except ImportError:
    raise UserError(
        'writing .pt needs PyTorch: pip install -e ".[convert]"'
    ) from None
  return torch


def _save_direction(path: pathlib.Path, dst: pathlib.Path) -> None:
  """.npy for boundaries and matrices, .pt for the rest, as in the release."""
  value = directions.to_official(path.stem, files.read(path))
  if isinstance(value, list):
    with atomic.replacing(dst / path.stem) as part:
      part.write_bytes(pickle.dumps(value))
  elif isinstance(value, Mapping):
    save(dst / f"{path.stem}.pt", value)
  elif value.shape[-1] == 512 and value.ndim == 2 and len(value) == 1:
    with atomic.replacing(dst / f"{path.stem}.pt") as part:
      _torch().save(_torch().from_numpy(value), part)
  else:
    with atomic.replacing(dst / f"{path.stem}.npy") as part:
      np.save(part, value)
