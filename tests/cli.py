"""Runs command lines in this process."""

import types

from absl import flags


def run(program: types.ModuleType, *argv) -> int:
  """`python -m PROGRAM ARGV...`; gives the exit code, lets errors through."""
  before = set(flags.FLAGS)
  program.define_flags()
  own = set(flags.FLAGS) - before  # not those that main's imports define
  try:
    return program.main(flags.FLAGS([program.__name__, *map(str, argv)]))
  finally:
    for name in own:
      delattr(flags.FLAGS, name)
