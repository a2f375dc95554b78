"""The evaluation networks, and the measures of pictures that use them.

The networks are read from a weight folder: the domain's own `perception`, or
converted official ones.  Pictures are uint8 (n, size, size, 3), as they would
be saved.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from PIL import Image

from sfe_jax.architecture import Variables
from sfe_jax.errors import UserError
from sfe_jax.measures import losses, msssim
from sfe_jax.measures.frechet import Moments
from sfe_jax.models import irse, layers
from sfe_jax.models.inception import Inception
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.storage import labels, origins, weights

OWN, NONE = "perception", "none"
# In order of preference: by default, the first one in the folder is used.
PERCEPTUAL = (OWN, "lpips_alex", "lpips_vgg")
IDENTITIES = (OWN, "curricularface", "arcface", NONE)
FEATURES = (OWN, "inception")
_EXPECTED = {
    OWN: Perception,
    "lpips_alex": LPIPS,
    "lpips_vgg": LPIPS,
    "curricularface": irse.ArcFace,
    "arcface": irse.ArcFace,
    "inception": Inception,
}
_OFFICIAL_SIZE = 256


class Judge:
  """Measures pictures of one size.

  LPIPS, and L2 reported beside it, compare pictures reduced to 256 px; ArcFace
  and CurricularFace see the face's part of pictures of 256 px
  (docs/numerics.md).  All other measures use the pictures' own size.

  Attributes:
    size: height and width of the pictures in pixels.
    names: names of the networks behind "perceptual", "identity" and "features".
    networks: names of all networks in use.
    scales: number of MS-SSIM scales; 0 means that MS-SSIM is not measured.
    outputs: names of the perception network's scores; empty without one.
  """

  def __init__(
      self,
      size: int,
      networks: Mapping[str, tuple[nn.Module, Any]],
      *,
      perceptual: str = OWN,
      identity: str = OWN,
      features: str = OWN,
      outputs: Sequence[str] = (),
  ):
    """Takes networks that are in memory; `load` reads them from a folder.

    Args:
      size: height and width of the pictures.
      networks: module and variables by name.
      perceptual: one of PERCEPTUAL.
      identity: one of IDENTITIES.
      features: one of FEATURES.
      outputs: names of the perception network's scores.
    """
    self.size = size
    self.names = {
        "perceptual": perceptual, "identity": identity, "features": features
    }
    self.networks = tuple(networks)
    self.scales = msssim.scales_for(size)
    if not self.scales:
      logging.warning(
          "MS-SSIM is not measured: it needs pictures of at least %d px, these"
          " have %d px",
          msssim.WINDOW, size,
      )
    self.outputs = tuple(outputs)
    self._modules = {name: module for name, (module, _) in networks.items()}
    self._variables = {name: tree for name, (_, tree) in networks.items()}
    self._compare = jax.jit(self._compare_arrays)
    self._features = jax.jit(self._feature_arrays)
    self._scores = jax.jit(self._score_arrays)

  @classmethod
  def load(
      cls,
      folder: str | os.PathLike,
      size: int,
      perceptual: str | None = None,
      identity: str | None = None,
      features: str | None = None,
  ) -> "Judge":
    """Reads the networks from a weight folder.

    Args:
      folder: the weight folder.
      size: height and width of the pictures.
      perceptual: one of PERCEPTUAL; None takes the first in the folder.
      identity: one of IDENTITIES; None takes the first in the folder.
      features: one of FEATURES; None takes the first in the folder.

    Raises:
      UserError: a network is missing or damaged.
    """
    folder = pathlib.Path(folder)
    names = {
        "perceptual": perceptual or _first(folder, "perceptual", PERCEPTUAL),
        "identity": identity or _first(folder, "identity", IDENTITIES),
        "features": features or _first(folder, "features", FEATURES),
    }
    wanted = set(names.values()) - {NONE}
    outputs: Sequence[str] = ()
    if (folder / OWN).is_dir():
      wanted.add(OWN)
      outputs = labels.outputs(weights.label_schema(folder / OWN))
    networks = {
        name: weights.read(folder / name, _EXPECTED[name])
        for name in sorted(wanted)
    }
    return cls(size, networks, outputs=outputs, **names)

  def compare(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Measures pairs of pictures.

    Args:
      x: (n, size, size, 3) uint8.
      y: (n, size, size, 3) uint8.

    Returns:
      (n,) float64 each: "l2" (mean squared error of [-1, 1]), "perceptual" (a
      distance), "ms_ssim" unless `scales` is 0, and "identity" (cosine
      similarity) unless that network is "none".
    """
    full = small = faces = (x, y)
    if self.names["perceptual"] != OWN and self.size > _OFFICIAL_SIZE:
      small = (_resize(x, _OFFICIAL_SIZE), _resize(y, _OFFICIAL_SIZE))
    of_faces = self.names["identity"] not in (OWN, NONE)
    if of_faces and self.size != _OFFICIAL_SIZE:
      faces = (_resize(x, _OFFICIAL_SIZE), _resize(y, _OFFICIAL_SIZE))
    values = self._compare(self._variables, full, small, faces)
    return {key: np.asarray(v, np.float64) for key, v in values.items()}

  def features(self, x: np.ndarray) -> np.ndarray:
    """Computes features for Frechet distances: (n, width) float32."""
    return np.asarray(self._features(self._variables, x))

  def moments(self) -> Moments:
    """Makes empty moments of the width of `features`."""
    module = self._modules[self.names["features"]]
    if isinstance(module, Inception):
      return Moments(64 * module.width)
    assert isinstance(module, Perception)
    return Moments(module.widths[-1])

  def scores(self, x: np.ndarray, output: str) -> np.ndarray:
    """Computes one score of the perception network: (n,) float32.

    Args:
      x: (n, size, size, 3) uint8.
      output: one of `outputs`.
    """
    scores = self._scores(self._variables, x)
    return np.asarray(scores[:, self.outputs.index(output)])

  def _own(self, variables: Variables, x: jax.Array, method: str) -> Any:
    return self._modules[OWN].apply(
        variables[OWN], layers.to_float(x), method=method
    )

  def _score_arrays(self, variables: Variables, x: jax.Array) -> jax.Array:
    return self._own(variables, x, "__call__")[1]

  def _feature_arrays(self, variables: Variables, x: jax.Array) -> Any:
    name = self.names["features"]
    if name == OWN:
      return self._own(variables, x, "pooled")
    return self._modules[name].apply(variables[name], layers.to_float(x))

  def _compare_arrays(
      self, variables: Variables, full: Any, small: Any, faces: Any
  ) -> dict[str, jax.Array]:
    full, small, faces = jax.tree.map(layers.to_float, (full, small, faces))
    values = {
        "l2": losses.l2(*small),
        "perceptual": self._distance(variables, *small),
    }
    if self.scales:
      x, y = ((p + 1) / 2 for p in full)
      values["ms_ssim"] = msssim.ms_ssim(x, y, self.scales)
    if self.names["identity"] != NONE:
      a, b = (self._embed(variables, p) for p in faces)
      values["identity"] = jnp.sum(a * b, -1)
    return values

  def _distance(
      self, variables: Variables, x: jax.Array, y: jax.Array
  ) -> Any:
    name = self.names["perceptual"]
    module = self._modules[name]
    maps = [
        module.apply(variables[name], p, method="features") for p in (x, y)
    ]
    return module.apply(variables[name], *maps, method="compare")

  def _embed(self, variables: Variables, faces: jax.Array) -> Any:
    name = self.names["identity"]
    module = self._modules[name]
    if isinstance(module, irse.ArcFace):
      crop = irse.identity_crop(faces, module.input_size)
      return module.apply(variables[name], crop)
    return module.apply(variables[name], faces, method="embed")


def _first(folder: pathlib.Path, flag: str, known: Sequence[str]) -> str:
  """The first of the known networks that the folder holds."""
  for name in known:
    if name == NONE or (folder / name).is_dir():
      return name
  ways = [f"{name}: {origins.way_to(name)}" for name in known if name != NONE]
  raise UserError(
      f"{weights.shown(folder)} holds no network for --{flag}; name a weight"
      f" folder that has one with --networks, or get one: {'; '.join(ways)}"
  )


def _resize(pictures: np.ndarray, size: int) -> np.ndarray:
  """Resizes by Pillow's bilinear filter, as published numbers are measured."""
  return np.stack([
      np.asarray(
          Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR)
      )
      for p in pictures
  ])
