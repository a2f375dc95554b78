"""Starts a training run: processes, pictures, stage, loop, weights."""

import dataclasses
import signal
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from sfe_jax import data, devices
from sfe_jax.errors import UserError
from sfe_jax.training import loop, plan, requirements, stages, workdir


@dataclasses.dataclass(frozen=True)
class Processes:
  """How this process finds the other processes of the run.

  Attributes:
    distributed: join the processes that the TPU pod or SLURM job describes.
    coordinator: "host:port" of process 0; None takes it from the environment.
    count: number of processes; None takes it from the environment.
    index: index of this process; None takes it from the environment.
  """

  distributed: bool = False
  coordinator: str | None = None
  count: int | None = None
  index: int | None = None

  @property
  def several(self) -> bool:
    """Whether there are other processes."""
    given = (self.coordinator, self.count, self.index)
    return self.distributed or any(x is not None for x in given)

  def check(self) -> None:
    """Raises UserError if the flags do not go together."""
    counted = (self.count is not None, self.index is not None)
    if any(counted) and not (all(counted) and self.coordinator):
      raise UserError(
          "--processes and --process go together with --coordinator; on a TPU"
          " pod or under SLURM use --distributed, which needs none of them"
      )
    if self.coordinator and not any(counted) and not self.distributed:
      raise UserError(
          "--coordinator needs --processes and --process too, or --distributed"
          " on a TPU pod or under SLURM"
      )

  def join(self) -> None:
    """Joins the other processes, if there are any.

    Raises:
      UserError: the processes did not find each other.
    """
    if self.several:
      devices.initialize(self.coordinator, self.count, self.index)

  def __str__(self) -> str:
    if not self.several:
      return "one process, all its devices"
    at = f", coordinator {self.coordinator}" if self.coordinator else ""
    if self.count is None:
      return f"all processes of the TPU pod or SLURM job{at}"
    return f"process {self.index} of {self.count}{at}"


def run(
    config: ConfigDict, folder: str, processes: Processes
) -> signal.Signals | None:
  """Trains what a config describes, and writes the trained weights.

  Args:
    config: resolved config, which passed `plan.check`.
    folder: workdir of the run; continues the run that it holds.
    processes: how to find the other processes.

  Returns:
    The signal that stopped the run early, after a checkpoint was saved; None if
    all steps are done.

  Raises:
    UserError: something is missing or does not fit, or a loss is not finite.
  """
  processes.join()
  requirements.require(plan.requirements(config))
  jax.config.update("jax_default_matmul_precision", config.compute.precision)
  logging.info(
      "%d %s devices, process %d of %d",
      jax.device_count(), jax.devices()[0].device_kind,
      jax.process_index(), jax.process_count(),
  )
  train, held_out, pictures = _open_pictures(config)
  stage = stages.build(config)
  workdir.start(folder, config, stage, pictures)
  stopped = loop.run(stage, config, folder, train, held_out)
  workdir.write_weights(folder, stage)
  return stopped


def _open_pictures(
    config: ConfigDict,
) -> tuple[Any, Any, dict[str, int]]:
  """Opens the pictures that section data of the config names.

  Returns:
    Batches to train on, batches to validate with, and {kind: number of
    pictures}.

  Raises:
    UserError: pictures or labels cannot be read, or there are too few.
  """
  c = config.data
  train, held_out = data.open_sets(
      c.source,
      c.path,
      c.resolution,
      name=c.name,
      split=c.split,
      validation_path=c.validation_path,
      validation_count=c.validation_count,
  )
  if labels := requirements.labels_path(config):
    train, held_out = data.label((train, held_out), labels)
  pictures = {"train": len(train), "held out": len(held_out)}
  logging.info("%d pictures to train on, %d held out", *pictures.values())
  if len(train) < c.batch_size:
    raise UserError(
        f"{c.path}: {len(train)} pictures to train on, {len(held_out)} held"
        f" out, are too few for data.batch_size {c.batch_size}; add pictures,"
        " or lower data.batch_size or data.validation_count"
    )
  shared: dict[str, Any] = {
      "batch_size": c.batch_size,
      "threads": c.threads,
      "process": jax.process_index(),
      "processes": jax.process_count(),
  }
  return (
      data.loader(train, seed=config.seed, flip=c.flip, **shared),
      data.validation_batches(held_out, **shared),
      pictures,
  )
