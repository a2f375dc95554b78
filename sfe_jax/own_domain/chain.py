"""Runs the steps of a chain; resumes where an earlier run stopped."""

import dataclasses
import os
import pathlib
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any

from sfe_jax.errors import UserError
from sfe_jax.own_domain import steps
from sfe_jax.own_domain.children import Children
from sfe_jax.own_domain.steps import ChainPlan, ChainSettings, Copy
from sfe_jax.storage import atomic, checkpoints, layout

SIZES = tuple(2**i for i in range(4, 11))
_DEFAULT_SIZES = {"cpu": 32}
_DEFAULT_SIZE = 64  # on an accelerator
_USER_ERROR = 2  # exit code of our programs after the line "error: ..."


class StopChain(Exception):
  """Ends the chain before its last step.

  Attributes:
    code: exit code of the program.
  """

  def __init__(self, code: int, message: str):
    super().__init__(message)
    self.code = code

  def report(self) -> int:
    """Prints the reason, if it was not printed before; returns the code."""
    if str(self):
      sys.stderr.write(f"{self}\n")
    return self.code


def prepare(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    size: int | None = None,
    most_steps: int | None = None,
) -> ChainPlan:
  """Checks the inputs of a chain; writes nothing.

  Args:
    folder: folder of pictures, nested, of any size.
    out: folder of the chain: new, empty, or that of an earlier run with the
      same settings.
    labels: CSV file of labels, see `storage.labels`; None finds unnamed edits.
    size: height and width in pixels, one of SIZES; None takes the size of an
      earlier run in `out`, else 32 on a CPU and 64 on an accelerator.
    most_steps: largest number of training steps per stage; None for the numbers
      in the configs.

  Raises:
    UserError: a path, size or number of steps cannot be used, or `out` holds
      other files.
  """
  source, place = _absolute(folder), pathlib.Path(_absolute(out))
  if not os.path.isdir(source):
    raise UserError(f"{source}: no such folder of pictures")
  if place.resolve().is_relative_to(os.path.realpath(source)):
    raise UserError(f"OUT must not be FOLDER and not lie in it: {place}")
  if labels is not None and not os.path.isfile(labels):
    raise UserError(f"{_absolute(labels)}: no such file of labels")
  if most_steps is not None and most_steps < 1:
    raise UserError(f"--steps must be at least 1, got {most_steps}")
  before = _stored(place)
  if size is None:
    size = before["size"] if before else _default_size()
  if size not in SIZES:
    known = ", ".join(map(str, SIZES))
    raise UserError(f"--size must be one of {known}, got {size}")
  settings = ChainSettings(
      source, None if labels is None else _absolute(labels), size, most_steps
  )
  if before:
    _check_same(place, before, dataclasses.asdict(settings))
  return ChainPlan(place, settings)


def _absolute(path: str | os.PathLike[str]) -> str:
  return os.path.abspath(os.path.expanduser(path))


def _default_size() -> int:
  return _DEFAULT_SIZES.get(steps.backend(), _DEFAULT_SIZE)


def _stored(out: pathlib.Path) -> dict[str, Any]:
  """Settings of the chain in `out`; {} before its first step is done.

  Raises:
    UserError: `out` is a file, or holds other files.
  """
  if not out.exists():
    return {}
  if not out.is_dir():
    raise UserError(f"{out} is a file; name a folder as OUT")
  if not any(out.iterdir()):
    return {}
  stored = atomic.read_json(
      out / steps.SETTINGS,
      f"{out} is not empty and was not made by this program: {steps.SETTINGS}"
      " is missing; name a new or empty folder as OUT",
  )
  return stored if (out / steps.DATA).exists() else {}


def _check_same(
    out: pathlib.Path, before: dict[str, Any], now: dict[str, Any]
) -> None:
  changes = [
      f"{key} {before.get(key) or 'not given'}, now {value or 'not given'}"
      for key, value in now.items()
      if before.get(key) != value
  ]
  if changes:
    raise UserError(
        f"{out} was made with other settings: {'; '.join(changes)}; repeat the"
        " first command to continue, or name another OUT"
    )


def run(plan: ChainPlan, *, dry_run: bool = False) -> int:
  """Runs all steps that are not done.

  Args:
    plan: the chain.
    dry_run: prints what would be run and writes nothing.

  Returns:
    Exit code: 0 done; the code of a program that failed; 128 + N after signal N
    (130 after Ctrl-C, 143 after SIGTERM).
  """
  if not dry_run:
    content = dataclasses.asdict(plan.settings)
    atomic.write_json(plan.out / steps.SETTINGS, content)
  try:
    with Children() as children:
      for number, step in enumerate(steps.STEPS, 1):
        heading = f"[{number}/{len(steps.STEPS)}] {step.name}: {step.title}"
        if (plan.out / step.leaves).exists():
          _say(f"{heading}: done")
        else:
          _say(heading)
          _run_step(plan, step, None if dry_run else children)
  except StopChain as stopped:
    return stopped.report()
  return 0


def _run_step(
    plan: ChainPlan, step: steps.Step, children: Children | None
) -> None:
  """Runs a step and records its time; without `children` prints it."""
  if children is None:
    execute(step.actions(plan), None)
    return
  start = time.monotonic()
  try:
    execute(step.actions(plan), children)
  finally:
    _add_time(plan.out, step.name, time.monotonic() - start)
  _finish(plan.out / step.leaves, step)


def _finish(leaves: pathlib.Path, step: steps.Step) -> None:
  if step.marks:
    leaves.touch()
  elif not leaves.exists():  # a crash has the exit code 1, as skipped files do
    raise StopChain(1, f"error: step {step.name} did not write {leaves}")


def execute(
    actions: Iterable[steps.Action], children: Children | None
) -> None:
  """Runs actions in order.

  Args:
    actions: the actions, an iterator that is advanced after each action.
    children: runs the programs; None prints what would be run.

  Raises:
    StopChain: a program failed or was stopped.
  """
  for action in actions:
    if children is None:
      _say(_text(action))
    elif isinstance(action, Copy):
      with atomic.replacing_folder(action.target) as part:
        shutil.copytree(action.source, part, dirs_exist_ok=True)
    else:
      _run(action, children)
    if children is not None and children.received:
      raise _stopped(children.received)


def _run(program: steps.Program, children: Children) -> None:
  code = children.run(program.command)
  if children.received:
    raise _stopped(children.received)
  if code == 128 + signal.SIGINT:
    raise _stopped(signal.SIGINT)
  if code < 0:
    name = signal.Signals(-code).name
    hint = "; is the memory full?" if -code == signal.SIGKILL else ""
    raise StopChain(
        128 - code, f"error: sfe_jax.{program.module} ended by {name}{hint}"
    )
  if code == _USER_ERROR:
    raise StopChain(code, "")  # the program has printed the error
  if code not in program.accepted:
    raise StopChain(
        code,
        f"error: sfe_jax.{program.module} failed with exit code {code}, see"
        " above; run the same command again to continue; finished steps are"
        " skipped",
    )
  if isinstance(program, steps.Training) and not _is_complete(program):
    raise _stopped(signal.SIGTERM)  # only the child was told to stop


def _stopped(number: signal.Signals) -> StopChain:
  message = f"stopped by {number.name}; run the same command again to continue"
  return StopChain(128 + number, message)


def _is_complete(training: steps.Training) -> bool:
  config = atomic.read_json(training.workdir / layout.CONFIG)
  return checkpoints.latest_step(training.workdir) == config["steps"]


def _add_time(out: pathlib.Path, name: str, seconds: float) -> None:
  """Adds to the wall-clock time of a step, which may take several runs."""
  path = out / steps.TIMES
  times = atomic.read_json(path) if path.exists() else {}
  times[name] = round(times.get(name, 0.0) + seconds, 1)
  atomic.write_json(path, times)


def _text(action: steps.Action) -> str:
  if isinstance(action, Copy):
    return shlex.join(["cp", "-R", str(action.source), str(action.target)])
  return shlex.join(action.command)


def _say(text: str) -> None:
  sys.stdout.write(f"{text}\n")
  sys.stdout.flush()  # before what the programs print
