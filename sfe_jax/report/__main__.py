r"""One page about a domain that launch/own_domain.sh trained.

  python -m sfe_jax.report --out OUT

Writes OUT/report.html, which needs no other file, OUT/report.png, its pictures
on one sheet, and OUT/next.txt, a command that edits a held-out picture.  Exit
code: 0 done, 2 wrong usage or a part of the chain is missing.
"""

from collections.abc import Sequence

from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.errors import UserError
from sfe_jax.report import summary

FLAGS = flags.FLAGS


def define_flags() -> None:
  """The flags of this command line."""
  flags.DEFINE_string("out", None, "Folder that launch/own_domain.sh wrote.")


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.out:
    raise UserError("name the folder of launch/own_domain.sh with --out")
  page, sheet = summary.write(FLAGS.out)
  logging.info("wrote %s and %s", page, sheet)
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
