"""The losses between generated images and their targets."""

import dataclasses
import functools
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax

from sfe_jax.measures import losses
from sfe_jax.models.irse import ArcFace, identity_crop
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.models.resnet import ResNet50, resize_nearest
from sfe_jax.training.state import Frozen, Metrics

_MOCO_SIZE = 224  # height and width of MoCo's input in pixels


@dataclasses.dataclass(frozen=True)
class Objective:
  """Weighted sum of the losses; a loss with weight 0 is not computed.

  Attributes:
    l2: weight of the mean squared error.
    lpips: weight of the perceptual distance.
    identity: weight of the identity loss.
    adversarial: weight of the adversarial loss.
    regulariser: weight of the stage's own regulariser.
    size: height and width in pixels at which images are compared.
    lpips_net: network of the perceptual distance; None computes none.
    identity_net: network of the identity loss: ArcFace for faces, ResNet50
      (MoCo) for other domains, or a Perception trained for the domain; None
      computes none.
  """

  l2: float = 1.0
  lpips: float = 0.8
  identity: float = 0.1
  adversarial: float = 0.01
  regulariser: float = 0.01
  size: int = 256
  lpips_net: LPIPS | Perception | None = None
  identity_net: ArcFace | ResNet50 | Perception | None = None

  def compare(
      self, frozen: Frozen, fakes: jax.Array, targets: jax.Array
  ) -> Metrics:
    """Computes the losses between images and targets.

    Args:
      frozen: variables of the loss networks, "perceptual" and "identity".
      fakes: (m, h, w, 3) in [-1, 1], sets of n.
      targets: (n or m, h, w, 3) in [-1, 1].

    Returns:
      {loss name: (m,)}: "l2", "lpips", "identity".
    """
    m, n = fakes.shape[0], targets.shape[0]
    fakes = losses.reduce_to(fakes, self.size)
    targets = losses.reduce_to(targets, self.size)

    def of_all(x):
      """Repeats features of the n targets for every set of fakes."""
      return jnp.concatenate([x] * (m // n))

    out = {"l2": losses.l2(fakes, of_all(targets))}
    if self.lpips_net is not None and self.lpips:
      net, variables = self.lpips_net, frozen["perceptual"]
      a = net.apply(variables, fakes, method="features")
      b = net.apply(variables, lax.stop_gradient(targets), method="features")
      b = jax.tree.map(of_all, b)
      out["lpips"] = cast(
          jax.Array, net.apply(variables, a, b, method="compare")
      )
    if self.identity_net is not None and self.identity:
      a = self._embed(frozen, fakes)
      b = of_all(self._embed(frozen, lax.stop_gradient(targets)))
      out["identity"] = losses.identity(a, b)
    return out

  def _embed(self, frozen: Frozen, images: jax.Array) -> jax.Array:
    """Embeddings (n, d) of images (n, h, w, 3)."""
    net, variables = self.identity_net, frozen["identity"]
    assert net is not None
    if isinstance(net, Perception):
      found = net.apply(variables, images, method="embed")
    elif isinstance(net, ArcFace):
      found = net.apply(variables, identity_crop(images, net.input_size))
    else:
      found = net.apply(variables, resize_nearest(images, _MOCO_SIZE))
    return cast(jax.Array, found)

  def total(self, values: Metrics) -> jax.Array:
    """Weighted sum of {loss name: array}; absent losses count as zero."""
    terms = [getattr(self, name) * value for name, value in values.items()]
    return functools.reduce(jnp.add, terms)
