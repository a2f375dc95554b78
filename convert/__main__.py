r"""Converts official PyTorch files into weight folders, and back.

  python -m convert --src pretrained_models --dst weights
  python -m convert --src stylegan2-ffhq-config-f.pt --dst weights
  python -m convert --export --src weights --dst official
  python -m convert --export --src WORKDIR --dst official   # of a training run

Files are recognised by what they hold.  Nothing in them is executed, and a
conversion that fails leaves --dst as it was.
"""

from collections.abc import Sequence

from absl import flags

from convert import export, importer
from sfe_jax import command_line
from sfe_jax.errors import UserError
from sfe_jax.storage import runs

FLAGS = flags.FLAGS


def define_flags() -> None:
  """The flags of this command line."""
  flags.DEFINE_multi_string(
      "src", [], "Official file, or a folder of them; repeatable."
  )
  flags.DEFINE_string("dst", None, "Weight folder to write.")
  flags.DEFINE_bool(
      "export",
      False,
      "The other way: --src is a weight folder or the workdir of a training"
      " run, --dst gets official .pt files.",
  )
  flags.DEFINE_integer(
      "step",
      None,
      "With --export of a run: its checkpoint, see checkpoint.deploy.",
  )


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.src or not FLAGS.dst:
    raise UserError("give --src FILE_OR_FOLDER and --dst FOLDER")
  if FLAGS.export:
    if len(FLAGS.src) > 1:
      raise UserError("--export takes one --src, a weight folder or a run")
    if runs.is_run(FLAGS.src[0]):
      export.export_run(FLAGS.src[0], FLAGS.dst, FLAGS.step)
    elif FLAGS.step is not None:
      raise UserError(f"--step is of a training run, {FLAGS.src[0]} is none")
    else:
      export.export_folder(FLAGS.src[0], FLAGS.dst)
  else:
    importer.import_files(FLAGS.src, FLAGS.dst)
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
