"""Names of directions: when two are the same, and those that labels give."""

import re

from sfe_jax.errors import UserError
from sfe_jax.storage.labels import Schema, outputs


def name_key(name: str) -> str:
  """Normal form of a name: case, spaces, "_" and "-" do not distinguish."""
  return re.sub(r"[\s_-]", "", name.lower())


def label_names(schema: Schema) -> list[str]:
  """Names of the directions for a schema's labels, in order.

  Example: "hair=long" -> "hair_long".

  Raises:
    UserError: two names are the same, or a label has no letter or digit, or
      the name is reserved (pca1, sefa1, ...).
  """
  names: list[str] = []
  taken: dict[str, str] = {}
  for label in outputs(schema):
    name = re.sub(r"\W+", "_", label).strip("_")
    key = name_key(name)
    if not key or re.fullmatch(r"(pca|sefa)\d+", key):
      raise UserError(
          f"the label {label!r} gives no name to an edit: use letters, and not"
          " pca1, sefa1, ..., which are taken"
      )
    if key in taken:
      raise UserError(
          f"the labels {taken[key]!r} and {label!r} would both name an edit"
          f" {name!r}; rename one"
      )
    taken[key] = label
    names.append(name)
  return names
