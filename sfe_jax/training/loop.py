"""The only training loop: data, steps, numbers, pictures, checkpoints.

It trains whatever a `Stage` describes.  Running it again in the same folder
goes on from the last checkpoint, to the bit.
"""

import collections
import contextlib
import functools
import os
import pathlib
import signal
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from sfe_jax import devices
from sfe_jax.data.batch import Batch
from sfe_jax.errors import UserError
from sfe_jax.storage import images
from sfe_jax.storage.checkpoints import Checkpoints
from sfe_jax.training.recorder import Recorder
from sfe_jax.training.stages.stage import Stage
from sfe_jax.training.state import TrainState

HeldOut = Iterable[tuple[Batch, np.ndarray]]
_STEPS_AHEAD = 2
_TILE = 256


def run(
    stage: Stage,
    config: ConfigDict,
    workdir: str | os.PathLike,
    data: Any,
    held_out: HeldOut,
) -> signal.Signals | None:
  """Trains until config.steps, from the last checkpoint if there is one.

  Args:
    stage: what is trained.
    config: seed, steps and sections log and checkpoint are read here.
    workdir: gets checkpoints, numbers and grids.
    data: endless Grain iterator over this process' part of every batch, see
      `data.loader`.
    held_out: (batch, (n,) bool, false where it is padding) pairs, this
      process' part, see `data.validation_batches`.  Where there is none, there
      is no validation, no grid and no best checkpoint.

  Returns:
    The signal that stopped the run early, after a checkpoint; else None.

  Raises:
    UserError: a loss or the state is not finite, or nothing fits together.
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
    state = devices.replicate(state)
    seed = devices.replicate(np.uint32(config.seed))
    compiled = functools.cache(functools.partial(_compile, stage))
    evaluator = Evaluator(stage, frozen, held_out, log.grid_count)
    if not start:  # a baseline, and what is wrong shows now
      recorder.validation(0, evaluator.validate(state, 0, saving.best))
      recorder.grid(0, evaluator.grid(state))

    for step in range(start + 1, config.steps + 1):
      batch = devices.split(next(data))
      train_step = compiled(stage.variant(step - 1))
      with _advice_on_memory(step):
        state, metrics = train_step(state, frozen, batch, seed)
      meter.add(step, metrics)
      recorder.after_step(step)
      stop, last = interruption(step), step == config.steps
      if last or _due(step, log.every):
        recorder.train(step, meter.means())
      scores = None
      with recorder.paused():
        if last or (_due(step, log.grid_every) and not stop):
          meter.flush()
          recorder.grid(step, evaluator.grid(state))
        if last or (_due(step, log.validate_every) and not stop):
          meter.flush()
          scores = evaluator.validate(state, step, saving.best)
          recorder.validation(step, scores)
        best = bool(scores) and checkpoints.is_best(scores)
        if last or best or stop or _due(step, saving.every):
          totals = meter.totals()
          host = devices.unreplicate(state)
          checkpoints.save(step, host, data, totals, scores)
      if stop and not last:
        logging.info(
            "%s: %s: stopped after step %d of %d, saved; run the same command"
            " to go on",
            workdir, stop.name, step, config.steps,
        )
        return stop
  return None


def _resume(
    checkpoints: Checkpoints, stage: Stage, config: ConfigDict, data: Any
) -> tuple[TrainState, int, "Meter"]:
  """State, steps done and meter of the last checkpoint; moves the data."""
  found = checkpoints.restore(stage.state, data)
  if found is None:
    return stage.state, 0, Meter()
  if not found.has_data:  # saved by another number of processes
    share = config.data.batch_size // jax.process_count()
    data.set_state({"next_index": found.step * share})
  return found.state, found.step, Meter(found.meta)


@contextlib.contextmanager
def _advice_on_memory(step: int) -> Iterator[None]:
  """Says what helps where a device's memory is full."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    raise UserError(
        f"step {step} needs more memory than the device has; on from the last"
        " checkpoint with --config.compute.remat=True, a higher"
        " --config.compute.accumulate, or in a new run"
        " --config.compute.dtype=bfloat16"
    ) from error


def _due(step: int, every: int) -> bool:
  return every > 0 and step % every == 0


def _compile(stage: Stage, variant: Hashable) -> Callable[..., Any]:
  """One variant of the step over all devices, with a seed for the key.

  Keys are made inside: typed ones cannot be replicated.
  """

  def seeded(state, frozen, batch, seed):
    return stage.step(variant, state, frozen, batch, jax.random.key(seed))

  return devices.pmap(seeded, donate_state=True)


class Meter:
  """Means of the metrics between two logs; refuses what is not finite.

  A metric's mean is over the steps that have it.  Numbers are fetched a few
  steps late, so that the device never waits.
  """

  def __init__(self, totals: Mapping[str, Any] | None = None):
    """Starts from the `totals` of a checkpoint, or from nothing."""
    self._totals = {k: tuple(v) for k, v in (totals or {}).items()}
    self._pending = collections.deque()

  def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
    """Takes the replicated metrics of a step."""
    self._pending.append((step, metrics))
    if len(self._pending) > _STEPS_AHEAD:
      self._fetch()

  def flush(self) -> None:
    """Waits for, and looks at, all that was added.

    Raises:
      UserError: a metric is not finite.
    """
    while self._pending:
      self._fetch()

  def means(self) -> dict[str, float]:
    """Means since the last call."""
    self.flush()
    means = {name: total / n for name, (total, n) in self._totals.items()}
    self._totals = {}
    return means

  def totals(self) -> dict[str, tuple[float, int]]:
    """Sums and counts: with them a resumed run logs what any other would."""
    self.flush()
    return self._totals

  def _fetch(self) -> None:
    step, metrics = self._pending.popleft()
    values = {k: float(v) for k, v in devices.unreplicate(metrics).items()}
    _require_finite(values, step)
    for name, value in values.items():
      total, n = self._totals.get(name, (0.0, 0))
      self._totals[name] = total + value, n + 1


def _require_finite(values: Mapping[str, float], step: int) -> None:
  bad = [f"{k} is {v}" for k, v in values.items() if not np.isfinite(v)]
  if bad:
    raise UserError(
        f"step {step}: {', '.join(bad)}; training stopped, every checkpoint is"
        " of an earlier step"
    )


class Evaluator:
  """Looks at held-out pictures: scores over all, a sheet of the first."""

  def __init__(
      self, stage: Stage, frozen: Any, held_out: HeldOut, grid_count: int
  ):
    self._frozen = frozen
    self._held_out = held_out
    self._grid_count = grid_count
    self._validate = devices.pmap(stage.validate)
    self._grid = devices.pmap(stage.grid)

  def validate(self, state: Any, step: int, best: str) -> dict[str, float]:
    """Means over the held-out pictures of all processes, in float64.

    Args:
      state: replicated.
      step: for messages.
      best: a score that must be among them; "" asks for none.

    Returns:
      {name: mean}, empty where there are no held-out pictures.

    Raises:
      UserError: a mean is not finite, or `best` is unknown.
    """
    parts = collections.defaultdict(list)
    for batch, real in self._held_out:
      values = self._validate(state, self._frozen, devices.split(batch))
      values, real = multihost_utils.process_allgather(
          (devices.join(values), np.asarray(real))
      )
      for name, value in values.items():
        parts[name].append(np.ravel(value)[np.ravel(real)])
    scores = {
        name: float(np.concatenate(x).mean(dtype=np.float64))
        for name, x in parts.items()
        if sum(map(len, x))
    }
    if scores and best and best not in scores:
      raise UserError(
          f"checkpoint.best must be one of {', '.join(sorted(scores))}, got"
          f" {best!r}"
      )
    named = {f"validation/{name}": x for name, x in scores.items()}
    _require_finite(named, step)
    return scores

  def grid(self, state: Any) -> np.ndarray | None:
    """A sheet of the first pictures of this process and what becomes of them.

    Args:
      state: replicated.

    Returns:
      uint8 (h, w, 3); None where there are no held-out pictures.
    """
    pictures, real = [], []
    for batch, mask in self._held_out:
      pictures += list(np.asarray(batch.image))
      real += list(np.asarray(mask))
      if len(real) >= self._grid_count:
        break
    n, local = min(len(real), self._grid_count), jax.local_device_count()
    if not n:
      return None
    # Every device needs as many: the last picture is repeated.
    index = np.minimum(np.arange(-(-n // local) * local), n - 1)
    pictures, real = np.stack(pictures)[index], np.array(real[:n], bool)
    columns = self._grid(state, self._frozen, devices.split(Batch(pictures)))
    columns = {
        title: images.to_uint8(x[:n][real])
        for title, x in devices.join(dict(columns)).items()
    }
    tile = min(_TILE, pictures.shape[1])
    return images.grid(list(zip(*columns.values())), list(columns), tile)


class Interruption:
  """Turns SIGTERM and Ctrl-C into a wish to stop after the current step.

  A second one acts at once.  Of several processes any may be told (SIGTERM);
  JAX makes them agree on a step.
  """

  def __init__(self):
    self._received: signal.Signals | None = None
    self._before = {}

  def __enter__(self) -> "Interruption":
    if jax.process_count() == 1:
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._receive)
    return self

  def __exit__(self, *_) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
    self._before = {}

  def __call__(self, step: int) -> signal.Signals | None:
    """The signal received; call it after every step, in every process."""
    if jax.process_count() == 1:
      return self._received
    if multihost_utils.reached_preemption_sync_point(step):
      return signal.SIGTERM
    return None

  def _receive(self, number: int, _) -> None:
    self._received = signal.Signals(number)
    text = f"{self._received.name}: stopping after this step; again: at once\n"
    os.write(2, text.encode())  # logging is not for signal handlers
    self.__exit__()
