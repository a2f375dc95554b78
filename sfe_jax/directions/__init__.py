"""Edit directions: data for `apply`, found by name in a `Registry`."""

from sfe_jax.directions.entries import Entry, parse_strengths
from sfe_jax.directions.families import (
    DirectionData,
    LatentSpace,
    apply,
    with_zero_mapper,
)
from sfe_jax.directions.registry import Description, Registry

__all__ = [
    "Description",
    "DirectionData",
    "Entry",
    "LatentSpace",
    "Registry",
    "apply",
    "parse_strengths",
    "with_zero_mapper",
]
