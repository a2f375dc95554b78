"""The discriminator of latents that e4e is trained against."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers


class LatentDiscriminator(nn.Module):
  """Tells mapped z from rows of an encoder's w+ (Tov et al. 2021).

  Attributes:
    w_dim: width of a latent.
    widths: of the hidden layers.
  """

  w_dim: int
  widths: tuple[int, ...] = (512, 512, 512, 512)

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """One latent."""
    return (jax.ShapeDtypeStruct((1, self.w_dim), jnp.float32),)

  @nn.compact
  def __call__(self, w: jax.Array, parts: int = 1) -> jax.Array:
    """(n, w_dim) -> logits (n,), high for mapped z.

    `parts` is of no account, unlike `Discriminator`'s: no latent's logit
    depends on the others.
    """
    del parts
    for i, width in enumerate(self.widths):
      w = layers.leaky_relu(nn.Dense(width, name=f"fc{i}")(w))
    return nn.Dense(1, name="out")(w)[:, 0]
