"""Test modules that are run again on several virtual devices."""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]


def named(tree):
  """{"params/kernel": array} of a tree."""
  return {
      jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def beside(module, count, out):
  """Runs `python -m MODULE OUT` on `count` devices while other tests run.

  Yields a function that waits for it and gives the arrays in `out`.
  """
  environment = os.environ | {
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
      "JAX_DEFAULT_MATMUL_PRECISION": "highest",
  }
  process = subprocess.Popen(
      [sys.executable, "-m", module, str(out)],
      cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip

  @functools.cache
  def results():
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return dict(np.load(out))

  yield results
  process.kill()
