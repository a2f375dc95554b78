"""Names of files and folders in the workdir of a run, see `storage.runs`."""

import os
import pathlib

CONFIG = "config.json"
TRAINED = "trained.json"
STARTS = "run.json"
WEIGHTS = "weights"
CURVES = "metrics.jsonl"
GRIDS = "grids"
TENSORBOARD = "tensorboard"


def is_run(folder: str | os.PathLike[str]) -> bool:
  """Whether a folder is the workdir of a run, ended or not."""
  return (pathlib.Path(folder) / TRAINED).is_file()
