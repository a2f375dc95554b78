r"""Trains an editor for the pictures in a folder.

  python -m sfe_jax.own_domain FOLDER OUT
  python -m sfe_jax.own_domain FOLDER OUT --labels FOLDER/labels.csv

FOLDER holds at least 100 pictures of one kind, nested, of any size; aligned
ones work best.  With --labels the columns of the CSV file become named edits;
without --labels unnamed edits are found (pca1, ...).  Nothing pretrained is
needed: a generator, a perception network, an encoder, the Inverter and the
Feature Editor are trained one after another.  Writes OUT/editor, a weight
folder for `python -m sfe_jax.edit`, and OUT/report.html.

The same command resumes after an interruption.  Ctrl-C and SIGTERM stop a
training run after its current step and save a checkpoint.  Exit code: 0 done,
2 wrong usage, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""

import os
import sys
from collections.abc import Sequence

from absl import flags, logging

from sfe_jax import command_line, own_domain
from sfe_jax.errors import UserError

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_string(
      "labels",
      None,
      "CSV file with a row for every picture: a column `file`, relative to the"
      " CSV file's folder, and columns of 0 and 1, numbers or up to 64 texts.",
  )
  flags.DEFINE_integer(
      "size",
      None,
      "Height and width in pixels: 16, 32, 64, ... 1024.  Default: 32 on a CPU,"
      " 64 on an accelerator.",
  )
  flags.DEFINE_integer(
      "steps",
      None,
      "At most this many training steps per stage, to try the chain.",
  )
  flags.DEFINE_bool("dry_run", False, "Print what would run and stop.")


def main(argv: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if len(argv) != 3:
    raise UserError(
        "give FOLDER and OUT: python -m sfe_jax.own_domain FOLDER OUT"
    )
  command_line.require_packages("train", own_domain.PACKAGES)
  from sfe_jax.own_domain import chain, steps  # they need the extra

  plan = chain.prepare(argv[1], argv[2], FLAGS.labels, FLAGS.size, FLAGS.steps)
  labels = os.path.join(plan.settings.pictures, "labels.csv")
  if not FLAGS.labels and os.path.exists(labels):
    logging.warning("%s is not used; use it with --labels %s", labels, labels)
  most = plan.settings.steps
  if most is not None and most < steps.TRIAL_STEPS:
    logging.warning(
        "--steps %d is a trial of the program: too few steps to learn anything,"
        " so the pictures of the report will mean nothing; a trial of a few"
        " steps at 32 px takes 5 to 15 minutes on two CPU cores, longer if they"
        " are busy; nearly all of it is compilation",
        most,
    )
  code = chain.run(plan, dry_run=FLAGS.dry_run)
  if code == 0 and not FLAGS.dry_run:
    command = (plan.out / steps.NEXT).read_text(encoding="utf-8").strip()
    sys.stdout.write(
        f"The report is {plan.out / steps.REPORT}\n"
        f"This command edits a held-out picture:\n  {command}\n"
    )
  return code


if __name__ == "__main__":
  command_line.run(main, define_flags, positional=True)
