"""Edit directions: found by name in a `Registry`, applied by `apply`."""

from sfe_jax.directions.entries import Entry, parse_strengths, range_text
from sfe_jax.directions.families import (
    DirectionData,
    LatentSpace,
    apply,
    with_zero_mapper,
)
from sfe_jax.directions.registry import Description, Registry, table

__all__ = [
    "Description",
    "DirectionData",
    "Entry",
    "LatentSpace",
    "Registry",
    "apply",
    "parse_strengths",
    "range_text",
    "table",
    "with_zero_mapper",
]
