"""Samples of StyleGAN2 in training (Karras et al. 2020): latents and images.

Everything random depends on an example's key alone, so a batch gives the same
numbers however it is split over devices.
"""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp

from sfe_jax.models.stylegan2 import Generator


@dataclasses.dataclass(frozen=True)
class GanSampler:
  """Draws latents and images of a generator.

  Attributes:
    generator: the generator G.
    mixing: probability that an image mixes the styles of two latents.
  """

  generator: Generator
  mixing: float

  def fakes(
      self, params: Any, model_state: Any, keys: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Generates images.

    Args:
      params: parameters of the generator.
      model_state: its other variables.
      keys: (n,) random keys.

    Returns:
      Images (n, h, h, 3), and the mean (w_dim,) of the mapped latents.
    """
    for_w, for_noise = split_each(keys)
    w_plus, w_mean = self.latents(params, model_state, for_w)
    return self.synthesize(params, model_state, w_plus, for_noise), w_mean

  def latents(
      self, params: Any, model_state: Any, keys: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Draws latents with style mixing.

    Args:
      params: parameters of the generator.
      model_state: its other variables.
      keys: (n,) random keys.

    Returns:
      w+ (n, styles, w_dim), and the mean (w_dim,) of all mapped latents.
    """
    g = self.generator

    def draw(key):
      z, mixed, row = jax.random.split(key, 3)
      z = jax.random.normal(z, (2, g.w_dim))
      row = jax.random.randint(row, (), 1, g.styles)
      mixed = jax.random.uniform(mixed) < self.mixing
      return z, jnp.where(mixed, row, g.styles)

    z, crossover = jax.vmap(draw)(keys)
    variables = {"params": params, **model_state}
    w = g.apply(variables, z.reshape(-1, g.w_dim), method="mapping")
    w = cast(jax.Array, w).reshape(z.shape)
    first = jnp.arange(g.styles) < crossover[:, None]
    w_plus = jnp.where(first[..., None], w[:, :1], w[:, 1:])
    return w_plus, jnp.mean(w, (0, 1))

  def path_lengths(
      self, params: Any, model_state: Any, w_plus: jax.Array, keys: jax.Array
  ) -> jax.Array:
    """Path lengths |J^T y| (Karras et al. 2020, equation 4).

    J is the Jacobian of the image with respect to w+ and y is normal noise.

    Args:
      params: parameters of the generator.
      model_state: its other variables.
      w_plus: (n, styles, w_dim).
      keys: (n,) random keys.

    Returns:
      (n,), root mean square over the rows of w+.
    """
    size = self.generator.resolution
    for_y, for_noise = split_each(keys)
    y = jax.vmap(lambda key: jax.random.normal(key, (size, size, 3)))(for_y)

    def projected(w_plus):
      images = self.synthesize(params, model_state, w_plus, for_noise)
      return jnp.sum(images * y) / size  # 1 / sqrt(pixels)

    slopes = jax.grad(projected)(w_plus)
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(slopes), -1), -1))

  def synthesize(
      self, params: Any, model_state: Any, w_plus: jax.Array, keys: jax.Array
  ) -> jax.Array:
    """Images (n, h, h, 3) of w+ (n, styles, w_dim), with random noise."""
    variables = {"params": params, **model_state}

    def one(w_plus, key):
      images = self.generator.apply(
          variables,
          w_plus[None],
          random_noise=True,
          rngs={"noise": key},
          method="synthesize",
      )
      return cast(jax.Array, images)[0]

    return jax.vmap(one)(w_plus, keys)


def split_each(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Splits each of n keys into two: (n,), (n,)."""
  pairs = jax.vmap(jax.random.split)(keys)
  return pairs[:, 0], pairs[:, 1]
