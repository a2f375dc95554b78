"""Training losses: pure functions, one value per example.

The paper's equations 8-12 are weighted sums of these terms.  Images are NHWC
float32 in [-1, 1].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

R1_EVERY = 16  # steps between lazy regularisations, as in StyleGAN2


def reduce_to(images: jax.Array, size: int) -> jax.Array:
  """Averages blocks of pixels of images larger than `size`.

  Image losses are computed at 256 px; images of 1024 px are averaged over 4x4
  pixels.

  Args:
    images: (n, h, w, c).
    size: height and width to reduce to.

  Returns:
    (n, size, size, c); images that are not larger are returned as they are.

  Raises:
    ValueError: the images are not square, or h is not a multiple of `size`.
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
  """Mean squared error of (n, h, w, c) images: (n,). L_2 of equation 8."""
  return jnp.mean(jnp.square(a - b), (1, 2, 3))


def identity(a: jax.Array, b: jax.Array) -> jax.Array:
  """1 - cosine similarity: (n,). L_id of equation 8.

  Args:
    a: (n, d) unit embeddings.
    b: (n, d) unit embeddings of the targets; no gradient flows into them.
  """
  return 1.0 - jnp.sum(a * jax.lax.stop_gradient(b), -1)


def adversarial(fake_logits: jax.Array) -> jax.Array:
  """Non-saturating loss (Goodfellow et al. 2014). L_adv of equation 8.

  Args:
    fake_logits: (n,), discriminator logits of generated images.

  Returns:
    (n,).
  """
  return jax.nn.softplus(-fake_logits)


def discriminator(
    real_logits: jax.Array, fake_logits: jax.Array
) -> jax.Array:
  """Logistic loss of the discriminator (Goodfellow et al. 2014).

  Args:
    real_logits: (n,), discriminator logits of real images.
    fake_logits: (m,), discriminator logits of generated images.

  Returns:
    (), half the sum of the mean losses of real and of generated images.
  """
  real = jnp.mean(jax.nn.softplus(-real_logits))
  fake = jnp.mean(jax.nn.softplus(fake_logits))
  return 0.5 * (real + fake)


def r1(
    logits: Callable[[jax.Array], jax.Array], reals: jax.Array
) -> jax.Array:
  """R1 penalty (Mescheder et al. 2018) without its weight.

  Args:
    logits: the discriminator as a function of images.
    reals: (n, ...) real images, or rows of w+.

  Returns:
    (n,), squared norm of the gradient of the summed logits by each real image.
  """
  gradient = jax.grad(lambda x: jnp.sum(logits(x)))(reals)
  return jnp.sum(jnp.square(gradient), tuple(range(1, reals.ndim)))


def feature_norm(f_k: jax.Array) -> jax.Array:
  """The paper's regulariser L_reg = ||F_k||_2 (section 3.3, equation 9).

  Args:
    f_k: (n, h, w, c).

  Returns:
    (n,) float32.
  """
  squares = jnp.sum(jnp.square(f_k.astype(jnp.float32)), (1, 2, 3))
  return jnp.sqrt(squares + 1e-12)  # the gradient of sqrt is infinite at 0


def feature_difference(f_k: jax.Array, f_w: jax.Array) -> jax.Array:
  """The official code's regulariser: mean square of F_k - F_w.

  docs/numerics.md says where the official code differs from the paper.

  Args:
    f_k: (n, h, w, c), features predicted by the Inverter.
    f_w: (n, h, w, c), features of the generator for the predicted w.

  Returns:
    (n,) float32.
  """
  difference = f_k.astype(jnp.float32) - f_w.astype(jnp.float32)
  return jnp.mean(jnp.square(difference), (1, 2, 3))


def row_distance(w_plus: jax.Array) -> jax.Array:
  """e4e's delta regulariser (Tov et al. 2021): sum of ||w_i - w_0||_2.

  Args:
    w_plus: (n, styles, w_dim).

  Returns:
    (n,).
  """
  squares = jnp.sum(jnp.square(w_plus[:, 1:] - w_plus[:, :1]), -1)
  # The gradient of sqrt is infinite at 0.
  return jnp.sum(jnp.sqrt(squares + 1e-12), -1)
