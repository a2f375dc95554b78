"""How programs end: Ctrl-C."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import time
from sfe_jax import command_line
def main(_):
  print("running", flush=True)
  try:
    time.sleep(60)
  except KeyboardInterrupt:
    {then}
  return 0
command_line.run(main, lambda: None)
"""


@pytest.mark.parametrize(
    "then",
    [
        "raise",
        "time.sleep(60)",  # as callbacks of JAX lose it
        "raise ValueError('damaged')",  # as libraries report it
    ],
)
def test_ctrl_c_ends_a_program_with_one_line(then):
  process = subprocess.Popen(
      [sys.executable, "-c", PROGRAM.format(then=then)],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
  )
  assert process.stdout.readline() == "running\n"
  start = time.monotonic()
  process.send_signal(signal.SIGINT)
  _, err = process.communicate(timeout=30)
  assert process.returncode == 130
  assert err == "stopped by Ctrl-C\n"
  assert time.monotonic() - start < 15
