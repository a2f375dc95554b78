"""Where a run's numbers and pictures go: log, TensorBoard, JSON, image files.

clu writes the first two; its writers need TensorFlow.  Without it there is no
TensorBoard.
"""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from sfe_jax.storage import images, runs

_PROFILED_STEPS = 5


class Recorder:
  """Writes in process 0 and is silent in the others.

  Use it as a context manager: leaving writes what is left.
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
      workdir: of the run.
      steps: of the whole run, for the estimated time.
      every: steps between two progress reports.
      profile_at: step at which a profile is taken, -1 for none.
    """
    self._workdir = pathlib.Path(workdir)
    self._writers, self._actions = [], []
    self._first = jax.process_index() == 0
    if self._first:
      self._open(steps, every, profile_at)
    self._step: int | None = None
    self._clock = time.monotonic()

  def _open(self, steps: int, every: int, profile_at: int) -> None:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # four lines of log
    folder = str(self._workdir / runs.TENSORBOARD)
    try:
      import tensorflow as tf
      from clu import metric_writers, periodic_actions
    except ImportError as error:
      logging.warning(
          "no TensorBoard files and no profile: %s; to have them: pip install"
          " clu tensorflow-cpu tensorboard",
          error,
      )
      self._writers.append(_LogWriter())
      self._actions.append(_Progress(steps, every))
      return
    tf.config.set_visible_devices([], "GPU")  # JAX's
    self._writers.append(metric_writers.create_default_writer(folder))
    if every:
      self._actions.append(
          periodic_actions.ReportProgress(
              num_train_steps=steps, every_steps=every, every_secs=None
          )
      )
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

  def __exit__(self, *_) -> None:
    for writer in self._writers:
      writer.close()

  def overview(self, params: Any) -> None:
    """Logs a table of all parameters."""
    if not self._first:
      return
    try:
      from clu import parameter_overview
    except ImportError:
      return
    parameter_overview.log_parameter_overview(
        params, include_stats=False, msg="trained parameters:"
    )

  def after_step(self, step: int) -> None:
    """Reports progress and profiles where due; call it after every step."""
    if self._step is None:
      self._step, self._clock = step, time.monotonic()  # without compilation
    for action in self._actions:
      action(step)

  def train(self, step: int, means: Mapping[str, float]) -> None:
    """Writes the means since the last call, and the speed."""
    values, now = dict(means), time.monotonic()
    if self._step is not None and step > self._step:
      rate = (step - self._step) / (now - self._clock)
      values["train/steps_per_second"] = rate
      self._step, self._clock = step, now
    self._scalars(step, values)

  def validation(self, step: int, scores: Mapping[str, float]) -> None:
    """Writes the means over the held-out set, if there is one."""
    if scores:
      self._scalars(step, {f"validation/{k}": v for k, v in scores.items()})

  def grid(self, step: int, sheet: np.ndarray | None) -> None:
    """Writes a uint8 (h, w, 3) sheet as WORKDIR/grids/step_000123.png too."""
    if not self._first or sheet is None:
      return
    images.write(self._workdir / runs.GRIDS / f"step_{step:06d}.png", sheet)
    for writer in self._writers:
      writer.write_images(step, {"grid": sheet[None]})

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves the time spent inside out of the speed."""
    start = time.monotonic()
    yield
    self._clock += time.monotonic() - start

  def _scalars(self, step: int, values: Mapping[str, float]) -> None:
    for writer in self._writers:
      writer.write_scalars(step, values)
    if self._first:
      line = {"step": step} | {k: float(v) for k, v in values.items()}
      with open(self._workdir / runs.CURVES, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class _LogWriter:
  """Stands in for clu's writers where TensorFlow is missing."""

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    text = ", ".join(f"{k}={v:.6g}" for k, v in sorted(scalars.items()))
    logging.info("[%d] %s", step, text)

  def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    pass

  def close(self) -> None:
    logging.flush()


class _Progress:
  """Stands in for clu's ReportProgress where TensorFlow is missing."""

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
