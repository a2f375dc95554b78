r"""Trains what a config describes.

  python -m sfe_jax.train --config=configs/ffhq_phase1.py --workdir=W1

`--config=FILE:VARIANT` picks a variant, `--config.KEY=VALUE` changes a value;
without --workdir the run is in out/FILE or out/FILE_VARIANT.  The same command
goes on after an interruption.  On a TPU pod or under SLURM add --distributed
and run it in every process; elsewhere --coordinator, --processes and --process.
Exit code: 0 done, or saved after SIGTERM; 2 wrong usage or a loss that is not
finite; 130 saved after Ctrl-C (of a single process).
"""

import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from sfe_jax import command_line, devices
from sfe_jax.errors import UserError
from sfe_jax.storage import checkpoints
from sfe_jax.training import workdir

FLAGS = flags.FLAGS
_PRECISIONS = ("default", "high", "highest")
_LEAST = {
    "steps": 1,
    "data.batch_size": 1,
    "log.every": 0,
    "log.grid_every": 0,
    "log.validate_every": 0,
    "checkpoint.every": 0,
    "checkpoint.keep": 1,
}


def _config() -> ConfigDict:
  config = FLAGS.config
  if config is None:
    raise UserError("name a config with --config, e.g. configs/ffhq_phase1.py")
  try:
    return config.copy_and_resolve_references()
  except OSError as error:  # ml_collections raises it at the first use
    reason = str(error).strip().rpartition("\n")[2].strip()
    raise UserError(f"--config: {reason}") from None


def _check(config: ConfigDict) -> None:
  """Raises UserError for numbers that make no run, before slow work."""
  for key, least in _LEAST.items():
    value = config
    for part in key.split("."):
      value = value.get(part, least)
    if value < least:
      raise UserError(f"{key} must be at least {least}, got {value}")
  for key, value in config.get("optimizer", {}).items():
    if key == "anneal":
      if not 0 <= value <= 1:
        raise UserError(f"optimizer.anneal must be from 0 to 1, got {value}")
    elif not value > 0:
      raise UserError(f"optimizer.{key} must be above 0, got {value}")


def _folder() -> str:
  """The run's folder: as given, or named after its config.

  Raises:
    UserError: several processes, and none is given.
  """
  if FLAGS.workdir:
    return FLAGS.workdir
  if FLAGS.distributed or FLAGS.coordinator:
    raise UserError("name a folder that all processes see with --workdir")
  name = config_flags.get_config_filename(FLAGS["config"])
  file, _, variant = name.partition(":")
  stem = pathlib.Path(file).stem
  return os.path.join("out", f"{stem}_{variant}" if variant else stem)


def _plan(config: ConfigDict, folder: str) -> str:
  """What would run, for people."""
  step = checkpoints.latest_step(folder)
  if step is None:
    start = "from the start"
  elif step < config.steps:
    start = f"on from checkpoint {step}"
  else:
    start = "nothing: all steps are done"
  if FLAGS.coordinator:
    where = (
        f"process {FLAGS.process} of {FLAGS.processes}, coordinator"
        f" {FLAGS.coordinator}"
    )
  elif FLAGS.distributed:
    where = "all processes of the TPU pod or SLURM job"
  else:
    where = "one process, all its devices"
  pictures = config.data.path or config.data.name
  if config.data.path and not os.path.exists(config.data.path):
    pictures += ", which is missing"
  return (
      f"{config}\n"
      f"stage    {config.stage}\n"
      f"workdir  {os.path.abspath(folder)}\n"
      f"pictures {pictures}\n"
      f"steps    {config.steps}, {start}\n"
      f"on       {where}\n"
      "dry run: nothing was started\n"
  )


def _open_data(config: ConfigDict) -> tuple[Any, Any, dict[str, int]]:
  """Batches to train on and to validate with, and how many pictures."""
  from sfe_jax import data  # slow to import, and --dry_run does without

  c = config.data
  if c.source == "folder" and not os.path.isdir(c.path):
    raise UserError(
        f"{c.path!r}: no such folder of pictures; name yours with"
        " --config.data.path"
    )
  train, held_out = data.open_sets(
      c.source,
      c.path,
      c.resolution,
      name=c.name,
      split=c.split,
      validation_path=c.validation_path,
      validation_count=c.validation_count,
  )
  if c.get("labels"):
    train, held_out = data.label(
        (train, held_out), os.path.join(c.path, c.labels)
    )
  pictures = {"train": len(train), "held out": len(held_out)}
  logging.info(
      "%d pictures to train on, %d held out", *pictures.values()
  )
  if len(train) < c.batch_size:
    raise UserError(
        f"{c.path}: {len(train)} pictures to train on, {len(held_out)} held"
        f" out, are too few for data.batch_size {c.batch_size}; add pictures,"
        " or lower data.batch_size or data.validation_count"
    )
  how = {
      "batch_size": c.batch_size,
      "threads": c.threads,
      "process": jax.process_index(),
      "processes": jax.process_count(),
  }
  return (
      data.loader(train, seed=config.seed, flip=c.flip, **how),
      data.validation_batches(held_out, **how),
      pictures,
  )


def define_flags() -> None:
  """The flags of this command line."""
  config_flags.DEFINE_config_file(
      "config", None, "Config file, see configs/.", lock_config=True
  )
  flags.DEFINE_string(
      "workdir", None, "Folder of the run; default out/NAME of the config."
  )
  flags.DEFINE_bool("dry_run", False, "Print what would run and stop.")
  flags.DEFINE_bool(
      "distributed",
      False,
      "Join the other processes that the TPU pod or SLURM environment names.",
  )
  flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0.")
  flags.DEFINE_integer("processes", None, "How many processes there are.", 1)
  flags.DEFINE_integer("process", None, "Which one this is, from 0.", 0)


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  config = _config()
  _check(config)
  folder = _folder()
  workdir.check_config(folder, config)
  if FLAGS.dry_run:
    sys.stdout.write(_plan(config, folder))
    return 0
  where = (FLAGS.coordinator, FLAGS.processes, FLAGS.process)
  if FLAGS.distributed or any(x is not None for x in where):
    devices.initialize(*where)
  if config.compute.precision not in _PRECISIONS:
    raise UserError(
        f"compute.precision must be one of {', '.join(_PRECISIONS)}, got"
        f" {config.compute.precision!r}"
    )
  jax.config.update("jax_default_matmul_precision", config.compute.precision)
  logging.info(
      "%d %s devices, process %d of %d",
      jax.device_count(), jax.devices()[0].device_kind,
      jax.process_index(), jax.process_count(),
  )
  from sfe_jax.training import loop, stages

  # Before slow work: it may be missing.
  batches, held_out, pictures = _open_data(config)
  stage = stages.build(config)
  workdir.start(folder, config, stage, pictures)
  stopped = loop.run(stage, config, folder, batches, held_out)
  workdir.write_weights(folder, stage)
  return 130 if stopped == signal.SIGINT else 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
