"""Starts command-line programs: flags, log, compilation cache, user errors."""

import difflib
import errno
import functools
import importlib.util
import io
import logging as std_logging
import os
import pathlib
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import tqdm
from absl import app, flags, logging

from sfe_jax import devices
from sfe_jax.errors import UserError

_HOME = pathlib.Path(__file__).parents[1]
_PACKAGES = ("sfe_jax", "convert", "tests")
_LIKENESS = 0.6  # least likeness of a config key that is suggested
_GRACE = 3.0  # seconds that a program has to clean up after Ctrl-C
_STOPPED = 130  # exit code after Ctrl-C


def require_packages(extra: str, names: Sequence[str]) -> None:
  """Makes sure that packages can be imported, before hours of work.

  Args:
    extra: the extra of setup.py that installs them.
    names: import names of the packages.

  Raises:
    UserError: packages are not installed.
  """
  missing = [x for x in names if importlib.util.find_spec(x) is None]
  if missing:
    raise UserError(
        f"this program needs the packages {', '.join(missing)}; install the"
        f" extra {extra}: pip install 'sfe_jax[{extra}]', or in a checkout"
        f" pip install -e '.[{extra}]'"
    )


def run(
    main: Callable[[Sequence[str]], int | None],
    define_flags: Callable[[], None],
    *,
    positional: bool = False,
) -> None:
  """Runs a program; a user's mistake ends in one line and exit code 2.

  Args:
    main: takes the program's name followed by the positional arguments, and
      returns the exit code.
    define_flags: defines the program's flags.  It is a function because flags
      are global and programs share names such as --out, so importing a module
      must not define them.
    positional: whether positional arguments are allowed.
  """

  def guarded(argv: Sequence[str]) -> int | None:
    _set_up_log()
    devices.enable_compilation_cache()
    try:
      return main(argv)
    except BaseException as error:
      if stopped:  # whatever a library made of KeyboardInterrupt
        # Without finalisation, which crashes while XLA compiles in a thread.
        os._exit(_STOPPED)
      if isinstance(error, UserError):
        _fail(str(error))
      if isinstance(error, OSError) and error.errno is not None:
        _fail(_system_error(error))
      raise

  stopped: list[int] = []
  signal.signal(signal.SIGINT, functools.partial(_stop, stopped))
  try:
    define_flags()
  except UserError as error:  # a package that the program needs is missing
    _fail(str(error))
  app.run(guarded, flags_parser=functools.partial(_parse, positional))


def _stop(stopped: list[int], number: int, _: object) -> None:
  """Handles Ctrl-C: the program cleans up, and ends even if it cannot.

  KeyboardInterrupt is lost if it is raised inside a callback of JAX, or is
  reported as another error by a library.

  Args:
    stopped: gets the number of the signal.
    number: number of the signal.
  """
  stopped.append(number)
  signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one acts at once
  os.write(2, b"stopped by Ctrl-C\n")
  end = threading.Timer(_GRACE, os._exit, (_STOPPED,))
  end.daemon = True
  end.start()
  raise KeyboardInterrupt


def _parse(positional: bool, argv: Sequence[str]) -> Sequence[str]:
  """Parses flags; returns the program's name and the positional arguments."""
  try:
    rest = flags.FLAGS(argv)
  except (flags.Error, OSError) as error:
    # ml_collections puts tracebacks and attempts first, the reason last.
    reason = str(error).strip().rpartition("\n")[2].strip()
    reason = reason.removeprefix("ValueError: ")
    _fail(f"{reason}; --help lists the flags")
  except (AttributeError, KeyError, TypeError) as error:
    if _in_config_file(error):
      raise  # a bug in the user's config file: its place is needed
    _fail(_config_error(argv) or _innermost(error))
  except SystemExit as error:  # absl treats --help as a failure
    if _in_config_file(error):
      raise
    sys.exit(0)
  if len(rest) > 1 and not positional:
    _fail(f"unexpected argument {rest[1]!r}; --help lists the flags")
  return rest


def _config_error(argv: Sequence[str]) -> str:
  """Message for the first --config.KEY that the config lacks; "" if none."""
  text = "\n".join(argv)
  files = re.findall(r"^--?config[=\n](.+)$", text, re.MULTILINE)
  if not files:
    return ""
  # The flag's own value is not set, because parsing it failed.
  known = _dotted(flags.FLAGS["config"].parser.parse(files[-1]))
  for key in re.findall(r"^--?(?:no)?config\.([^=\n]+)", text, re.MULTILINE):
    if key not in known:
      return f"no such key in the config: {key}; {_hint(key, known)}"
  return ""


def _dotted(config: Any, prefix: str = "") -> list[str]:
  """All keys of a config and its sections, such as "optimizer.anneal"."""
  keys = []
  for key, value in config.items():
    keys.append(prefix + key)
    if hasattr(value, "items"):
      keys += _dotted(value, f"{prefix}{key}.")
  return keys


def _hint(key: str, known: Sequence[str]) -> str:
  """Names the most similar key, or all keys of the same section.

  The user may also have written initials: "lr" for "learning_rate".
  """

  section, _, name = key.rpartition(".")

  def likeness(other: str) -> tuple[float, float]:
    """Similarity of the last parts of both keys, then of the whole keys."""
    last = other.rpartition(".")[2]
    initials = "".join(word[:1] for word in last.split("_"))
    return (
        1.0 if name == initials else _likeness(name, last),
        _likeness(key, other),
    )

  best = max(known, key=likeness)
  if max(likeness(best)) >= _LIKENESS:
    return f"did you mean {best}?"
  beside = [k for k in known if k.rpartition(".")[0] == section]
  return f"there are {', '.join(beside or known)}"


def _likeness(a: str, b: str) -> float:
  return difflib.SequenceMatcher(None, a, b).ratio()


def _innermost(error: BaseException) -> str:
  """The text of the error that ml_collections wrapped, on one line."""
  text: Any = error
  while isinstance(text, BaseException) and text.args:
    text = text.args[0]
  return f"--config: {' '.join(str(text).split())}"


def _in_config_file(error: BaseException) -> bool:
  """Whether the error was raised by a config file's `get_config`."""
  frames = traceback.walk_tb(error.__traceback__)
  return any(frame.f_code.co_name == "get_config" for frame, _ in frames)


def _system_error(error: OSError) -> str:
  """One line that names the path, for full disks, permissions and the like."""
  if error.filename is None:
    return f"{error.strerror}, while a file was read or written"
  path = os.fsdecode(error.filename)
  if error.errno == errno.EEXIST:
    return f"{path} is a file, but a folder is needed there; name another"
  if error.errno == errno.ENOTDIR:
    return f"{path}: a part of this path is a file, not a folder; name another"
  return f"{path}: {error.strerror}"


def _set_up_log() -> None:
  """Logs our messages and all warnings, without breaking progress bars."""
  handler = logging.get_absl_handler()
  handler.setFormatter(None)
  handler.addFilter(_is_wanted)
  handler.python_handler.setStream(_BesideBars())
  if flags.FLAGS["verbosity"].using_default_value:
    logging.set_verbosity(logging.INFO)
  sys.unraisablehook = _without_orbax


def _without_orbax(error: "sys.UnraisableHookArgs") -> None:
  """Hides errors of Orbax's background writers after another writer failed."""
  if str(error.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(error)


class _BesideBars(io.TextIOBase):
  """Standard error, written so that progress bars stay intact."""

  def write(self, text: str) -> int:
    tqdm.tqdm.write(text, sys.stderr, end="")
    return len(text)

  def flush(self) -> None:
    sys.stderr.flush()


def _is_wanted(record: std_logging.LogRecord) -> bool:
  """Drops INFO messages of other libraries.

  Orbax and JAX log dozens of lines about every file.  Orbax also logs
  tracebacks of errors that it raises to us as well.
  """
  path = pathlib.Path(record.pathname)
  if record.levelno >= std_logging.WARNING:
    return not (record.exc_info and "orbax" in path.parts)
  return any(path.is_relative_to(_HOME / name) for name in _PACKAGES)


def _fail(message: str) -> NoReturn:
  sys.stderr.write(f"error: {message}\n")
  sys.exit(2)
