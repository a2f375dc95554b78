"""StyleFeatureEditor (Bobkov et al., CVPR 2024) in JAX."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from sfe_jax.editor import Editor
  from sfe_jax.storage import images

__all__ = ["Editor", "images"]


def __getattr__(name: str) -> Any:
  """Imports the public API when it is first used."""
  if name == "Editor":
    from sfe_jax.editor import Editor

    return Editor
  if name == "images":
    from sfe_jax.storage import images

    return images
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
