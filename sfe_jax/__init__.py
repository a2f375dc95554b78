"""StyleFeatureEditor (Bobkov et al., CVPR 2024) in JAX."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from sfe_jax.editor import Editor

__version__ = "0.2.0"

__all__ = ["Editor"]


def __getattr__(name: str):
  """Imports the editor when it is first asked for."""
  if name == "Editor":
    from sfe_jax.editor import Editor

    return Editor
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
