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

import numpy as np
from absl import flags, logging

from sfe_jax import runtime, trained, weights, writers
from sfe_jax.errors import UserError

FLAGS = flags.FLAGS
_DIRECTIONS = "directions"


def pack(sources: Sequence[str], dst: str) -> list[str]:
  """Copies every network of some weight folders, and the directions.

  Args:
    sources: weight folders.
    dst: weight folder; networks that it has are replaced.

  Returns:
    Names of the networks.

  Raises:
    UserError: a source is missing or holds nothing.
  """
  networks: dict[str, pathlib.Path] = {}
  directions: dict[str, pathlib.Path] = {}
  for source in map(pathlib.Path, sources):
    found = {p.parent.name: p.parent for p in source.glob("*/network.json")}
    if not found:
      raise UserError(f"--src {source} is no weight folder: no network in it")
    networks = found | networks
    files = (source / _DIRECTIONS).glob("*.npz")
    directions = {p.name: p for p in files} | directions
  target = pathlib.Path(dst)
  for name, folder in sorted(networks.items()):
    info = weights.describe(folder)["info"]
    network, variables = weights.read(folder)
    weights.write(target / name, network, variables, info, np.float16)
  (target / _DIRECTIONS).mkdir(parents=True, exist_ok=True)
  for name, path in directions.items():
    shutil.copyfile(path, target / _DIRECTIONS / name)
  return sorted(networks)


def tell(runs: Sequence[str], dst: str) -> None:
  """Copies how some runs were made and went: DST/training/RUN.json, .jsonl.

  Raises:
    UserError: a folder is no run's.
  """
  target = pathlib.Path(dst) / "training"
  for run in map(pathlib.Path, runs):
    trained.document(run)
    target.mkdir(parents=True, exist_ok=True)
    about = {
        name: json.loads((run / f"{name}.json").read_text())
        for name in ("config", "run")
    }
    text = json.dumps(about, indent=1) + "\n"
    (target / f"{run.name}.json").write_text(text)
    if (run / writers.CURVES).exists():
      shutil.copyfile(run / writers.CURVES, target / f"{run.name}.jsonl")


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
  files = [p for p in pathlib.Path(FLAGS.dst).rglob("*") if p.is_file()]
  size = sum(p.stat().st_size for p in files) / 2**20
  logging.info("%s: %s; %.1f MB", FLAGS.dst, ", ".join(names), size)
  return 0


if __name__ == "__main__":
  runtime.run(main, define_flags)
