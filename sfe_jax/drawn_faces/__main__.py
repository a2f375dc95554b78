r"""Draws a folder of faces with exact labels.

  python -m sfe_jax.drawn_faces --dst faces32 --count 50000 --size 32

Writes FOLDER/000/000007.png, ... and FOLDER/labels.csv: the column `file`,
then every attribute, and `out_of_domain`; and FOLDER/effects.json: what edits
of the attributes do, in words.  Rerunning the same command draws what is
missing.  Exit code: 0 done, 2 wrong usage.
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
  """The flags of this command line."""
  flags.DEFINE_string("dst", None, "Folder to write.")
  flags.DEFINE_integer("count", None, "Faces to draw.", 1)
  flags.DEFINE_integer("size", 64, "Height and width of the pictures.", *SIZES)
  flags.DEFINE_integer("seed", 0, "Of all faces.", 0)
  flags.DEFINE_integer("start", 0, "Index of the first face.", 0)
  flags.DEFINE_integer(
      "processes", os.cpu_count() or 1, "Processes that draw at a time.", 1
  )


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.dst or not FLAGS.count:
    raise UserError("give --dst FOLDER and --count N")
  drawn = folder.write(
      FLAGS.dst,
      FLAGS.count,
      FLAGS.size,
      FLAGS.seed,
      FLAGS.start,
      FLAGS.processes,
  )
  logging.info(
      "drew %d faces of %d px; %s has %d", drawn, FLAGS.size, FLAGS.dst,
      FLAGS.count,
  )
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
