r"""Copies networks and directions into one small weight folder, to share.

  python -m sfe_jax.pack --src toy/weights --src toy/phase2/weights \
      --run toy/generator --run toy/phase2 --dst faces

Arrays are stored in half precision.  If several sources hold the same network,
the first source is used.  For every --run, its config, the list of its starts
and its training curves are copied to DST/training, without absolute paths.
Exit code: 0 done, 2 wrong usage.
"""

import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.directions import files
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, layout, runs, weights

FLAGS = flags.FLAGS
_DIRECTIONS = "directions"
_TRAINING = "training"


def pack(
    sources: Sequence[str | os.PathLike], dst: str | os.PathLike
) -> list[str]:
  """Copies the networks and directions of weight folders into one folder.

  Args:
    sources: weight folders.  If several hold the same network or direction,
      the first one is used.
    dst: weight folder to write.  Its networks of the same names are replaced;
      its fitted directions that no source has are removed.

  Returns:
    Names of the networks, sorted.

  Raises:
    UserError: a source is missing, holds no network or is `dst`, or a number
      is too large for half precision.
  """
  target = pathlib.Path(dst)
  networks: dict[str, pathlib.Path] = {}
  directions: dict[str, pathlib.Path] = {}
  for source in map(pathlib.Path, sources):
    if source.resolve() == target.resolve():
      raise UserError(
          f"--src and --dst are the same folder, {source}; write to another one"
      )
    documents = source.glob(f"*/{weights.DOCUMENT}")
    found = {p.parent.name: p.parent for p in documents}
    if not found:
      raise UserError(
          f"--src {source} is not a weight folder: it holds no network"
      )
    networks = found | networks
    paths = (source / _DIRECTIONS).glob("*.npz")
    directions = {p.name: p for p in paths} | directions
  for name, folder in sorted(networks.items()):
    _copy_network(folder, target / name)
  for path in files.fitted(target / _DIRECTIONS):
    if path.name not in directions:
      path.unlink()
  for name, path in directions.items():
    _copy_file(path, target / _DIRECTIONS / name)
  return sorted(networks)


def _copy_network(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies one network in half precision.

  Raises:
    UserError: the source is damaged, or a number is too large.
  """
  network, variables = weights.read(source)
  largest = max(np.abs(x).max() for x in jax.tree.leaves(variables))
  if not largest <= np.finfo(np.float16).max:
    raise UserError(f"{source}: {largest:.3g} is too large for half precision")
  info = weights.describe(source)["info"]
  weights.write(target, network, variables, info, np.float16)


def _copy_file(source: pathlib.Path, target: pathlib.Path) -> None:
  with atomic.replacing(target) as part:
    shutil.copyfile(source, part)


def copy_training(
    workdirs: Sequence[str | os.PathLike], dst: str | os.PathLike
) -> None:
  """Copies facts about training runs: DST/training/RUN.json and RUN.jsonl.

  RUN.json holds the config and the starts, RUN.jsonl the curves.  Absolute
  paths become relative ones, see `without_folders`.

  Args:
    workdirs: folders of the runs; RUN is the last part of each path.
    dst: weight folder.

  Raises:
    UserError: a folder is not a run, or two end in the same folder name.
  """
  target = pathlib.Path(dst) / _TRAINING
  folders = [pathlib.Path(os.path.abspath(workdir)) for workdir in workdirs]
  if len({folder.name for folder in folders}) < len(folders):
    raise UserError(
        "two --run end in the same folder name, which names the files"
    )
  for folder in folders:
    runs.document(folder)  # raises if the folder is not a run
    starts = runs.starts(folder)
    about = without_folders(
        {"config": runs.config(folder), "run": starts},
        roots=[os.getcwd(), *_checkouts(starts)],
    )
    atomic.write_json(target / f"{folder.name}.json", about)
    if (folder / layout.CURVES).exists():
      _copy_file(folder / layout.CURVES, target / f"{folder.name}.jsonl")


def _checkouts(starts: Sequence[dict[str, Any]]) -> list[str]:
  """Folders that held this package when the runs were started."""
  programs = [pathlib.PurePath(start["command"][0]) for start in starts]
  packages = [p for program in programs for p in program.parents]
  return [str(p.parent) for p in packages if p.name == __package__]


def without_folders(content: Any, roots: Sequence[str]) -> Any:
  """Removes a machine's folders from the texts in a JSON document.

  Texts "/PATH" and "KEY=/PATH" change; all else stays.

  Args:
    content: as read from JSON.
    roots: folders to which paths inside them become relative.  Of other
      absolute paths only the last part is kept: "/home/me/x" -> ".../x".

  Returns:
    The document in the same form.
  """
  if isinstance(content, dict):
    return {k: without_folders(v, roots) for k, v in content.items()}
  if isinstance(content, list):
    return [without_folders(v, roots) for v in content]
  if not isinstance(content, str):
    return content
  key, equals, path = content.rpartition("=")
  if not os.path.isabs(path):
    return content
  inside = [root for root in roots if pathlib.Path(path).is_relative_to(root)]
  if inside:
    path = os.path.relpath(path, inside[0])
  else:
    path = f".../{pathlib.PurePath(path).name}"
  return f"{key}{equals}{path}"


def define_flags() -> None:
  """Defines the flags of this command line."""
  flags.DEFINE_multi_string("src", [], "Weight folder to copy; repeatable.")
  flags.DEFINE_multi_string(
      "run", [], "Workdir whose config and curves are copied; repeatable."
  )
  flags.DEFINE_string("dst", None, "Weight folder to write.")


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if not FLAGS.src or not FLAGS.dst:
    raise UserError("give --src FOLDER and --dst FOLDER")
  atomic.require_writable(FLAGS.dst)
  names = pack([weights.locate(src) for src in FLAGS.src], FLAGS.dst)
  copy_training(FLAGS.run, FLAGS.dst)
  found = [p for p in pathlib.Path(FLAGS.dst).rglob("*") if p.is_file()]
  size = sum(p.stat().st_size for p in found) / 2**20
  logging.info("%s: %s; %.1f MB", FLAGS.dst, ", ".join(names), size)
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags)
