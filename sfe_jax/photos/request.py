"""A whole run of `python -m sfe_jax.edit`: from settings to files."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import cast

import jax.numpy as jnp
from absl import logging

from sfe_jax.architecture import Architecture
from sfe_jax.directions import Registry
from sfe_jax.editor import Editor
from sfe_jax.errors import UserError
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.photos import collect, edits
from sfe_jax.photos.batch import Batches, Output
from sfe_jax.storage import atomic, weights


@dataclasses.dataclass(frozen=True)
class Networks:
  """Which networks edit.

  Attributes:
    weights: weight folder, or the name of shipped weights.
    random: use random numbers instead of `weights`.
    without: networks to leave out, see `Editor.load`.
    domain: table of edits, see `Registry.of_weights`.
    directions: the user's own direction files.
    dtype: compute dtype by name: "float32" or "bfloat16".
    batch_size: number of pictures that run together.
  """

  weights: str | None
  random: bool = False
  without: tuple[str, ...] = ()
  domain: str | None = None
  directions: tuple[str, ...] = ()
  dtype: str = "float32"
  batch_size: int = 1

  def registry(self) -> Registry:
    """The edits on offer; reads no parameters of networks.

    Raises:
      UserError: there is no such folder, or a direction file is wrong.
    """
    if self.weights and not self.random:
      folder = weights.require_folder(self.weights)
      found = weights.module(folder / "generator", Generator)
      generator = cast(Generator, found)
      registry = Registry.of_weights(folder, generator, self.domain)
    else:
      registry = Registry.published(Architecture().generator(), self.domain)
    for path in self.directions:
      registry.add_file(path)
    return registry

  def load(self, registry: Registry, edits_follow: bool) -> Editor:
    """Loads the networks.

    Args:
      registry: the edits.
      edits_follow: without edits the encoder E is not needed and not read.

    Raises:
      UserError: a network is missing, damaged or does not fit the others.
    """
    dtype = jnp.dtype(self.dtype)
    precision = "highest" if self.dtype == "float32" else "default"
    if self.random:
      logging.warning(
          "the weights are random numbers: this shows that the pipeline runs,"
          " the pictures mean nothing"
      )
      return Editor.random(
          Architecture(),
          registry=registry,
          dtype=dtype,
          batch_size=self.batch_size,
          precision=precision,
      )
    unneeded = () if edits_follow else ("e4e",)
    return Editor.load(
        self.weights or "",
        without=tuple(dict.fromkeys([*self.without, *unneeded])),
        registry=registry,
        dtype=dtype,
        batch_size=self.batch_size,
        precision=precision,
    )


@dataclasses.dataclass(frozen=True)
class Request:
  """Pictures, edits and networks of one run.

  Attributes:
    networks: which networks edit.
    images: picture files.
    folder: a folder of pictures, or None.
    edits: NAME=STRENGTH or NAME=S1,S2,... each.
    separately: make every edit by itself instead of adding edits up.
    mask: background mask, or a folder of masks, or None.
    resample: filter that resizes pictures, see `images.fit`.
    output: what is written.
  """

  networks: Networks
  images: Sequence[str]
  folder: str | None
  edits: Sequence[str]
  separately: bool
  mask: str | None
  resample: str
  output: Output

  def run(self) -> int:
    """Edits and writes the pictures.

    Returns:
      0 if all pictures were edited, 1 if some were skipped.

    Raises:
      UserError: something in the request is wrong; nothing was written.
    """
    networks, out = self.networks, self.output
    if not networks.weights and not networks.random:
      raise UserError(
          "name a weight folder with --weights; python -m sfe_jax.convert makes"
          " one from the official files, and --weights toy edits drawn faces"
          " with networks that come with the project"
      )
    found = collect.collect(self.images, self.folder)
    masks = collect.Masks(self.mask) if self.mask else None
    if not (self.edits or out.inversion or out.grid):
      raise UserError("nothing to do: give --edit, --inversion or --grid")
    registry = networks.registry()
    specs = edits.parse(self.edits, registry, self.separately)
    atomic.require_writable(out.folder)
    logging.info("loading %s", networks.weights or "random weights")
    editor = networks.load(registry, bool(specs))
    out.folder.mkdir(parents=True, exist_ok=True)
    batches = Batches(editor, specs, out, masks, self.resample)
    batches.run(found.paths)
    _report(batches, found)
    return 1 if batches.skipped else 0


def _report(batches: Batches, found: collect.Collection) -> None:
  """Logs the pictures without results and the files that were ignored."""
  for path, reason in batches.skipped.items():
    prefix = "" if str(path) in reason else f"{path}: "
    logging.error("skipped: %s%s", prefix, reason)
  if batches.skipped:
    logging.error(
        "%d of %d pictures skipped", len(batches.skipped), len(found.paths)
    )
  if found.ignored:
    kinds = collections.Counter(
        "folders" if p.is_dir() else p.suffix or "without suffix"
        for p in found.ignored
    )
    logging.info(
        "ignored, not pictures: %s",
        ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())),
    )
