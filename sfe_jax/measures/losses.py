"""Training losses: pure functions, one value per example (spec section 7).

Images are NHWC in [-1, 1].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

R1_EVERY = 16


def reduce_to(images: jax.Array, size: int) -> jax.Array:
  """Box mean of (n, h, w, c) to (n, size, size, c); smaller images stay.

  Image losses are computed at 256 px; 1024 px are averaged over 4x4.

  Raises:
    ValueError: h is no multiple of `size`.
  """
  n, h, w, c = images.shape
  if h <= size:
    return images
  if h != w or h % size:
    raise ValueError(f"cannot box-average {h}x{w} to {size}x{size}")
  factor = h // size
  blocks = images.reshape(n, size, factor, size, factor, c)
  return jnp.mean(blocks, (2, 4))


def l2(a: jax.Array, b: jax.Array) -> jax.Array:
  """Mean squared error: (n,)."""
  return jnp.mean(jnp.square(a - b), (1, 2, 3))


def identity(a: jax.Array, b: jax.Array) -> jax.Array:
  """1 - cosine of unit embeddings (n, d); the target `b` is detached."""
  return 1.0 - jnp.sum(a * jax.lax.stop_gradient(b), -1)


def adversarial(fake_logits: jax.Array) -> jax.Array:
  """Non-saturating loss of the encoder: (n,)."""
  return jax.nn.softplus(-fake_logits)


def discriminator(
    real_logits: jax.Array, fake_logits: jax.Array
) -> jax.Array:
  """Logistic loss of D, real and fake parts averaged: ()."""
  real = jnp.mean(jax.nn.softplus(-real_logits))
  fake = jnp.mean(jax.nn.softplus(fake_logits))
  return 0.5 * (real + fake)


def r1(
    logits: Callable[[jax.Array], jax.Array], reals: jax.Array
) -> jax.Array:
  """Squared norm of d sum(logits) / d real, for each of n reals: (n,)."""
  gradient = jax.grad(lambda x: jnp.sum(logits(x)))(reals)
  return jnp.sum(jnp.square(gradient), tuple(range(1, reals.ndim)))


def feature_norm(f_k: jax.Array) -> jax.Array:
  """The paper's regulariser, ||F_k||_2 (section 3.3): (n,)."""
  squares = jnp.sum(jnp.square(f_k.astype(jnp.float32)), (1, 2, 3))
  # The root's gradient is infinite at zero.
  return jnp.sqrt(squares + 1e-12)


def feature_difference(f_k: jax.Array, f_w: jax.Array) -> jax.Array:
  """The release's regulariser, mean square of F_k - F_w: (n,)."""
  difference = f_k.astype(jnp.float32) - f_w.astype(jnp.float32)
  return jnp.mean(jnp.square(difference), (1, 2, 3))


def row_distance(w_plus: jax.Array) -> jax.Array:
  """e4e's delta regulariser, the sum of ||w_i - w_0||_2 over rows: (n,)."""
  squares = jnp.sum(jnp.square(w_plus[:, 1:] - w_plus[:, :1]), -1)
  # The root's gradient is infinite at zero.
  return jnp.sum(jnp.sqrt(squares + 1e-12), -1)
