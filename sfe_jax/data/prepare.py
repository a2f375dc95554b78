r"""Resizes a folder of pictures once, before training.

  python -m sfe_jax.data.prepare --src photos --dst ffhq256 --size 256

writes ArrayRecord shards for training with --config.data.source=array_record
--config.data.path=ffhq256.  The shards give the same pictures as
--config.data.source=folder, in the same order; with --format=png the pictures
are bit-identical.  Each record is one encoded image.

  python -m sfe_jax.data.prepare --src photos --dst data64 --size 64 \
      --to folders --labels photos/labels.csv

writes PNG files, split into data64/pictures and data64/held_out, and their
labels, data64/labels.csv.

Exit codes: 0 done, 1 some files were skipped, 2 wrong usage.
"""

import os
from collections.abc import Sequence

from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.data import folders, shards
from sfe_jax.data.sources import Folder
from sfe_jax.errors import UserError

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_string(
      "src", None, "Folder of pictures of any size, with its subfolders."
  )
  flags.DEFINE_string(
      "dst", None, "Folder to write; it must be absent or empty."
  )
  flags.DEFINE_integer(
      "size", 256, "Height and width of the written pictures.", 1
  )
  flags.DEFINE_enum("to", "shards", ["shards", "folders"], "Format of --dst.")
  flags.DEFINE_integer(
      "shards", 0, "Number of shards; 0 makes one per 4096 pictures.", 0
  )
  flags.DEFINE_enum(
      "format", "jpg", shards.FORMATS, "Format of the records; png is exact."
  )
  flags.DEFINE_integer("quality", 95, "JPEG quality.", 1, 100)
  flags.DEFINE_bool("overwrite", False, "Replace the shards that --dst holds.")
  flags.DEFINE_string(
      "labels", None, "CSV file with labels of the pictures, for --to=folders."
  )
  flags.DEFINE_integer("threads", 4, "Number of decoding threads.", 1)


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.src or not FLAGS.dst:
    raise UserError("name the folders with --src and --dst")
  if FLAGS.to == "folders":
    return _to_folders()
  src, dst = (os.path.realpath(p) for p in (FLAGS.src, FLAGS.dst))
  if os.path.commonpath([src, dst]) == dst:
    raise UserError(
        f"--dst {FLAGS.dst} is or holds --src {FLAGS.src}; choose another --dst"
    )
  folder = Folder(FLAGS.src, FLAGS.size)
  about, skipped = shards.write(
      folder,
      FLAGS.dst,
      size=FLAGS.size,
      origin=src,
      shards=FLAGS.shards,
      format=FLAGS.format,
      quality=FLAGS.quality,
      overwrite=FLAGS.overwrite,
      threads=FLAGS.threads,
  )
  for reason in skipped:
    logging.error("skipped: %s", reason)
  logging.info(
      "wrote %d pictures of %d px in %d shards to %s",
      about.count, about.size, len(about.shards), FLAGS.dst,
  )
  return _exit_code(len(skipped) + len(folder.skipped))


def _to_folders() -> int:
  about = folders.write(
      FLAGS.src, FLAGS.dst, FLAGS.size, FLAGS.labels, FLAGS.threads
  )
  logging.info(
      "wrote %d pictures of %d px to train on and %d held out to %s",
      about[folders.PICTURES], about["size"], about[folders.HELD_OUT],
      FLAGS.dst,
  )
  return _exit_code(len(about["skipped"]))


def _exit_code(skips: int) -> int:
  if skips:
    logging.error("%d files skipped", skips)
  return 1 if skips else 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
