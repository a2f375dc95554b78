"""The networks that measure pictures: distance, identity, features, scores.

They come from a weight folder: a domain's own `perception`, or the official
ones.  Pictures are uint8 (n, size, size, 3): what a user would save.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from sfe_jax.errors import UserError
from sfe_jax.measures import losses, msssim
from sfe_jax.measures.frechet import Moments
from sfe_jax.models import irse, layers
from sfe_jax.models.inception import Inception
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.storage import labels, weights

OWN, NONE = "perception", "none"
# The first that a folder holds is taken.
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

  Distances of LPIPS, and L2 beside it, are of pictures reduced to 256 px, and
  ArcFace and CurricularFace see the face's part of 256 px
  (spec/reference.md, section 9); all else sees the pictures as they are.

  Attributes:
    size: of the pictures.
    names: of the networks that measure "perceptual", "identity" and
      "features".
    networks: the names of all that are used.
    scales: of MS-SSIM, as many of the five as the size allows.
    outputs: what `scores` tells, none without a perception network.
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
    """Use `load` unless you hold networks already.

    Args:
      size: of the pictures.
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
    self.outputs = tuple(outputs)
    self._modules = {name: module for name, (module, _) in networks.items()}
    self._variables = {name: tree for name, (_, tree) in networks.items()}
    self._compare = jax.jit(self._compare_arrays)
    self._features = jax.jit(self._feature_arrays)
    self._scores = jax.jit(
        lambda variables, x: self._own(variables, x, "__call__")[1]
    )

  @classmethod
  def load(
      cls,
      folder: str | os.PathLike,
      size: int,
      perceptual: str | None = None,
      identity: str | None = None,
      features: str | None = None,
  ) -> "Judge":
    """Reads the networks; what is not named is what the folder holds.

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
    outputs = []
    if (folder / OWN).is_dir():
      wanted.add(OWN)
      outputs = labels.outputs(weights.label_schema(folder / OWN))
    networks = {
        name: weights.read(folder / name, _EXPECTED[name])
        for name in sorted(wanted)
    }
    return cls(size, networks, outputs=outputs, **names)

  def compare(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of pairs, (n,) float64 each.

    Returns:
      l2 (mean squared error of [-1, 1]), perceptual (a distance), ms_ssim
      where the pictures have the 11 px it needs, and identity (a cosine)
      unless that is "none".
    """
    full = (x, y)
    small = faces = full
    if self.names["perceptual"] != OWN and self.size > _OFFICIAL_SIZE:
      small = tuple(_resize(p, _OFFICIAL_SIZE) for p in full)
    if self.names["identity"] != OWN and self.size != _OFFICIAL_SIZE:
      faces = tuple(_resize(p, _OFFICIAL_SIZE) for p in full)
    values = self._compare(self._variables, full, small, faces)
    return {key: np.asarray(v, np.float64) for key, v in values.items()}

  def features(self, x: np.ndarray) -> np.ndarray:
    """Features for Frechet distances: (n, width) float32."""
    return np.asarray(self._features(self._variables, x))

  def moments(self) -> Moments:
    """Empty, for what `features` gives."""
    module = self._modules[self.names["features"]]
    if isinstance(module, Inception):
      return Moments(64 * module.width)
    return Moments(module.widths[-1])

  def scores(self, x: np.ndarray, output: str) -> np.ndarray:
    """One score of the perception network, see `outputs`: (n,) float32."""
    scores = self._scores(self._variables, x)
    return np.asarray(scores[:, self.outputs.index(output)])

  def _own(self, variables, x, method: str):
    return self._modules[OWN].apply(
        variables[OWN], layers.to_float(x), method=method
    )

  def _compare_arrays(self, variables, full, small, faces):
    full, small, faces = jax.tree.map(layers.to_float, (full, small, faces))
    name, identity = self.names["perceptual"], self.names["identity"]
    module = self._modules[name]
    maps = [
        module.apply(variables[name], p, method="features") for p in small
    ]
    values = {
        "l2": losses.l2(*small),
        "perceptual": module.apply(variables[name], *maps, method="compare"),
    }
    if self.scales:
      x, y = ((p + 1) / 2 for p in full)
      values["ms_ssim"] = msssim.ms_ssim(x, y, self.scales)
    if identity != NONE:
      a, b = (self._embed(variables[identity], p) for p in faces)
      values["identity"] = jnp.sum(a * b, -1)
    return values

  def _embed(self, variables, faces):
    module = self._modules[self.names["identity"]]
    if isinstance(module, Perception):
      return module.apply(variables, faces, method="embed")
    return module.apply(variables, irse.identity_crop(faces, module.input_size))

  def _feature_arrays(self, variables, x):
    name = self.names["features"]
    if name == OWN:
      return self._own(variables, x, "pooled")
    return self._modules[name].apply(variables[name], layers.to_float(x))


def _first(folder: pathlib.Path, what: str, known: Sequence[str]) -> str:
  for name in known:
    if name == NONE or (folder / name).is_dir():
      return name
  raise UserError(
      f"{weights.shown(folder)} holds no network for --{what}, one of"
      f" {', '.join(known)}; name a weight folder that does with --networks,"
      " train perception (configs/toy_perception.py) or convert an official"
      " file"
  )


def _resize(pictures: np.ndarray, size: int) -> np.ndarray:
  """As published numbers are measured: Pillow's bilinear filter."""
  return np.stack([
      np.asarray(
          Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR)
      )
      for p in pictures
  ])
