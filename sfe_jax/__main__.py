"""Runs a command of sfe_jax: `python -m sfe_jax edit` is sfe_jax.edit."""

import runpy
import signal
import sys

COMMANDS = {
    "edit": "invert and edit pictures",
    "convert": "convert official weight files, or export ours",
    "train": "train one stage from a config",
    "own_domain": "train an editor from a folder of pictures",
    "own_domain.report": "write the report of own_domain again",
    "directions": "find edit directions of a generator",
    "evaluate": "measure inversions and edits",
    "metrics.tables": "make tables of what evaluate measured",
    "ablations": "train and measure the ablations on drawn faces",
    "data.prepare": "resize a folder of pictures for training",
    "drawn_faces": "draw the default data set",
    "pack": "copy networks and directions into one small folder",
}


def main() -> None:
  """Runs the command named by the first argument; passes on the others."""
  name = sys.argv[1] if len(sys.argv) > 1 else "--help"
  if name in COMMANDS:
    del sys.argv[1]
    # Until the program has a handler of its own: Ctrl-C during the imports ends
    # it without tracebacks.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    runpy.run_module(f"sfe_jax.{name}", run_name="__main__", alter_sys=True)
    return
  lines = [f"  {name:18}{what}" for name, what in COMMANDS.items()]
  usage = "\n".join(["usage: sfe-jax COMMAND [--help] ...", "", *lines, ""])
  if name in ("--help", "-h"):
    sys.stdout.write(usage)
    return
  sys.stderr.write(f"error: unknown command {name!r}\n{usage}")
  sys.exit(2)


if __name__ == "__main__":
  main()
