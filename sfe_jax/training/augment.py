"""Random changes of images, adaptive ones among them (ADA, Karras et al. 2020).

ADA's discriminator sees real and made pictures only through these changes, each
applied to an image with probability p.  p grows while the discriminator is too
sure of the real pictures, so that it cannot learn a small set by heart.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

_GREY = np.full(3, 3**-0.5, np.float32)  # axis of the colours without hue


@dataclasses.dataclass(frozen=True)
class Strength:
  """How far an image is changed; the defaults are ADA's.

  Attributes:
    flip: images are mirrored.
    shift: largest translation, of the image's side.
    angle: largest rotation in radians.
    scale: standard deviation of log2 of the scale.
    brightness: standard deviation.
    contrast: standard deviation of log2.
    saturation: standard deviation of log2.
    hue: largest rotation of the colours in radians.
  """

  flip: bool = True
  shift: float = 0.125
  angle: float = np.pi
  scale: float = 0.2
  brightness: float = 0.2
  contrast: float = 0.5
  saturation: float = 1.0
  hue: float = np.pi


ADA = Strength()


def augment(
    images: jax.Array,
    p: jax.Array,
    keys: jax.Array,
    strength: Strength = ADA,
) -> jax.Array:
  """Changes geometry and colours of each image at random, differentiably.

  Args:
    images: (n, h, h, 3) in [-1, 1].
    p: () probability of each change.
    keys: (n,) random keys.
    strength: of the changes.

  Returns:
    (n, h, h, 3); the very same images where p is 0.
  """

  def one(image, key):
    place, colours = jax.random.split(key)
    size = image.shape[0]
    moved = _sample(image, _geometry(place, p, size, strength))
    matrix, offset = _colours(colours, p, strength)
    return jnp.matmul(moved, matrix, precision="highest") + offset

  return jax.vmap(one)(images, keys)


def adapt(
    p: jax.Array, signs: jax.Array, target: float, change: float
) -> jax.Array:
  """The next p: `change` up or down, within [0, 1].

  Args:
    p: () now.
    signs: () mean of sign D(real), which ADA calls r_t.
    target: of `signs`.
    change: batch size / images in which p may go from 0 to 1.
  """
  return jnp.clip(p + change * jnp.sign(signs - target), 0.0, 1.0)


def _chosen(key: jax.Array, p: jax.Array, value, otherwise) -> jax.Array:
  return jnp.where(jax.random.uniform(key) < p, value, otherwise)


def _geometry(
    key: jax.Array, p: jax.Array, size: int, strength: Strength
) -> jax.Array:
  """(2, 3): where a pixel, from the centre, comes from: A @ (y, x, 1)."""
  keys = jax.random.split(key, 8)
  flip = jnp.sign(jax.random.uniform(keys[1]) - 0.5)
  flip = _chosen(keys[0], p, flip, 1.0) if strength.flip else 1.0
  limit = int(size * strength.shift)
  shift = jax.random.randint(keys[3], (2,), -limit, limit + 1)
  shift = _chosen(keys[2], p, shift.astype(jnp.float32), jnp.zeros(2))
  angle = strength.angle * jax.random.uniform(keys[5], minval=-1.0)
  angle = _chosen(keys[4], p, angle, 0.0)
  scale = jnp.exp2(strength.scale * jax.random.normal(keys[7]))
  scale = _chosen(keys[6], p, scale, 1.0)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  rotation = jnp.array([[cos, -sin * flip], [sin, cos * flip]]) * scale
  return jnp.concatenate([rotation, shift[:, None]], 1)


def _sample(image: jax.Array, matrix: jax.Array) -> jax.Array:
  """Bilinear samples of (h, h, c); the image is mirrored at its borders."""
  size = image.shape[0]
  axis = jnp.arange(size) - (size - 1) / 2
  y, x = jnp.meshgrid(axis, axis, indexing="ij")
  # Sums of single products: exact where nothing moves.
  where = [
      row[0] * y + row[1] * x + row[2] + (size - 1) / 2 for row in matrix
  ]
  below = [jnp.floor(u) for u in where]
  out = 0.0
  for dy in (0, 1):
    for dx in (0, 1):
      index, weight = [], 1.0
      for u, low, d in zip(where, below, (dy, dx)):
        weight *= (u - low) if d else 1.0 - (u - low)
        index.append(_mirror(low.astype(jnp.int32) + d, size))
      out += weight[..., None] * image[index[0], index[1]]
  return out


def _mirror(index: jax.Array, size: int) -> jax.Array:
  """Indices beyond 0 .. size - 1 run back; the border is not repeated."""
  period = 2 * size - 2
  index = jnp.mod(index, period)
  return jnp.minimum(index, period - index)


def _colours(
    key: jax.Array, p: jax.Array, strength: Strength = ADA
) -> tuple[jax.Array, jax.Array]:
  """((3, 3), ()): colours become colours @ matrix + offset."""
  keys = jax.random.split(key, 8)
  offset = strength.brightness * jax.random.normal(keys[1])
  offset = _chosen(keys[0], p, offset, 0.0)
  contrast = jnp.exp2(strength.contrast * jax.random.normal(keys[3]))
  contrast = _chosen(keys[2], p, contrast, 1.0)
  saturation = jnp.exp2(strength.saturation * jax.random.normal(keys[5]))
  saturation = _chosen(keys[4], p, saturation, 1.0)
  hue = strength.hue * jax.random.uniform(keys[7], minval=-1.0)
  hue = _chosen(keys[6], p, hue, 0.0)
  grey = jnp.outer(_GREY, _GREY)
  a, b, c = _GREY
  cross = jnp.array([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])
  # Rodrigues: I cos + grey (1 - cos) + cross sin, saturation around grey.
  cos, sin = jnp.cos(hue), jnp.sin(hue)
  turned = jnp.eye(3) * cos + grey * (1.0 - cos) + cross * sin
  matrix = contrast * (saturation * turned + (1.0 - saturation) * grey)
  return matrix, offset
