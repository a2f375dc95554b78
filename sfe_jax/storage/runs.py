"""The folder of a training run: what is in it, and how to read it.

  WORKDIR/config.json    the resolved config
  WORKDIR/trained.json   trained networks and their sizes, SHA-256 of the frozen
                         networks, numbers of pictures, which checkpoint is
                         deployed
  WORKDIR/run.json       for every start: command, versions, devices, commit
  WORKDIR/checkpoints/   see `storage.checkpoints`
  WORKDIR/weights/       weight folder for the editor, see `storage.weights`
  WORKDIR/metrics.jsonl  a JSON object of numbers for every logged step
  WORKDIR/grids/         sheets of held-out pictures
  WORKDIR/tensorboard/   the same numbers and sheets for TensorBoard

`training.workdir`, `training.recorder` and `storage.checkpoints` write it.
"""

import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import numpy as np
from flax import traverse_util

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, checkpoints, layout, weights

BEST, LAST = "best", "last"
# Collections of a network's variables; a stage may keep others in
# `model_state`.
_COLLECTIONS = ("batch_stats", "buffers")


def document(workdir: str | os.PathLike) -> dict[str, Any]:
  """Reads layout.TRAINED.

  Returns:
    Keys "networks" ({name: {"network", "sizes", "info"}}, the main network
    first), "frozen" ({name: SHA-256}), "pictures" ({kind: number}) and "deploy"
    ({"choice": BEST or LAST, "metric": name}; runs of version 0.1 lack it).

  Raises:
    UserError: the folder is not a run's, or the file is damaged.
  """
  return atomic.read_json(
      pathlib.Path(workdir) / layout.TRAINED,
      missing=f"{workdir} is no workdir of a run: {layout.TRAINED} is missing",
  )


def config(workdir: str | os.PathLike) -> dict[str, Any] | None:
  """Reads layout.CONFIG as nested dicts; None if there is none yet.

  Raises:
    UserError: the file is damaged.
  """
  path = pathlib.Path(workdir) / layout.CONFIG
  return atomic.read_json(path) if path.exists() else None


def starts(workdir: str | os.PathLike) -> list[dict[str, Any]]:
  """Reads layout.STARTS: facts about every start of the run, [] for a new run.

  Raises:
    UserError: the file is damaged.
  """
  path = pathlib.Path(workdir) / layout.STARTS
  return atomic.read_json(path) if path.exists() else []


def read_curves(workdir: str | os.PathLike) -> dict[str, dict[int, float]]:
  """Reads layout.CURVES: {name: {step: value}} by step; {} for a new run.

  A resumed run may write a step again; the last value counts.
  """
  curves: dict[str, dict[int, float]] = {}
  path = pathlib.Path(workdir) / layout.CURVES
  text = path.read_text(encoding="utf-8") if path.exists() else ""
  for line in text.splitlines():
    try:
      values = json.loads(line)
    except ValueError:  # a killed run can leave an incomplete line
      continue
    step = values.pop("step")
    for name, value in values.items():
      curves.setdefault(name, {})[step] = value
  return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def names(workdir: str | os.PathLike) -> tuple[str, ...]:
  """Names of the networks that a run trains, the main one first.

  Raises:
    UserError: the folder is not a run's.
  """
  return tuple(document(workdir)["networks"])


def deployed_step(workdir: str | os.PathLike) -> int:
  """The checkpoint that stands for a run: its best one or its last one.

  The run's config chooses by `checkpoint.deploy`.  The best checkpoint has the
  lowest validation value of `checkpoint.best`.  Without validation it is the
  last one.

  Raises:
    UserError: the folder is not a run's, it holds no checkpoint, or a file in
      it is damaged.
  """
  deploy = document(workdir).get("deploy", {})
  step = None
  if deploy.get("choice", LAST) == BEST:
    step = checkpoints.best_step(workdir, deploy["metric"])
  if step is None:
    step = checkpoints.latest_step(workdir)
  if step is None:
    raise UserError(f"{workdir} holds no checkpoint: train first")
  return step


def read(
    workdir: str | os.PathLike,
    name: str,
    step: int | None = None,
    **fields: Any,
) -> tuple[nn.Module, Any]:
  """Reads a trained network from a checkpoint.

  Args:
    workdir: of the run.
    name: of the network.
    step: of the checkpoint; None takes `deployed_step`.
    **fields: further fields of the module, such as dtype.

  Returns:
    The module, and its variables as numpy arrays.

  Raises:
    UserError: there is no such run, network or checkpoint, or it is damaged.
  """
  networks = document(workdir)["networks"]
  if name not in networks:
    raise UserError(f"{workdir} trains {', '.join(networks)}, not {name}")
  where = pathlib.Path(workdir) / layout.TRAINED
  module = weights.build(networks[name], where, **fields)
  found = variables(workdir, networks, step)[name]
  want, got = _shapes(weights.abstract(module)), _shapes(found)
  wrong = {k for k in want.keys() | got.keys() if want.get(k) != got.get(k)}
  if wrong:
    key = min(wrong)
    raise UserError(
        f"{workdir}: the checkpoint does not fit its {name}: {key} is"
        f" {got.get(key, 'absent')} there, {want.get(key, 'absent')} by"
        f" {layout.TRAINED}"
    )
  return module, found


def variables(
    workdir: str | os.PathLike,
    networks: Iterable[str],
    step: int | None = None,
) -> dict[str, Any]:
  """Reads the variables of trained networks; call it in every process.

  Args:
    workdir: of the run.
    networks: their names, the main one first.
    step: of the checkpoint; None takes `deployed_step`.

  Returns:
    {network name: variables as numpy arrays}.

  Raises:
    UserError: there is no such checkpoint, or it is damaged.
  """
  step = deployed_step(workdir) if step is None else step
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
  flat = traverse_util.flatten_dict(tree, sep="/")
  return {name: np.shape(leaf) for name, leaf in flat.items()}
