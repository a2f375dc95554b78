r"""Packs networks and directions into one small weight folder, to pass on.

  python -m sfe_jax.pack --src toy/weights --src toy/phase2/weights \
      --run toy/generator --run toy/phase2 --dst faces

Arrays are stored in half precision.  Of a network that several sources hold the
first one's counts.  DST/training gets config, starts and curves of each --run.
Exit code: 0 done, 2 wrong usage.
"""

import json
import pathlib
import shutil
from collections.abc import Sequence

import jax
import numpy as np
from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.directions import files
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, weights
from sfe_jax.training import recorder

FLAGS = flags.FLAGS
_DIRECTIONS = "directions"


def pack(sources: Sequence[str], dst: str) -> list[str]:
  """Copies every network of some weight folders, and the directions.

  Args:
    sources: weight folders.
    dst: weight folder; networks that it has are replaced, fitted directions
      that no source has are removed.

  Returns:
    Names of the networks.

  Raises:
    UserError: a source is missing, holds nothing or is `dst`, or a number is
      too large for half precision.
  """
  target = pathlib.Path(dst)
  networks: dict[str, pathlib.Path] = {}
  directions: dict[str, pathlib.Path] = {}
  for source in map(pathlib.Path, sources):
    if source.resolve() == target.resolve():
      raise UserError(f"--src {source} is --dst too; write to another folder")
    found = {p.parent.name: p.parent for p in source.glob("*/network.json")}
    if not found:
      raise UserError(f"--src {source} is no weight folder: no network in it")
    networks = found | networks
    paths = (source / _DIRECTIONS).glob("*.npz")
    directions = {p.name: p for p in paths} | directions
  for name, folder in sorted(networks.items()):
    info = weights.describe(folder)["info"]
    network, variables = weights.read(folder)
    largest = max(np.abs(x).max() for x in jax.tree.leaves(variables))
    if not largest <= np.finfo(np.float16).max:
      raise UserError(f"{folder}: {largest:.3g} is beyond half precision")
    weights.write(target / name, network, variables, info, np.float16)
  for path in files.fitted(target / _DIRECTIONS):
    if path.name not in directions:
      path.unlink()
  for name, path in directions.items():
    with atomic.replacing(target / _DIRECTIONS / name) as part:
      shutil.copyfile(path, part)
  return sorted(networks)


def tell(runs: Sequence[str], dst: str) -> None:
  """Copies how some runs were made and went: DST/training/RUN.json, .jsonl.

  Raises:
    UserError: a folder is no run's, or two have the same name.
  """
  target = pathlib.Path(dst) / "training"
  runs = [pathlib.Path(run) for run in runs]
  if len({run.name for run in runs}) < len(runs):
    raise UserError("two --run have the same last part, which names the files")
  for run in runs:
    runs.document(run)
    about = {
        name: json.loads((run / f"{name}.json").read_text())
        for name in ("config", "run")
    }
    atomic.write_json(target / f"{run.name}.json", about)
    if (run / recorder.CURVES).exists():
      with atomic.replacing(target / f"{run.name}.jsonl") as part:
        shutil.copyfile(run / recorder.CURVES, part)


def define_flags() -> None:
  """The flags of this command line."""
  flags.DEFINE_multi_string("src", [], "Weight folder; repeat for more.")
  flags.DEFINE_multi_string("run", [], "Workdir to tell of; repeat for more.")
  flags.DEFINE_string("dst", None, "Weight folder to write.")


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.src or not FLAGS.dst:
    raise UserError("give --src FOLDER and --dst FOLDER")
  names = pack(FLAGS.src, FLAGS.dst)
  tell(FLAGS.run, FLAGS.dst)
  found = [p for p in pathlib.Path(FLAGS.dst).rglob("*") if p.is_file()]
  size = sum(p.stat().st_size for p in found) / 2**20
  logging.info("%s: %s; %.1f MB", FLAGS.dst, ", ".join(names), size)
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
