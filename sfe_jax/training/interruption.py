"""Stops a training run cleanly after SIGTERM or Ctrl-C."""

import os
import signal
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils


class Interruption:
  """Turns SIGTERM and Ctrl-C into a request to stop after the current step.

  A second signal acts at once.  With several processes, SIGTERM to any of them
  counts, and JAX makes all processes agree on the step to stop at.
  """

  def __init__(self) -> None:
    self._received: signal.Signals | None = None
    self._before: dict[signal.Signals, Any] = {}

  def __enter__(self) -> "Interruption":
    if jax.process_count() == 1:
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._receive)
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
    self._before = {}

  def __call__(self, step: int) -> signal.Signals | None:
    """Returns the signal received, or None.

    Args:
      step: number of the step just done.  Every process must call this after
        every step.
    """
    if jax.process_count() == 1:
      return self._received
    if multihost_utils.reached_preemption_sync_point(step):
      return signal.SIGTERM
    return None

  def _receive(self, number: int, _: FrameType | None) -> None:
    self._received = signal.Signals(number)
    text = (
        f"{self._received.name}: stopping after this step (if it is compiling,"
        " that takes minutes); a second signal stops at once, without saving\n"
    )
    os.write(2, text.encode())  # logging is not safe in a signal handler
    self.__exit__()
