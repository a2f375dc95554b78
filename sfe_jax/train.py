r"""Trains what a config describes.

  python -m sfe_jax.train --config=ffhq_phase1.py --workdir=W1

--config=FILE:VARIANT picks a variant of the config, --config.KEY=VALUE changes
one of its values.  FILE is a path, or the name of a config that ships with
sfe_jax (in configs/).  Without --workdir the run is in out/FILE or
out/FILE_VARIANT.  The same command continues an interrupted run.

On a TPU pod or under SLURM add --distributed and run the command in every
process; elsewhere add --coordinator, --processes and --process.

--dry_run prints the config and lists what the run needs, found or missing.

Exit codes: 0 all steps are done, or the run was saved after SIGTERM; 2 wrong
usage, something is missing, or a loss is not finite; 130 the run was saved
after Ctrl-C.
"""

import signal
import sys
from collections.abc import Sequence

from absl import flags

from sfe_jax import command_line
from sfe_jax.errors import UserError

FLAGS = flags.FLAGS
_PACKAGES = ("ml_collections", "grain", "optax", "clu")


def define_flags() -> None:
  """Defines the flags of this command line.

  Raises:
    UserError: packages that training needs are not installed.
  """
  command_line.require_packages("train", _PACKAGES)
  from sfe_jax.training import config_file

  config_file.define()
  flags.DEFINE_string(
      "workdir", None, "Folder of the run; default out/NAME of the config."
  )
  flags.DEFINE_bool(
      "dry_run", False, "Print the config and what the run needs, then stop."
  )
  flags.DEFINE_bool(
      "distributed",
      False,
      "Join the other processes of the TPU pod or SLURM job.",
  )
  flags.DEFINE_string(
      "coordinator",
      None,
      "HOST:PORT of process 0; with --distributed it replaces the address that"
      " the environment gives.",
  )
  flags.DEFINE_integer("processes", None, "Number of processes.", 1)
  flags.DEFINE_integer("process", None, "Index of this process, from 0.", 0)


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  # Imported here because they need the extra `train`, which define_flags
  # checks.
  from sfe_jax.training import config_file, plan, start, workdir

  config = config_file.read()
  processes = start.Processes(
      FLAGS.distributed, FLAGS.coordinator, FLAGS.processes, FLAGS.process
  )
  processes.check()
  if processes.several and not FLAGS.workdir:
    raise UserError("name a folder that all processes see with --workdir")
  folder = FLAGS.workdir or config_file.default_workdir()
  plan.check(config)
  workdir.check_config(folder, config)
  if FLAGS.dry_run:
    needs = plan.requirements(config)
    sys.stdout.write(plan.describe(config, folder, str(processes), needs))
    missing = sum(not need.found for need in needs)
    if missing:
      raise UserError(
          f"{missing} of {len(needs)} things that the run needs are missing"
      )
    return 0
  stopped = start.run(config, folder, processes)
  return 130 if stopped == signal.SIGINT else 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
