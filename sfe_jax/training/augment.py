"""Random augmentation of images, and ADA's adaptive probability.

Adaptive discriminator augmentation (ADA, Karras et al. 2020, "Training
generative adversarial networks with limited data"): the discriminator sees real
and generated images only after these changes, each applied to an image with
probability p.  p grows while the discriminator is too confident on real images,
which keeps it from memorising a small data set.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import ndimage
from jax.typing import ArrayLike

_GREY = np.full(3, 3**-0.5, np.float32)  # unit vector of the grey axis


@dataclasses.dataclass(frozen=True)
class Amounts:
  """Size of every change; the defaults are those of ADA.

  Attributes:
    flip: mirror left to right with probability 1/2.
    shift: largest translation as a share of the image's side.
    angle: largest rotation in radians.
    scale: standard deviation of log2 of the scale factor.
    brightness: standard deviation of the offset added to all channels.
    contrast: standard deviation of log2 of the contrast factor.
    saturation: standard deviation of log2 of the saturation factor.
    hue: largest rotation around the grey axis in radians.
  """

  flip: bool = True
  shift: float = 0.125
  angle: float = np.pi
  scale: float = 0.2
  brightness: float = 0.2
  contrast: float = 0.5
  saturation: float = 1.0
  hue: float = np.pi


ADA = Amounts()


def augment(
    images: jax.Array,
    p: ArrayLike,
    keys: jax.Array,
    amounts: Amounts = ADA,
) -> jax.Array:
  """Changes geometry and colours of each image at random, differentiably.

  Args:
    images: (n, h, h, 3) in [-1, 1].
    p: () probability of each change, in [0, 1].
    keys: (n,) random keys.
    amounts: sizes of the changes.

  Returns:
    (n, h, h, 3); exactly `images` if p is 0.
  """

  def one(image, key):
    place, colours = jax.random.split(key)
    size = image.shape[0]
    moved = _sample(image, _geometry(place, p, size, amounts))
    matrix, offset = _colours(colours, p, amounts)
    return jnp.matmul(moved, matrix, precision="highest") + offset

  return jax.vmap(one)(images, keys)


def adapt(
    p: jax.Array, signs: jax.Array, target: float, change: float
) -> jax.Array:
  """Moves p towards the target of ADA's overfitting measure r_t.

  Args:
    p: () probability now.
    signs: () mean of sign(D(real)), ADA's r_t.
    target: wanted value of `signs`.
    change: step of p: batch size / number of images in which p may go from 0
      to 1.

  Returns:
    () the next probability, in [0, 1].
  """
  return jnp.clip(p + change * jnp.sign(signs - target), 0.0, 1.0)


def _chosen(
    key: jax.Array, p: ArrayLike, value: ArrayLike, otherwise: ArrayLike
) -> jax.Array:
  """`value` with probability p, else `otherwise`."""
  return jnp.where(jax.random.uniform(key) < p, value, otherwise)


def _geometry(
    key: jax.Array, p: ArrayLike, size: int, amounts: Amounts
) -> jax.Array:
  """Random matrix A (2, 3): pixel (y, x) is sampled at A @ (y, x, 1).

  Coordinates are pixels from the image's centre.
  """
  keys = jax.random.split(key, 8)
  flip = jnp.ones(())
  if amounts.flip:
    sign = jnp.sign(jax.random.uniform(keys[1]) - 0.5)
    flip = _chosen(keys[0], p, sign, 1.0)
  limit = int(size * amounts.shift)
  shift = jax.random.randint(keys[3], (2,), -limit, limit + 1)
  shift = _chosen(keys[2], p, shift.astype(jnp.float32), jnp.zeros(2))
  angle = amounts.angle * jax.random.uniform(keys[5], minval=-1.0)
  angle = _chosen(keys[4], p, angle, 0.0)
  scale = jnp.exp2(amounts.scale * jax.random.normal(keys[7]))
  scale = _chosen(keys[6], p, scale, 1.0)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  rotation = jnp.array([[cos, -sin * flip], [sin, cos * flip]]) * scale
  return jnp.concatenate([rotation, shift[:, None]], 1)


def _sample(image: jax.Array, matrix: jax.Array) -> jax.Array:
  """Bilinear samples of an image (h, h, c), mirrored at its borders.

  The border pixels are not repeated.

  Args:
    image: (h, h, c).
    matrix: (2, 3), see `_geometry`.

  Returns:
    (h, h, c); exactly `image` for the identity matrix.
  """
  size = image.shape[0]
  axis = jnp.arange(size) - (size - 1) / 2
  y, x = jnp.meshgrid(axis, axis, indexing="ij")
  # Sums of single products: exact if nothing moves.
  where = [
      row[0] * y + row[1] * x + row[2] + (size - 1) / 2 for row in matrix
  ]

  def channel(plane: jax.Array) -> jax.Array:
    return ndimage.map_coordinates(plane, where, order=1, mode="mirror")

  return jax.vmap(channel, 2, 2)(image)


def _colours(
    key: jax.Array, p: ArrayLike, amounts: Amounts = ADA
) -> tuple[jax.Array, jax.Array]:
  """Random matrix (3, 3) and offset (): rgb becomes rgb @ matrix + offset."""
  keys = jax.random.split(key, 8)
  offset = amounts.brightness * jax.random.normal(keys[1])
  offset = _chosen(keys[0], p, offset, 0.0)
  contrast = jnp.exp2(amounts.contrast * jax.random.normal(keys[3]))
  contrast = _chosen(keys[2], p, contrast, 1.0)
  saturation = jnp.exp2(amounts.saturation * jax.random.normal(keys[5]))
  saturation = _chosen(keys[4], p, saturation, 1.0)
  hue = amounts.hue * jax.random.uniform(keys[7], minval=-1.0)
  hue = _chosen(keys[6], p, hue, 0.0)
  grey = jnp.asarray(np.outer(_GREY, _GREY))
  a, b, c = _GREY
  cross = jnp.array([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])
  # Rodrigues' rotation around the grey axis, then saturation and contrast.
  cos, sin = jnp.cos(hue), jnp.sin(hue)
  turned = jnp.eye(3) * cos + grey * (1.0 - cos) + cross * sin
  matrix = contrast * (saturation * turned + (1.0 - saturation) * grey)
  return matrix, offset
