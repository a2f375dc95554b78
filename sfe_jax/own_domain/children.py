"""Child processes that stop in an orderly way when this program is told to."""

import os
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A closed terminal must not kill a training that could save first.
_PASSED_ON = {signal.SIGHUP: signal.SIGTERM}


class Children:
  """Runs programs one after another and passes signals on to the running one.

  Use it as a context manager.  Every child is in a process group of its own, so
  that Ctrl-C reaches it exactly once, through this process: training saves a
  checkpoint at the first signal and stops at once at the second.

  Attributes:
    received: the last signal that this process received, or None.
  """

  def __init__(self) -> None:
    self.received: signal.Signals | None = None
    self._child: subprocess.Popen[bytes] | None = None
    self._pending: list[signal.Signals] = []
    self._before: dict[signal.Signals, Any] = {}

  def __enter__(self) -> "Children":
    for number in _SIGNALS:
      if signal.getsignal(number) != signal.SIG_IGN:  # e.g. under nohup
        self._before[number] = signal.signal(number, self._receive)
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
    self._before = {}

  def run(self, command: Sequence[str]) -> int:
    """Runs a program to its end.

    Args:
      command: the program and its arguments.

    Returns:
      Its exit code; -N if signal N killed it.
    """
    self._child = subprocess.Popen(command, process_group=0)
    try:
      self._pass_on()  # a signal that arrived while the child was started
      return self._child.wait()
    finally:
      self._child = None

  def _receive(self, number: int, _: FrameType | None) -> None:
    self.received = signal.Signals(number)
    self._pending.append(_PASSED_ON.get(self.received, self.received))
    if self._child is None:
      os.write(2, b"stopping\n")
    self._pass_on()

  def _pass_on(self) -> None:
    while self._child is not None and self._pending:
      self._child.send_signal(self._pending.pop())
