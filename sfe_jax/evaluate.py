r"""Measures inversion and editing quality; writes one JSON report.

  python -m sfe_jax.evaluate --weights weights --protocol inversion \
      --dir test --out sfe_inversion.json
  python -m sfe_jax.evaluate --weights weights --protocol editing --dir test \
      --labels test/labels.csv --edit glasses=-7 --attribute Eyeglasses \
      --out sfe_glasses.json
  python -m sfe_jax.evaluate --weights weights --protocol truth \
      --out sfe_truth.json

Protocols:
  inversion  L2, perceptual distance, MS-SSIM, identity and FID of inversions.
  editing    FID between edited pictures and pictures that have the attribute.
  truth      Errors against the true edited picture, on drawn faces.

`python -m sfe_jax.metrics.tables *.json` prints reports as tables.
The program prints its own numbers as a table too.
Exit code: 0 done (unreadable pictures are skipped and counted in the report),
2 wrong usage.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from sfe_jax import command_line
from sfe_jax.editor import OPTIONAL
from sfe_jax.errors import UserError
from sfe_jax.metrics import attributes, evaluation, judge, methods, tables
from sfe_jax.metrics.settings import Settings

FLAGS = flags.FLAGS


def define_flags() -> None:
  """Defines one flag per attribute of `Settings`."""
  flags.DEFINE_string("weights", None, "Weight folder of the method. Required.")
  flags.DEFINE_enum(
      "protocol",
      None,
      list(evaluation.PROTOCOLS),
      "What is measured, see above. Required.",
  )
  flags.DEFINE_string("out", None, "JSON file to write. Required.")
  flags.DEFINE_enum(
      "method",
      Settings.method,
      methods.METHODS,
      "sfe: StyleFeatureEditor. e4e: the encoder E alone.",
  )
  flags.DEFINE_multi_enum(
      "without",
      [],
      OPTIONAL,
      "Network that method sfe leaves out (ablations of the paper, table 3)",
  )
  flags.DEFINE_string(
      "name",
      None,
      "Name of the method in tables. Default: from --method and --without.",
  )
  flags.DEFINE_string(
      "dir", None, "Folder of test pictures, searched recursively."
  )
  flags.DEFINE_integer(
      "count",
      None,
      "Number of pictures (default: all) or of drawn pairs (default: 500).",
      1,
  )
  flags.DEFINE_string(
      "labels",
      None,
      "CSV file of labels, for --protocol editing: column `file` with paths"
      " relative to the CSV file, and one column per label.",
  )
  flags.DEFINE_multi_string(
      "edit",
      [],
      "NAME=STRENGTH. Protocol editing: the edit. Protocol truth: a fixed"
      " strength, instead of the strength that is found",
  )
  flags.DEFINE_multi_string(
      "attribute",
      [],
      "Protocol editing: the attribute that divides the pictures (default: the"
      " edit's name): a column of 0 and 1, 'age>50', 'Young<0.5' or 'hat=cap'."
      " Protocol truth: attributes to measure (default: all)",
  )
  flags.DEFINE_enum(
      "positive",
      None,
      [attributes.ADDS, attributes.REMOVES],
      "What a positive strength of --edit does to --attribute. Default: what"
      " the direction states. Needed where it states nothing.",
  )
  flags.DEFINE_integer(
      "seed", Settings.seed, "Random seed of the drawn faces.", 0
  )
  flags.DEFINE_string(
      "networks",
      None,
      "Weight folder of the evaluation networks. Default: --weights.",
  )
  flags.DEFINE_enum(
      "perceptual",
      None,
      judge.PERCEPTUAL,
      "Network of the perceptual distance. Default: the first that --networks"
      " holds.",
  )
  flags.DEFINE_enum(
      "identity",
      None,
      judge.IDENTITIES,
      "Network of the identity similarity. Default: the first that --networks"
      " holds.",
  )
  flags.DEFINE_enum(
      "features",
      None,
      judge.FEATURES,
      "Network of the features for FID. Default: the first that --networks"
      " holds.",
  )
  flags.DEFINE_enum(
      "domain",
      None,
      ["faces", "cars", "none"],
      "Table of published edits. none: only the directions in --weights."
      " Default: chosen by the size of the generator.",
  )
  flags.DEFINE_integer(
      "batch_size", Settings.batch_size, "Pictures per batch.", 1
  )


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  for flag in ("weights", "protocol", "out"):
    if not FLAGS[flag].value:
      raise UserError(f"--{flag} is missing; --help lists the flags")
  values: dict[str, Any] = {
      field.name: FLAGS[field.name].value
      for field in dataclasses.fields(Settings)
  }
  document = evaluation.run(Settings(**values))
  sys.stdout.write(tables.markdown({FLAGS.out: document}))
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
