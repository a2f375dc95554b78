"""The latent discriminator in the training of e4e (Tov et al. 2021)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers


class LatentDiscriminator(nn.Module):
  """Distinguishes w = mapping(z) from rows of w+ that an encoder predicts.

  Attributes:
    w_dim: length of a latent.
    widths: features of the hidden layers.
  """

  w_dim: int
  widths: tuple[int, ...] = (512, 512, 512, 512)

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    return (jax.ShapeDtypeStruct((1, self.w_dim), jnp.float32),)

  @nn.compact
  def __call__(self, w: jax.Array, parts: int = 1) -> jax.Array:
    """Maps latents (n, w_dim) to logits (n,), high for mapping(z).

    `parts` has no effect; it exists because `Discriminator` has it.
    """
    del parts
    for i, width in enumerate(self.widths):
      w = layers.leaky_relu(nn.Dense(width, name=f"fc{i}")(w))
    return nn.Dense(1, name="out")(w)[:, 0]
