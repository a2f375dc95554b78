"""The train command, run in a process of its own."""

import os
import pathlib
import re
import subprocess
import sys

from sfe_jax.storage import images

ROOT = pathlib.Path(__file__).parents[1]


class Runs:
  """Starts the command in folders of `root`."""

  def __init__(self, root, pictures):
    self.root = root
    for i, picture in enumerate(pictures):
      images.write(root / "pictures" / f"{i:03}.png", picture)
    # TensorFlow takes seconds to import; without it the log is kept alone.
    (root / "stubs").mkdir()
    (root / "stubs/tensorflow.py").write_text("raise ImportError('a stub')\n")

  def start(self, config, name, *args):
    """Trains configs/`config`.py:smoke in folder `name`."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(self.root / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": str(self.root / "stubs"),
        "XLA_FLAGS": "",
    }
    return subprocess.Popen(
        [
            sys.executable, "-m", "sfe_jax.train",
            f"--config=configs/{config}.py:smoke",
            f"--workdir={self.root / name}",
            f"--config.data.path={self.root / 'pictures'}", *args,
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip

  def finish(self, process, code=0):
    """Waits for the end; returns what was printed."""
    text, _ = process.communicate(timeout=400)
    assert process.returncode == code, text
    assert "Traceback" not in text
    return text


def losses(text):
  """{step: what the log says of its losses}."""
  lines = re.findall(r"^\[(\d+)\] (grad_norm.*)$", text, re.M)
  return {int(s): re.sub(", train/.*", "", line) for s, line in lines}
