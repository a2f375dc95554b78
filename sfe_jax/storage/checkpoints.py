"""Numbered checkpoints of a run.

  WORKDIR/checkpoints/1000/state/    the training state (Orbax)
  WORKDIR/checkpoints/1000/data/     position in the data, a file per process
  WORKDIR/checkpoints/1000/meta/     small facts of the caller (JSON)
  WORKDIR/checkpoints/1000/metrics/  validation results of this step, if any

A checkpoint is written in the background under a temporary name and renamed
when it is complete.  It holds one copy of the state, whatever the number of
devices.  If a run has several processes, all of them must call every function
and method here.  This module treats the state as a tree of arrays and knows
nothing about networks.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from sfe_jax.errors import UserError
from sfe_jax.storage import atomic

FOLDER = "checkpoints"
_SHOWN = 3  # differences that an error message lists
_REASON = 160  # characters of another library's message in ours


@dataclasses.dataclass(frozen=True)
class Restored:
  """Content of a checkpoint.

  Attributes:
    step: number of the checkpoint.
    state: tree of numpy arrays.
    meta: the caller's facts.
    has_data: whether the position in the data was restored too.  This needs the
      number of processes that saved it.
  """

  step: int
  state: Any
  meta: dict[str, Any]
  has_data: bool


class Checkpoints:
  """Saves in the background; keeps the last checkpoints and the best one.

  It is a context manager: leaving it waits for the current save.
  """

  def __init__(
      self, workdir: str | os.PathLike, keep: int = 2, best: str = "loss"
  ):
    """Opens the checkpoints of a run.

    Args:
      workdir: folder of the run; the folder of checkpoints is created in it.
      keep: number of last checkpoints to keep.
      best: validation metric; the checkpoint with the lowest value is kept too.
    """
    self._folder = _folder(workdir)

    def value(metrics: Mapping[str, float]) -> float:
      return metrics.get(best, math.inf)

    # Orbax stores metrics only if best_fn is given; the policy needs them.
    options = ocp.CheckpointManagerOptions(
        save_decision_policy=policies.FixedIntervalPolicy(1),
        preservation_policy=policies.AnyPreservationPolicy([
            policies.LatestN(keep),
            policies.BestN(
                get_metric_fn=value,
                reverse=True,
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]),
        best_fn=value,
        best_mode="min",
        cleanup_tmp_directories=True,
        # If folders are created in the background, each process waits by a
        # count of its own saves.  Process 0 saves weight folders besides, so
        # that the counts differ and other processes write too early.
        async_options=ocp.AsyncOptions(
            create_directories_asynchronously=False
        ),
    )
    self._manager = ocp.CheckpointManager(self._folder, options=options)
    self._best = math.inf
    if (step := self._manager.best_step()) is not None:
      try:
        self._best = value(self._manager.metrics(step))
      except ValueError as error:
        raise _damaged(self._folder / str(step), error) from error
    self._value = value

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *_) -> None:
    with atomic.naming(self._folder):
      self._manager.close()

  def is_best(self, metrics: Mapping[str, float]) -> bool:
    """Whether these metrics are better than those of all checkpoints."""
    return self._value(metrics) < self._best

  def save(
      self,
      step: int,
      state: Any,
      data: Any,
      meta: Mapping[str, Any],
      metrics: Mapping[str, float] | None = None,
  ) -> None:
    """Starts to write a checkpoint.

    The caller may change the arguments as soon as this returns.

    Args:
      step: number of the checkpoint, above all previous ones.
      state: tree of numpy arrays, one copy, equal in all processes.
      data: Grain iterator.
      meta: JSON-serialisable facts.
      metrics: validation results at this step.

    Raises:
      UserError: the state is not finite; nothing is written.
      OSError: this save or the one before failed, e.g. because of a full disk.
    """
    import grain.checkpoint as grain_checkpoint  # only training has it

    for name, leaf in _named(state):
      if not np.isfinite(leaf).all():
        raise UserError(
            f"{name} is not finite after step {step}; the last good checkpoint"
            f" is {self._manager.latest_step()}"
        )
    args = ocp.args.Composite(
        state=ocp.args.StandardSave(state),
        data=grain_checkpoint.CheckpointSave(data),
        meta=ocp.args.JsonSave(
            {"processes": jax.process_count(), "facts": dict(meta)}
        ),
    )
    with atomic.naming(self._folder):  # of this save, or of the one before
      saved = self._manager.save(step, args=args, metrics=dict(metrics or {}))
    if not saved:
      raise RuntimeError(f"{self._folder}: checkpoint {step} was not written")
    self._best = min(self._best, self._value(metrics or {}))

  def restore(self, state: Any, data: Any) -> Restored | None:
    """Reads the last checkpoint.

    Args:
      state: tree of arrays with the expected structure, shapes and dtypes.
      data: Grain iterator, which is moved to the stored position.

    Returns:
      The checkpoint's content, or None if there is no checkpoint yet.

    Raises:
      UserError: the checkpoint is damaged or belongs to another model.
    """
    import grain.checkpoint as grain_checkpoint  # only training has it

    step = self._manager.latest_step()
    if step is None:
      return None
    path = self._folder / str(step)
    try:
      self._compare(path / "state", state)
      args = ocp.args
      meta = self._manager.restore(
          step, args=args.Composite(meta=args.JsonRestore())
      ).meta
      items = {"state": args.StandardRestore(jax.tree.map(np.asarray, state))}
      has_data = meta["processes"] == jax.process_count()
      if has_data:
        items["data"] = grain_checkpoint.CheckpointRestore(data)
      found = self._manager.restore(step, args=args.Composite(**items))
    except UserError:
      raise
    except (ValueError, KeyError, TypeError, OSError) as error:
      raise _damaged(path, error) from error
    return Restored(step, found.state, meta["facts"], has_data)

  def _compare(self, path: pathlib.Path, wanted: Any) -> None:
    """Raises UserError if the stored tree differs from `wanted`.

    Orbax casts dtypes silently, and its errors name no array.
    """
    stored = {name: _kind(x) for name, x in _named(_metadata(path))}
    wanted = {name: _kind(x) for name, x in _named(wanted)}
    differences = [
        f"{name} is {stored.get(name, 'absent')} there and"
        f" {wanted.get(name, 'absent')} in this run"
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name) != wanted.get(name)
    ]
    if differences:
      more = len(differences) - _SHOWN
      raise UserError(
          f"{path.parent} is a checkpoint of another model:"
          f" {'; '.join(differences[:_SHOWN])}"
          + (f"; and {more} more" if more > 0 else "")
          + "; use the config it was made with, or another --workdir"
      )


def latest_step(workdir: str | os.PathLike) -> int | None:
  """Number of the last complete checkpoint of a run, None if there is none."""
  return max(_steps(workdir), default=None)


def best_step(workdir: str | os.PathLike, metric: str) -> int | None:
  """Number of the checkpoint with the lowest validation value of a metric.

  Args:
    workdir: folder of the run.
    metric: name of a validation result.

  Returns:
    The latest of equally good ones; None if no checkpoint has the metric.

  Raises:
    UserError: stored metrics are damaged.
  """
  values = {}
  for step in _steps(workdir):
    path = _folder(workdir) / str(step) / "metrics" / "metrics"
    metrics = atomic.read_json(path) if path.exists() else None
    if metrics and metric in metrics:
      values[step] = metrics[metric]
  return min(values, key=lambda step: (values[step], -step), default=None)


def read_state(
    workdir: str | os.PathLike,
    step: int | None = None,
    names: Sequence[str] = ("step", "params", "model_state"),
) -> dict[str, Any]:
  """Reads parts of a run's state.

  Args:
    workdir: folder of the run.
    step: step of the checkpoint; None takes the last one.
    names: fields of the state to read.

  Returns:
    {field: tree of numpy arrays}, trees as nested dicts.

  Raises:
    UserError: there is no such checkpoint, or it is damaged.
  """
  step = latest_step(workdir) if step is None else step
  if step is None:
    raise UserError(f"{workdir} holds no checkpoint: train first")
  path = _folder(workdir) / str(step)
  if not path.is_dir():
    raise UserError(
        f"{workdir} holds no checkpoint {step}, only {_steps(workdir)}"
    )
  try:
    stored = _metadata(path / "state")
    target = {name: stored[name] for name in names}
    how = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target
    )
    with ocp.PyTreeCheckpointer() as checkpointer:
      return checkpointer.restore(
          path / "state",
          args=ocp.args.PyTreeRestore(
              target, partial_restore=True, restore_args=how
          ),
      )
  except (ValueError, KeyError, TypeError, OSError) as error:
    raise _damaged(path, error) from error


def _folder(workdir: str | os.PathLike) -> pathlib.Path:
  return pathlib.Path(workdir).absolute() / FOLDER


def _steps(workdir: str | os.PathLike) -> list[int]:
  """Numbers of all complete checkpoints of a run, ascending."""
  folder = _folder(workdir)
  if not folder.is_dir():
    return []
  return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


def _metadata(path: pathlib.Path) -> dict[str, Any]:
  """Shapes and dtypes of a stored tree, as nested dicts and lists."""
  return ocp.PyTreeCheckpointHandler().metadata(path).tree


def _named(tree: Any) -> list[tuple[str, Any]]:
  """Leaves with their paths, such as "params/conv/kernel"."""
  return [
      (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  ]


def _kind(array: Any) -> str:
  """E.g. "float32(3, 4)"."""
  return f"{np.dtype(array.dtype)}{tuple(array.shape)}"


def _damaged(path: pathlib.Path, error: Exception) -> UserError:
  reason = str(error).strip().partition("\n")[0] or type(error).__name__
  return UserError(
      f"{path}: damaged checkpoint: {reason[:_REASON]}; delete this folder to"
      " continue from the previous checkpoint"
  )
