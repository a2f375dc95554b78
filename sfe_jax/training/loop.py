"""The training loop: data, steps, logs, grids, checkpoints.

It trains whatever a `Stage` describes.  Running it again in the same folder
continues from the last checkpoint, with bit-identical results on the CPU.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import signal
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from sfe_jax import devices
from sfe_jax.errors import UserError
from sfe_jax.storage.checkpoints import Checkpoints
from sfe_jax.training.evaluator import Evaluator, HeldOut
from sfe_jax.training.interruption import Interruption
from sfe_jax.training.meter import Meter
from sfe_jax.training.recorder import Recorder
from sfe_jax.training.stage import Stage
from sfe_jax.training.state import TrainState


def run(
    stage: Stage,
    config: ConfigDict,
    workdir: str | os.PathLike,
    data: Any,
    held_out: HeldOut,
) -> signal.Signals | None:
  """Trains until step config.steps, from the last checkpoint if there is one.

  Args:
    stage: what is trained.
    config: `seed`, `steps` and the sections `log` and `checkpoint` are read.
    workdir: folder for checkpoints, logs and grids.
    data: endless Grain iterator over this process' part of every batch, see
      `data.loader`.
    held_out: this process' part of the validation batches, see
      `data.validation_batches`.  If it is empty, there is no validation, no
      grid and no best checkpoint.

  Returns:
    The signal that stopped the run early, after a checkpoint was saved; None if
    all steps are done.

  Raises:
    UserError: a loss or the state is not finite, the checkpoint is of another
      model, or the device has too little memory.
  """
  workdir = pathlib.Path(workdir)
  log, saving = config.log, config.checkpoint
  with contextlib.ExitStack() as stack:
    interruption = stack.enter_context(Interruption())
    checkpoints = stack.enter_context(
        Checkpoints(workdir, saving.keep, saving.best)
    )
    state, start, meter = _resume(checkpoints, stage, config, data)
    if start >= config.steps:
      logging.info("%s: all %d steps are done", workdir, config.steps)
      return None
    recorder = stack.enter_context(
        Recorder(workdir, config.steps, log.every, log.profile_at)
    )
    if start:
      logging.info("%s: going on from step %d", workdir, start)
    else:
      recorder.overview(state.params)
    frozen = devices.replicate(stage.frozen)
    training = _Training(
        stage,
        config,
        data,
        frozen,
        checkpoints,
        recorder,
        Evaluator(stage, frozen, held_out, log.grid_count),
        meter,
    )
    stopped_at, stop = training.run(
        devices.replicate(state), start, interruption
    )
  if stop is not None:
    logging.info(
        "%s: %s: stopped after step %d of %d, saved; run the same command to"
        " continue",
        workdir, stop.name, stopped_at, config.steps,
    )
  return stop


def _resume(
    checkpoints: Checkpoints, stage: Stage, config: ConfigDict, data: Any
) -> tuple[TrainState, int, Meter]:
  """Reads the last checkpoint and moves `data` to its position.

  Returns:
    State, number of steps done, and the meter.
  """
  found = checkpoints.restore(stage.state, data)
  if found is None:
    return stage.state, 0, Meter()
  if not found.has_data:  # saved by another number of processes
    share = config.data.batch_size // jax.process_count()
    data.set_state({"next_index": found.step * share})
  return found.state, found.step, Meter(found.meta)


@dataclasses.dataclass
class _Training:
  """The steps of one run and what is done between them."""

  stage: Stage
  config: ConfigDict
  data: Any
  frozen: Any
  checkpoints: Checkpoints
  recorder: Recorder
  evaluator: Evaluator
  meter: Meter

  def run(
      self, state: TrainState, start: int, interruption: Interruption
  ) -> tuple[int, signal.Signals | None]:
    """Runs steps start + 1 to config.steps.

    Returns:
      Number of the last step, and the signal that stopped the run, if any.
    """
    seed = devices.replicate(np.uint32(self.config.seed))
    compiled = functools.cache(functools.partial(_compile, self.stage))
    if not start:  # a baseline, and mistakes show now instead of hours later
      self._validate(state, 0)
      self.recorder.grid(0, self.evaluator.grid(state))
    steps = self.config.steps
    for step in range(start + 1, steps + 1):
      batch = devices.split(next(self.data))
      train_step = compiled(self.stage.variant(step - 1))
      with _advice_on_memory(step):
        state, metrics = train_step(state, self.frozen, batch, seed)
      self.meter.add(step, metrics)
      self.recorder.after_step(step)
      stop = interruption(step)
      if step == steps or _due(step, self.config.log.every):
        rate = self.stage.learning_rate(step - 1)
        self.recorder.train(step, self.meter.means(), rate)
      with self.recorder.paused():
        self._between_steps(state, step, stop is not None)
      if stop is not None and step < steps:
        return step, stop
    return steps, None

  def _between_steps(
      self, state: TrainState, step: int, stopping: bool
  ) -> None:
    """Draws a grid, validates and saves where due."""
    log, last = self.config.log, step == self.config.steps
    scores: dict[str, float] = {}
    if last or (_due(step, log.grid_every) and not stopping):
      self.meter.flush()
      self.recorder.grid(step, self.evaluator.grid(state))
    if last or (_due(step, log.validate_every) and not stopping):
      self.meter.flush()
      scores = self._validate(state, step)
    best = bool(scores) and self.checkpoints.is_best(scores)
    due = _due(step, self.config.checkpoint.every)
    if last or best or stopping or due:
      totals = self.meter.totals()
      host = devices.unreplicate(state)
      self.checkpoints.save(step, host, self.data, totals, scores)

  def _validate(self, state: TrainState, step: int) -> dict[str, float]:
    best = self.config.checkpoint.best
    scores = self.evaluator.validate(state, step, best)
    self.recorder.validation(step, scores)
    return scores


@contextlib.contextmanager
def _advice_on_memory(step: int) -> Iterator[None]:
  """Names the settings that help if a device runs out of memory."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    raise UserError(
        f"step {step} needs more memory than the device has; continue from the"
        " last checkpoint with --config.compute.remat=True or a higher"
        " --config.compute.accumulate, or start a new run with"
        " --config.compute.dtype=bfloat16"
    ) from error


def _due(step: int, every: int) -> bool:
  return every > 0 and step % every == 0


def _compile(stage: Stage, variant: Hashable) -> Callable[..., Any]:
  """Maps one variant of the step over all devices.

  The random key is made from the seed inside the mapped function, because typed
  keys cannot be replicated.
  """

  logging.info("compiling the training step; this can take minutes")

  def seeded(state, frozen, batch, seed):
    return stage.step(variant, state, frozen, batch, jax.random.key(seed))

  return devices.pmap(seeded, donate_state=True)
