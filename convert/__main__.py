r"""Converts official PyTorch files into weight folders, and back.

  python -m convert --src pretrained_models --dst weights
  python -m convert --src stylegan2-ffhq-config-f.pt --dst weights
  python -m convert --export --src weights --dst official
  python -m convert --export --src WORKDIR --dst official   # a training run

Official files are recognised by their contents.  Code in them is never run.  If
a conversion fails, --dst stays as it was.
"""

from collections.abc import Sequence

from absl import flags

from sfe_jax import command_line
from sfe_jax.errors import UserError
from sfe_jax.storage import layout

from . import export, importer

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_multi_string(
      "src",
      [],
      "Official file, or folder of official files; with --export, a weight"
      " folder, `toy`, or the workdir of a training run",
  )
  flags.DEFINE_string(
      "dst",
      None,
      "Weight folder to write to; with --export, folder for the .pt files.",
  )
  flags.DEFINE_bool(
      "export", False, "Write official .pt files from our weights."
  )
  flags.DEFINE_integer(
      "step",
      None,
      "Checkpoint of a training run to export. Default: the one that the run"
      " deploys (checkpoint.deploy), normally the best.",
  )


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.src or not FLAGS.dst:
    raise UserError("give --src FILE_OR_FOLDER and --dst FOLDER")
  if not FLAGS.export:
    if FLAGS.step is not None:
      raise UserError("--step needs --export of a training run")
    importer.import_files(FLAGS.src, FLAGS.dst)
    return 0
  if len(FLAGS.src) > 1:
    raise UserError("--export takes one --src, a weight folder or a run")
  (src,) = FLAGS.src
  if layout.is_run(src):
    export.export_run(src, FLAGS.dst, FLAGS.step)
  elif FLAGS.step is not None:
    raise UserError(f"--step needs a training run, but {src} is not one")
  else:
    export.export_folder(src, FLAGS.dst)
  return 0


def run() -> None:
  """The console script `sfe-convert`."""
  command_line.run(main, define_flags)


if __name__ == "__main__":
  run()
