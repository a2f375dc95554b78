"""StyleFeatureEditor (Bobkov et al., CVPR 2024) in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from sfe_jax.editor import Editor
  from sfe_jax.storage import images

__version__ = "0.2.0"

__all__ = ["Editor", "__version__", "images"]


def __getattr__(name: str) -> Any:
  """Imports the public names at first use: importing them takes seconds."""
  if name == "Editor":
    return importlib.import_module("sfe_jax.editor").Editor
  if name == "images":
    return importlib.import_module("sfe_jax.storage.images")
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
