r"""Inverts and edits pictures from the command line.

  python -m sfe_jax.edit --weights weights --image photo.jpg \
      --edit age=5 --edit fs_smiling=-3 --out out

Several --edit add up in one picture.  A list such as "age=-5,0,5" makes one
picture per strength.  The program writes OUT/EDIT/edit_power_5.0000/NAME.jpg
and OUT/inversion/NAME.jpg.  Its exit code is 0 if all pictures were edited, 1
if some were skipped, and 2 after wrong usage.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from sfe_jax import command_line, directions
from sfe_jax.editor import OPTIONAL
from sfe_jax.errors import UserError
from sfe_jax.photos import batch, edits
from sfe_jax.photos.request import Networks, Request
from sfe_jax.storage import images

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_string(
      "weights",
      None,
      "Weight folder (python -m sfe_jax.convert makes one), or toy: the"
      " networks for drawn faces of 32 px that come with this package.",
  )
  flags.DEFINE_bool(
      "random_weights",
      False,
      "Use networks of random numbers: shows that the program works here, but"
      " its pictures mean nothing.",
  )
  flags.DEFINE_multi_enum(
      "without",
      [],
      OPTIONAL,
      "Network to leave out, as in the paper's ablations; repeatable.",
  )
  flags.DEFINE_multi_string("image", [], "Picture to edit; repeatable.")
  flags.DEFINE_string(
      "dir", None, "Folder; all pictures directly in it are edited."
  )
  flags.DEFINE_enum(
      "resample",
      "lanczos",
      images.RESAMPLING,
      "Filter that resizes pictures; bilinear is that of the official code.",
  )
  flags.DEFINE_multi_string(
      "edit", [], "NAME=STRENGTH or NAME=S1,S2,...; repeatable, edits add up."
  )
  flags.DEFINE_bool(
      "separately", False, "Apply every --edit alone instead of all together."
  )
  flags.DEFINE_multi_string(
      "direction", [], "Your own direction file (.npy, .npz); repeatable."
  )
  flags.DEFINE_string("out", "out", "Folder that the results are written to.")
  flags.DEFINE_string(
      "mask",
      None,
      "Background mask, or a folder of masks named like the pictures. White"
      " parts are not edited.",
  )
  flags.DEFINE_bool("inversion", False, "Also write the unedited inversions.")
  flags.DEFINE_bool(
      "grid", False, "Also write OUT/grid.png, an overview of all results."
  )
  flags.DEFINE_enum(
      "format", "jpg", batch.FORMATS, "Format of the written pictures."
  )
  flags.DEFINE_bool("list_edits", False, "List the edits and exit.")
  flags.DEFINE_bool("json", False, "With --list_edits: list them as JSON.")
  flags.DEFINE_enum(
      "domain",
      None,
      ["faces", "cars", "none"],
      "Table of published edits. none: only the edits in the weight folder and"
      " of --direction. Default: chosen by the size of the generator.",
  )
  flags.DEFINE_enum(
      "dtype", "float32", ["float32", "bfloat16"], "Compute dtype."
  )
  flags.DEFINE_integer(
      "batch_size", 1, "Pictures per batch.", 1
  )


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  networks = Networks(
      FLAGS.weights,
      FLAGS.random_weights,
      tuple(FLAGS.without),
      FLAGS.domain,
      tuple(FLAGS.direction),
      FLAGS.dtype,
      FLAGS.batch_size,
  )
  if FLAGS.json and not FLAGS.list_edits:
    raise UserError("--json needs --list_edits: it lists the edits as JSON")
  if FLAGS.list_edits:
    registry = networks.registry()
    if FLAGS.json:
      text = edits.as_json(registry)
    else:
      text = directions.table(registry.describe(), bool(FLAGS.weights))
    sys.stdout.write(text + "\n")
    return 0
  return Request(
      networks,
      images=FLAGS.image,
      folder=FLAGS.dir,
      edits=FLAGS.edit,
      separately=FLAGS.separately,
      mask=FLAGS.mask,
      resample=FLAGS.resample,
      output=batch.Output(
          pathlib.Path(FLAGS.out), FLAGS.format, FLAGS.inversion, FLAGS.grid
      ),
  ).run()


if __name__ == "__main__":
  command_line.run(main, define_flags)
