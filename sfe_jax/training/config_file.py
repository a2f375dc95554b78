"""The command-line flag --config: a config file, its variant and its keys."""

import importlib.util
import os
import pathlib
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from sfe_jax.errors import UserError

_PACKAGE = "sfe_jax.configs"
# Folders in which a user may write that a shipped config lies.
_PARENTS = (".", "configs", "sfe_jax/configs")


def shipped() -> dict[str, str]:
  """{file name: path} of the configs that ship with the package."""
  spec = importlib.util.find_spec(_PACKAGE)
  if spec is None or not spec.submodule_search_locations:
    return {}
  folder = pathlib.Path(spec.submodule_search_locations[0])
  return {
      path.name: str(path)
      for path in sorted(folder.glob("*.py"))
      if path.stem not in ("__init__", "common")
  }


def find(name: str) -> str:
  """Path of a config file.

  Args:
    name: FILE or FILE:VARIANT, where FILE is a path, or the name of a config
      that ships with the package such as "ffhq_phase2.py" or
      "configs/ffhq_phase2.py".

  Returns:
    The path, with ":VARIANT" if `name` has it.  A file that exists takes
    precedence.

  Raises:
    UserError: there is no such file.
  """
  file, colon, variant = name.partition(":")
  if os.path.exists(file):
    return name
  path = pathlib.PurePath(file)
  known = shipped()
  if path.parent.as_posix() not in _PARENTS or path.name not in known:
    raise UserError(
        f"no such config file; configs that ship: {', '.join(known)}"
    )
  return f"{known[path.name]}{colon}{variant}"


class _Finder(flags.ArgumentParser):
  """Resolves config names to paths for ml_collections' parser."""

  def __init__(self, parser: flags.ArgumentParser):
    self._parser = parser

  def parse(self, argument: str) -> Any:
    """Loads the config of FILE or FILE:VARIANT."""
    return self._parser.parse(find(argument))

  def flag_type(self) -> str:
    """What --help calls the flag's value."""
    return self._parser.flag_type()


def define(flag_values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines --config and, for every key of the file, --config.KEY."""
  holder = config_flags.DEFINE_config_file(
      "config",
      None,
      "Config file, with :VARIANT if wanted, e.g. ffhq_phase1.py:official; a"
      " name that is not a file means a config that ships with sfe_jax.",
      lock_config=True,
      flag_values=flag_values,
  )
  flag = flag_values[holder.name]
  flag.parser = _Finder(flag.parser)


def read(flag_values: flags.FlagValues = flags.FLAGS) -> ConfigDict:
  """Returns the config of the parsed flag, with all references resolved.

  Raises:
    UserError: the flag is not given, or the file cannot be read.
  """
  config = flag_values["config"].value
  if config is None:
    raise UserError(
        "name a config with --config; configs that ship:"
        f" {', '.join(shipped())}"
    )
  try:
    return config.copy_and_resolve_references()
  except OSError as error:  # ml_collections raises it when the config is used
    reason = str(error).strip().rpartition("\n")[2].strip()
    raise UserError(f"--config: {reason}") from None


def default_workdir(flag_values: flags.FlagValues = flags.FLAGS) -> str:
  """The folder out/NAME or out/NAME_VARIANT, after the config's file."""
  name = config_flags.get_config_filename(flag_values["config"])
  file, _, variant = name.partition(":")
  stem = pathlib.PurePath(file).stem
  return os.path.join("out", f"{stem}_{variant}" if variant else stem)
