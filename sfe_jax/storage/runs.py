"""Networks out of the checkpoints of a training run.

WORKDIR/trained.json, which `workdir.start` writes, names them.
"""

import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from sfe_jax.errors import UserError
from sfe_jax.storage import checkpoints, weights

DOCUMENT = "trained.json"
# Of a network's variables; a stage may keep more in `model_state`.
_COLLECTIONS = ("batch_stats", "buffers")


def is_run(folder: str | os.PathLike) -> bool:
  """Whether a folder is the workdir of a run."""
  return (pathlib.Path(folder) / DOCUMENT).is_file()


def weight_folder(folder: str | os.PathLike) -> pathlib.Path:
  """The path of a weight folder.

  Raises:
    UserError: there is none, or it is the workdir of a training run.
  """
  folder = weights.locate(folder)
  if not folder.is_dir():
    raise UserError(
        f"{folder}: no such weight folder; make one with python -m convert"
        " --src pretrained_models --dst weights"
    )
  if is_run(folder):
    raise UserError(
        f"{folder} is the workdir of a training run; its weights are in"
        f" {folder / 'weights'}"
    )
  return folder


def document(workdir: str | os.PathLike) -> dict[str, Any]:
  """What a run trains ("networks"), and what it is trained with.

  Raises:
    UserError: the folder is not a run's, or the file is damaged.
  """
  path = pathlib.Path(workdir) / DOCUMENT
  try:
    return json.loads(path.read_text())
  except FileNotFoundError:
    raise UserError(
        f"{workdir} is no workdir of a run: {DOCUMENT} is missing"
    ) from None
  except ValueError as error:
    raise UserError(f"{path} cannot be read: {error}") from None


def names(workdir: str | os.PathLike) -> tuple[str, ...]:
  """Names of the networks that a run trains, the main one first.

  Raises:
    UserError: the folder is not a run's.
  """
  return tuple(document(workdir)["networks"])


def read(
    workdir: str | os.PathLike,
    name: str,
    step: int | None = None,
    **fields: Any,
) -> tuple[nn.Module, Any]:
  """A trained network out of a checkpoint: its module and variables.

  Args:
    workdir: of the run.
    name: of the network.
    step: of the checkpoint; None takes the last.
    **fields: of the module, such as dtype.

  Raises:
    UserError: no run, network or checkpoint of that name, or a damaged one.
  """
  networks = document(workdir)["networks"]
  if name not in networks:
    raise UserError(f"{workdir} trains {', '.join(networks)}, not {name}")
  where = pathlib.Path(workdir) / DOCUMENT
  module = weights.build(networks[name], where, **fields)
  found = variables(workdir, networks, step)[name]
  want, got = _shapes(weights.abstract(module)), _shapes(found)
  wrong = {k for k in want.keys() | got.keys() if want.get(k) != got.get(k)}
  if wrong:
    key = min(wrong)
    raise UserError(
        f"{workdir}: the checkpoint does not fit its {name}: {key} is"
        f" {got.get(key, 'absent')} there, {want.get(key, 'absent')} by"
        f" {DOCUMENT}"
    )
  return module, found


def variables(
    workdir: str | os.PathLike,
    networks: Iterable[str],
    step: int | None = None,
) -> dict[str, Any]:
  """Variables of a run's networks by name; call it in every process.

  Args:
    workdir: of the run.
    networks: their names, the main one first.
    step: of the checkpoint; None takes the last.

  Raises:
    UserError: no such checkpoint, or a damaged one.
  """
  state = checkpoints.read_state(
      workdir, step, ("params", "ema", "model_state", "disc_params")
  )
  params = state["ema"] or state["params"]
  kept = {k: v for k, v in state["model_state"].items() if k in _COLLECTIONS}
  found = {next(iter(networks)): {"params": params, **kept}}
  if "discriminator" in networks:
    found["discriminator"] = {"params": state["disc_params"]}
  return found


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  return {
      jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
