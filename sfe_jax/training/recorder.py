"""Writes a run's numbers and grids: log, TensorBoard, JSON lines, image files.

clu writes the TensorBoard files and needs TensorFlow for them.  Without
TensorFlow the numbers still go to the log and to `CURVES`.
"""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from sfe_jax.storage import images, layout

_PROFILED_STEPS = 5


class Recorder:
  """Writes in process 0 and does nothing in the other processes.

  Use it as a context manager: leaving it flushes and closes the files.
  """

  def __init__(
      self,
      workdir: str | os.PathLike,
      steps: int,
      every: int,
      profile_at: int = -1,
  ):
    """Opens the writers.

    Args:
      workdir: folder of the run.
      steps: number of steps of the whole run, for the estimated time.
      every: number of steps between two progress reports; 0 writes none.
      profile_at: step at which a profile is taken; -1 takes none.
    """
    self._workdir = pathlib.Path(workdir)
    self._writers: list[Any] = []
    self._actions: list[Callable[[int], Any]] = []
    self._first = jax.process_index() == 0
    if self._first:
      self._writers.append(_LogWriter())
      self._actions.append(_Progress(steps, every))
      self._open_tensorboard(profile_at)
    self._step: int | None = None
    self._clock = time.monotonic()

  def _open_tensorboard(self, profile_at: int) -> None:
    # Otherwise TensorFlow logs four lines about oneDNN when it is imported.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    folder = str(self._workdir / layout.TENSORBOARD)
    try:
      import tensorflow as tf
      from clu import metric_writers, periodic_actions
    except ImportError as error:
      logging.warning(
          "no TensorBoard files and no profile are written: %s; install them"
          " with: pip install clu tensorflow-cpu tensorboard",
          error,
      )
      return
    tf.config.set_visible_devices([], "GPU")  # JAX needs the GPU memory
    writer = metric_writers.SummaryWriter(folder)
    self._writers.append(metric_writers.AsyncWriter(writer))
    if profile_at >= 0:
      self._actions.append(
          periodic_actions.Profile(
              logdir=folder,
              first_profile=profile_at,
              num_profile_steps=_PROFILED_STEPS,
              profile_duration_ms=None,
              every_secs=None,
          )
      )

  def __enter__(self) -> "Recorder":
    return self

  def __exit__(self, *_: object) -> None:
    for writer in self._writers:
      writer.close()

  def overview(self, params: Mapping[str, Any]) -> None:
    """Logs the number of trained parameters, in all and per top-level module.

    Args:
      params: {module name: tree of arrays}.
    """
    if not self._first:
      return
    counts = {
        name: sum(np.size(leaf) for leaf in jax.tree.leaves(tree))
        for name, tree in params.items()
    }
    logging.info(
        "trained parameters: %s (%s)",
        f"{sum(counts.values()):,}",
        ", ".join(f"{name} {count:,}" for name, count in counts.items()),
    )

  def after_step(self, step: int) -> None:
    """Reports progress and profiles where due; call it after every step."""
    if self._step is None:  # the first step includes compilation
      self._step, self._clock = step, time.monotonic()
    for action in self._actions:
      action(step)

  def train(
      self, step: int, means: Mapping[str, float], learning_rate: float
  ) -> None:
    """Writes training metrics, the learning rate and the speed.

    Args:
      step: number of the last step.
      means: {metric name: mean since the last call}.
      learning_rate: learning rate of the main network in this step.
    """
    values, now = dict(means), time.monotonic()
    values["train/learning_rate"] = learning_rate
    if self._step is not None and step > self._step:
      rate = (step - self._step) / (now - self._clock)
      values["train/steps_per_second"] = rate
      self._step, self._clock = step, now
    self._scalars(step, values)

  def validation(self, step: int, scores: Mapping[str, float]) -> None:
    """Writes {score name: mean over the held-out pictures}, if any."""
    if scores:
      self._scalars(step, {f"validation/{k}": v for k, v in scores.items()})

  def grid(self, step: int, sheet: np.ndarray | None) -> None:
    """Writes a grid, (h, w, 3) uint8, to TensorBoard and WORKDIR/grids."""
    if not self._first or sheet is None:
      return
    images.write(self._workdir / layout.GRIDS / f"step_{step:06d}.png", sheet)
    for writer in self._writers:
      writer.write_images(step, {"grid": sheet[None]})

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Excludes the time spent inside the block from the speed."""
    start = time.monotonic()
    yield
    self._clock += time.monotonic() - start

  def _scalars(self, step: int, values: Mapping[str, float]) -> None:
    for writer in self._writers:
      writer.write_scalars(step, values)
    if self._first:
      line = {"step": step} | {k: float(v) for k, v in values.items()}
      with open(self._workdir / layout.CURVES, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class _LogWriter:
  """Writes numbers to the log; has the interface of clu's writers."""

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    text = ", ".join(f"{k}={v:.6g}" for k, v in sorted(scalars.items()))
    logging.info("[%d] %s", step, text)

  def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    pass

  def close(self) -> None:
    logging.flush()


class _Progress:
  """Logs the share of the steps that are done and the time that is left."""

  def __init__(self, steps: int, every: int):
    self._steps, self._every = steps, every
    self._before: tuple[int, float] | None = None

  def __call__(self, step: int) -> None:
    if self._before is None:
      self._before = step, time.monotonic()
    elif self._every and step % self._every == 0:
      before, clock = self._before
      self._before = step, time.monotonic()
      left = (self._steps - step) * (self._before[1] - clock) / (step - before)
      logging.info(
          "%.1f%% (%d/%d), ETA: %dh%02dm",
          100 * step / self._steps, step, self._steps,
          left // 3600, left % 3600 // 60,
      )
