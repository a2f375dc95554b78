"""Pictures for training: sources, batches, and shards of resized pictures."""

from sfe_jax.data.loader import (
    hold_out,
    label,
    loader,
    open_sets,
    validation_batches,
)
from sfe_jax.data.source import Labelled, Source
from sfe_jax.data.sources import open_source

__all__ = [
    "Labelled",
    "Source",
    "hold_out",
    "label",
    "loader",
    "open_sets",
    "open_source",
    "validation_batches",
]
