"""Draws a folder of faces with known attributes.

  python -m sfe_jax.drawn_faces --dst faces32 --count 50000 --size 32

The folder then holds the pictures 000/000000.png, 000/000001.png, ...;
labels.csv, with one row per picture: its file, the value of each attribute, and
whether it is out of the domain of ordinary faces; and effects.json, which says
in words what edits of the attributes do.  If the program is interrupted, the
same command draws what is missing.  Exit codes: 0 success, 2 wrong usage.
"""

import os
from collections.abc import Sequence

from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.drawn_faces import folder
from sfe_jax.drawn_faces.portrait import SIZES
from sfe_jax.errors import UserError

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_string("dst", None, "Folder to write the pictures to.")
  flags.DEFINE_integer("count", None, "Number of faces.", 1)
  flags.DEFINE_integer("size", 64, "Height and width of a picture.", *SIZES)
  flags.DEFINE_integer("seed", 0, "Random seed of the faces.", 0)
  flags.DEFINE_integer(
      "start", 0, "Index of the first face; other indices are other faces.", 0
  )
  flags.DEFINE_integer(
      "processes", os.cpu_count() or 1, "Number of parallel processes.", 1
  )


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.dst or not FLAGS.count:
    raise UserError("--dst FOLDER and --count N are required")
  drawn = folder.write(
      FLAGS.dst,
      FLAGS.count,
      FLAGS.size,
      FLAGS.seed,
      FLAGS.start,
      FLAGS.processes,
  )
  logging.info(
      "drew %d faces of %d px; %d of %d were already in %s",
      drawn,
      FLAGS.size,
      FLAGS.count - drawn,
      FLAGS.count,
      FLAGS.dst,
  )
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
