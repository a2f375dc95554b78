r"""Trains and measures the ablations of the paper's table 3 on drawn faces.

  python -m sfe_jax.drawn_faces --dst data/faces --count 50000 --size 32
  python -m sfe_jax.own_domain data/faces OUT --labels data/faces/labels.csv
  python -m sfe_jax.ablations OUT

OUT is the folder that sfe_jax.own_domain wrote; variants of its editor are
trained in it (seven trainings of half an hour on two CPU cores) and measured on
2000 new drawn faces.  Writes OUT/tables/tables.md and the numbers,
OUT/tables/*.json.  The same command resumes after an interruption.  Exit code:
0 done, 2 wrong usage, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""

from collections.abc import Sequence

from absl import flags

from sfe_jax import command_line
from sfe_jax.errors import UserError

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_bool("dry_run", False, "Print what would run and stop.")


def main(argv: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if len(argv) != 2:
    raise UserError("give OUT: python -m sfe_jax.ablations OUT")
  from sfe_jax import own_domain

  command_line.require_packages("train", own_domain.PACKAGES)
  from sfe_jax.own_domain import ablations  # needs these packages

  return ablations.run(argv[1], dry_run=FLAGS.dry_run)


if __name__ == "__main__":
  command_line.run(main, define_flags, positional=True)
