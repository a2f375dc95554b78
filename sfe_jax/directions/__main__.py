r"""Finds edit directions of a generator that you trained.

  python -m sfe_jax.directions --weights WEIGHTS
  python -m sfe_jax.directions --weights WEIGHTS --data photos \
      --labels photos/labels.csv

WEIGHTS is a weight folder with generator and perception.  Three kinds of
directions are found:

  attributes     With --data and --labels, from the true labels of pictures,
                 whose latents WEIGHTS/e4e finds: this is the better way.
                 Without them, from the scores of the perception network on
                 samples of the generator, if it was trained with labels.
  pca1, pca2     GANSpace: principal components of the latents.
  sefa1, sefa2   SeFa: what changes the style vectors most.

Written to WEIGHTS/directions:

  NAME.npz       A direction.  `python -m sfe_jax.edit --list_edits` lists it,
                 and phase 2 trains with it (edits.set=fitted).  Strength 1 is
                 one standard deviation of the latents along it.
  sheet.png      Each direction on three samples, from low to high.
  report.json    Numbers of each direction, see below.

Effects are described by the labels' names.  For other descriptions put a file
effects.json beside the labels that says for each label what + and - do, e.g.
{"skin": ["darker skin", "lighter skin"]}.

report.json holds for each direction:

  low, high      Ends of the useful range of strengths.
  accuracy       Accuracy of a boundary on held-out samples.
  distances      Perceptual distance to the unedited picture at each of
                 `strengths`; 1 is the distance of two samples.
  score_changes  Change of its attribute's score at each of `strengths`, in
                 standard deviations.
  others         Change of each other attribute's score per unit of its own, at
                 the end of the range; others_mean is their mean size.

Exit code: 0 done, 2 wrong usage.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.directions import candidates, search
from sfe_jax.directions.search import SearchSettings
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, weights

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_string(
      "weights", None, "Weight folder with generator and perception."
  )
  flags.DEFINE_string(
      "out", None, "Folder to write; default WEIGHTS/directions."
  )
  flags.DEFINE_integer(
      "samples",
      SearchSettings.samples,
      "Number of pictures to fit attributes to.",
      100,
  )
  flags.DEFINE_integer(
      "seed", SearchSettings.seed, "Random seed of the samples.", 0
  )
  flags.DEFINE_integer(
      "components",
      SearchSettings.components,
      "Number of GANSpace directions.",
      0,
  )
  flags.DEFINE_integer(
      "sefa", SearchSettings.sefa, "Number of SeFa directions.", 0
  )
  flags.DEFINE_enum(
      "method",
      SearchSettings.method,
      candidates.METHODS,
      "How attributes are fitted; default: regression with --labels, otherwise"
      " boundary (InterFaceGAN).",
  )
  flags.DEFINE_enum(
      "conditioning",
      SearchSettings.conditioning,
      candidates.CONDITIONING,
      "How boundaries are kept from changing other attributes.",
  )
  flags.DEFINE_string(
      "data", SearchSettings.data, "Folder of pictures with true labels."
  )
  flags.DEFINE_string(
      "labels", SearchSettings.labels, "CSV file of the labels of --data."
  )


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
  fields = dataclasses.fields(SearchSettings)
  values: dict[str, Any] = {f.name: FLAGS[f.name].value for f in fields}
  # Accelerators use fewer digits in matrix products by default.
  with jax.default_matmul_precision("highest"):
    names = search.find(folder, out, SearchSettings(**values))
  logging.info(
      "wrote %d directions to %s: %s; %s shows them",
      len(names), out, ", ".join(names), out / search.SHEET,
  )
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
