"""How our programs start: compilation cache, errors as one line."""

import errno
import io
import logging as std_logging
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence

import jax
import tqdm
from absl import app, flags, logging

from sfe_jax.errors import UserError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_HOME = pathlib.Path(__file__).resolve().parents[1]
_PACKAGES = ("sfe_jax", "convert", "tests")


def enable_compilation_cache() -> None:
  """Keeps compiled code in ~/.cache/sfe_jax between runs.

  JAX_COMPILATION_CACHE_DIR, or a folder configured already, takes precedence;
  an empty JAX_COMPILATION_CACHE_DIR turns the cache off.
  """
  if (
      "JAX_COMPILATION_CACHE_DIR" in os.environ
      or jax.config.jax_compilation_cache_dir
  ):
    return
  root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  jax.config.update(
      "jax_compilation_cache_dir", str(pathlib.Path(root) / "sfe_jax" / "xla")
  )


def run(
    main: Callable[[Sequence[str]], int | None],
    define_flags: Callable[[], None],
    *,
    positional: bool = False,
) -> None:
  """Runs a command line: users' mistakes end in one line and exit code 2.

  Args:
    main: takes the program's name followed by the positional arguments, and
      returns the exit code.
    define_flags: defines its flags.  Importing a module defines none: flags are
      global, and programs share names such as --out.
    positional: whether positional arguments are allowed.
  """

  def parse(argv: Sequence[str]) -> list[str]:
    try:
      rest = flags.FLAGS(argv)
    except (flags.Error, OSError) as error:
      # ml_collections puts tracebacks and attempts first, the reason last.
      reason = str(error).strip().rpartition("\n")[2].strip()
      _fail(f"{reason}; --help lists the flags")
    except (AttributeError, KeyError, TypeError) as error:
      if _in_config_file(error):
        raise  # a mistake in the user's own code, with its place
      while isinstance(error, Exception) and error.args:
        error = error.args[0]
      _fail(f"no such key in the config: {' '.join(str(error).split())}")
    except SystemExit as error:  # absl calls --help a failure
      if _in_config_file(error):
        raise
      sys.exit(0)
    if len(rest) > 1 and not positional:
      _fail(f"unexpected argument {rest[1]!r}; --help lists the flags")
    return rest

  def guarded(argv: Sequence[str]) -> int | None:
    handler = logging.get_absl_handler()
    handler.setFormatter(None)
    handler.addFilter(_is_ours_or_warning)
    handler.python_handler.setStream(_BesideBars())
    if flags.FLAGS["verbosity"].using_default_value:
      logging.set_verbosity(logging.INFO)
    enable_compilation_cache()
    try:
      return main(argv)
    except UserError as error:
      _fail(str(error))
    except OSError as error:  # A full disk, a folder without permission.
      if error.filename is None and error.errno not in _DISK_FULL:
        raise
      _fail(f"{error.filename or 'writing'}: {error.strerror}")
    except KeyboardInterrupt:
      sys.exit(130)

  define_flags()
  app.run(guarded, flags_parser=parse)


def _in_config_file(error: BaseException) -> bool:
  """Whether a config file's `get_config` was running."""
  frames = traceback.walk_tb(error.__traceback__)
  return any(frame.f_code.co_name == "get_config" for frame, _ in frames)


class _BesideBars(io.TextIOBase):
  """Standard error that leaves progress bars whole."""

  def write(self, text: str) -> int:
    tqdm.tqdm.write(text, sys.stderr, end="")
    return len(text)

  def flush(self) -> None:
    sys.stderr.flush()


def _is_ours_or_warning(record: std_logging.LogRecord) -> bool:
  """Orbax and JAX tell dozens of lines about every file they touch.

  What clu tells is what we asked it to.
  """
  path = pathlib.Path(record.pathname)
  ours = any(path.is_relative_to(_HOME / name) for name in _PACKAGES)
  return record.levelno >= std_logging.WARNING or ours or "clu" in path.parts


def _fail(message: str) -> None:
  sys.stderr.write(f"error: {message}\n")
  sys.exit(2)
