"""The settings of one evaluation."""

import dataclasses
from collections.abc import Sequence

from sfe_jax.metrics import methods


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What to measure; one attribute per flag of `python -m sfe_jax.evaluate`.

  Attributes:
    protocol: a key of `evaluation.PROTOCOLS`.
    weights: weight folder of the method.
    out: JSON file to write.
    method: one of `methods.METHODS`.
    without: optional networks that SFE leaves out.
    name: name of the method in tables; by default made from the two above.
    dir: folder of the test pictures (inversion, editing).
    count: number of pictures or drawn pairs; None for all, or 500 pairs.
    labels: CSV file of labels (editing).
    edit: "NAME=STRENGTH" each.
    attribute: attribute expressions, see `metrics.attributes`.
    positive: what a positive strength does to the attribute, "adds" or
      "removes"; None takes it from the direction.
    seed: random seed of the drawn faces (truth).
    networks: weight folder of the evaluation networks; None for `weights`.
    perceptual: network of the perceptual distance, see `Judge.load`.
    identity: network of the identity similarity.
    features: network of the features for FID.
    domain: table of directions, see `Editor.load`.
    batch_size: pictures per batch.
  """

  protocol: str
  weights: str
  out: str
  method: str = methods.SFE
  without: Sequence[str] = ()
  name: str | None = None
  dir: str | None = None
  count: int | None = None
  labels: str | None = None
  edit: Sequence[str] = ()
  attribute: Sequence[str] = ()
  positive: str | None = None
  seed: int = 1
  networks: str | None = None
  perceptual: str | None = None
  identity: str | None = None
  features: str | None = None
  domain: str | None = None
  batch_size: int = 8
