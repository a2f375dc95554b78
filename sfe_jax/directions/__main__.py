r"""Finds edit directions of a generator of one's own.

  python -m sfe_jax.directions --weights WEIGHTS

WEIGHTS holds generator and perception, as their stages left them.  Attributes
are those that the perception network was trained to score, found on samples of
the generator.  Better where labels are at hand: directions in w+ from labelled
pictures, whose latents WEIGHTS/e4e finds:

  python -m sfe_jax.directions --weights WEIGHTS --data photos \
      --labels photos/labels.csv

GANSpace ("pca1", ...) and SeFa ("sefa1", ...) are found without either.  Writes
WEIGHTS/directions/NAME.npz, which `python -m sfe_jax.edit` lists and phase 2
learns from (edits.set fitted); strength 1 is a standard deviation of the
latents along the direction.  Also directions/sheet.png to look at, and
directions/report.json with, per direction: low and high, ends of the useful
range; accuracy of a boundary on held-out samples; at each of `strengths`
distances, perceptual, 1 between two samples, and score_changes of its
attribute in standard deviations; others, the change of every other attribute
per unit of its own at the end of the range, and their mean size others_mean.
Exit code: 0 done, 2 wrong usage.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax
from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.directions import candidates, search
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, weights

FLAGS = flags.FLAGS


def define_flags() -> None:
  """The flags of this command line."""
  flags.DEFINE_string("weights", None, "Weight folder.")
  flags.DEFINE_string(
      "out", None, "Folder to write; default WEIGHTS/directions."
  )
  flags.DEFINE_integer("samples", 20_000, "Pictures to fit attributes to.", 100)
  flags.DEFINE_integer("seed", 0, "Of the samples.", 0)
  flags.DEFINE_integer("components", 8, "Directions of GANSpace.", 0)
  flags.DEFINE_integer("sefa", 4, "Directions of SeFa.", 0)
  flags.DEFINE_enum(
      "method",
      None,
      candidates.METHODS,
      "How attributes are fitted; default regression with --labels, else"
      " InterFaceGAN's boundary.",
  )
  flags.DEFINE_enum(
      "conditioning",
      "projection",
      candidates.CONDITIONING,
      "How boundaries are kept from moving other attributes.",
  )
  flags.DEFINE_string("data", "", "Folder of pictures with true labels.")
  flags.DEFINE_string("labels", "", "CSV file of their labels.")


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.weights:
    raise UserError("name a weight folder with --weights")
  folder = weights.require_folder(FLAGS.weights)
  if not FLAGS.out and folder.is_relative_to(weights.SHIPPED):
    raise UserError(
        f"--weights {FLAGS.weights} come with the project; name a folder to"
        " write with --out"
    )
  out = pathlib.Path(FLAGS.out or folder / "directions")
  atomic.require_writable(out)
  fields = dataclasses.fields(search.Settings)
  settings = search.Settings(**{f.name: FLAGS[f.name].value for f in fields})
  # Accelerators round products by default.
  with jax.default_matmul_precision("highest"):
    names = search.find(folder, out, settings)
  logging.info(
      "%s has %d directions: %s; look at %s",
      out, len(names), ", ".join(names), out / search.SHEET,
  )
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
