"""The paper's equations 1-7, one pure function each.

`models` (modules, static) and `weights` (their variables, a pytree argument)
come from `sfe_jax.architecture`.  Images are NHWC float32 in [-1, 1].
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from sfe_jax.architecture import Models, Weights
from sfe_jax.models import layers
from sfe_jax.models.e4e import E4E
from sfe_jax.models.stylegan2 import Styles


@flax.struct.dataclass
class Edit:
  """An edit as arrays, the only form in which it reaches jitted code.

  Attributes:
    w_offset: (n, styles, w_dim), added to w+ latents.
    style_offset: (n, sum of convolution input widths), added to the style
      vectors of the generator's convolutions, in layer order (StyleSpace).
  """

  w_offset: jax.Array
  style_offset: jax.Array


@flax.struct.dataclass
class Inversion:
  """All an edit needs and nothing an edit changes.

  Attributes:
    w: (n, styles, w_dim), the Inverter's latents, equation 3.
    f_k: (n, h, w, c), the Inverter's features, equation 3.
    skip: (n, h, w, 3), RGB sum of the generator below F_k for `w`.
    w_e: (n, styles, w_dim), latents of the editing encoder E.
    f_e: (n, h', w', c'), generator features of `w_e` where Delta is taken.
  """

  w: jax.Array
  f_k: jax.Array
  skip: jax.Array
  w_e: jax.Array
  f_e: jax.Array


@flax.struct.dataclass
class Edited:
  """An edited image and what made it.

  Attributes:
    image: (n, resolution, resolution, 3), about [-1, 1].
    w: edited latents w'.
    f_k: edited features F_k'.
    delta: what the Feature Editor was told, equation 5.
  """

  image: jax.Array
  w: jax.Array
  f_k: jax.Array
  delta: jax.Array


@flax.struct.dataclass
class Inverted:
  """What the Inverter makes of an image, with what made it.

  Attributes:
    w: (n, styles, w_dim).
    f_k: (n, h, w, c), its features.
    f_w: (n, h, w, c), the generator's features of `w` at the same layer.
    skip: (n, h, w, 3), RGB sum of the generator below them.
    styles: the generator's style vectors of `w`.
  """

  w: jax.Array
  f_k: jax.Array
  f_w: jax.Array
  skip: jax.Array
  styles: Styles


def styles_of(
    models: Models,
    weights: Weights,
    w_plus: jax.Array,
    style_offset: jax.Array | None = None,
) -> Styles:
  """The generator's style vectors of w+ (n, styles, w_dim)."""
  return models.generator.apply(
      weights.generator, w_plus, style_offset, method="affine"
  )


def _lower(
    models: Models, weights: Weights, styles: Styles
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """One lower pass for n latents of the Inverter followed by n of E.

  Returns:
    F_k and the RGB sum of the first n, features for Delta of the last n.
  """
  half = models.generator.apply(
      weights.generator, styles, models.k, method="lower"
  )
  f_k, skip = half.features[models.k], half.skip
  n = f_k.shape[0] // 2
  f_e = f_k[n:]
  if models.delta_k > models.k:
    f_e = models.generator.apply(
        weights.generator,
        jax.tree.map(lambda s: s[n:], styles),
        f_e,
        models.k,
        models.delta_k,
        method="between",
    )
  return f_k[:n], skip[:n], f_e


def decode(
    models: Models,
    weights: Weights,
    styles: Styles,
    f_k: jax.Array,
    skip: jax.Array,
) -> jax.Array:
  """Equation 4: images (n, resolution, resolution, 3) from F_k and above."""
  return models.generator.apply(
      weights.generator, styles, f_k, skip, models.k, method="upper"
  )


def _feature_editor(models, weights, f_k, delta) -> jax.Array:
  if models.feature_editor is None:
    return f_k
  return models.feature_editor.apply(weights.feature_editor, f_k, delta)


def run_inverter(
    models: Models, weights: Weights, images: jax.Array, train: bool = False
) -> tuple[Inverted, dict]:
  """Equations 1-3 on images of the encoders' size.

  Returns:
    What the Inverter makes of them, and in training its new batch statistics.
  """

  def forward(inverter, images):
    w, f_pred = inverter.encode(images, train)
    styles = styles_of(models, weights, w)
    half = models.generator.apply(
        weights.generator, styles, models.k, method="lower"
    )
    f_w = half.features[models.k]
    f_k = inverter.fuse(f_pred, f_w, train)
    return Inverted(w, f_k, f_w, half.skip, styles)

  return models.inverter.apply(
      weights.inverter,
      images,
      method=forward,
      mutable=["batch_stats"] if train else [],
  )


def encode(e4e: E4E, variables: Any, images: jax.Array) -> jax.Array:
  """What E alone makes of images (n, h, w, 3): w+ (n, styles, w_dim)."""
  images = layers.resize_bilinear(images, e4e.input_size)
  return e4e.apply(variables, images)


def invert(models: Models, weights: Weights, images: jax.Array) -> Inversion:
  """Equations 1-3, and the editing encoder's view of the same image.

  Args:
    models: networks.
    weights: their variables.
    images: (n, h, w, 3); resized to the encoders' input without antialiasing,
      as the encoders were trained.
  """
  images = layers.resize_bilinear(images, models.inverter.input_size)
  w, f_pred = models.inverter.apply(weights.inverter, images, method="encode")
  w_e = w
  if models.e4e is not None:
    w_e = models.e4e.apply(weights.e4e, images)
  styles = styles_of(models, weights, jnp.concatenate([w, w_e]))
  f_w, skip, f_e = _lower(models, weights, styles)
  f_k = models.inverter.apply(weights.inverter, f_pred, f_w, method="fuse")
  return Inversion(w, f_k, skip, w_e, f_e)


def reconstruct(
    models: Models, weights: Weights, inversion: Inversion
) -> jax.Array:
  """The inversion: equations 6 and 7 with Delta = 0 and w' = w."""
  delta = jnp.zeros_like(inversion.f_e)
  f_k = _feature_editor(models, weights, inversion.f_k, delta)
  styles = styles_of(models, weights, inversion.w)
  return decode(models, weights, styles, f_k, inversion.skip)


def edit(
    models: Models,
    weights: Weights,
    inversion: Inversion,
    edit_w: Edit,
    edit_e: Edit,
    background: jax.Array | None = None,
) -> Edited:
  """Equations 5-7.

  Args:
    models: networks.
    weights: their variables.
    inversion: of n images.
    edit_w: the edit of the Inverter's latents.
    edit_e: the same edit of E's latents (families such as GANSpace depend on
      the latent they edit).
    background: (n, h, w) in [0, 1], 1 where the image must not change; Delta
      is multiplied by 1 - background (section 9).
  """
  w = inversion.w + edit_w.w_offset
  w_e = inversion.w_e + edit_e.w_offset
  n = w.shape[0]
  styles = styles_of(
      models,
      weights,
      jnp.concatenate([w, w_e]),
      jnp.concatenate([edit_w.style_offset, edit_e.style_offset]),
  )
  _, skip, f_e = _lower(models, weights, styles)
  delta = inversion.f_e - f_e
  if background is not None:
    size = delta.shape[1]
    keep = layers.resize_bilinear(background[..., None], size)
    delta = delta * (1.0 - keep).astype(delta.dtype)
  f_k = _feature_editor(models, weights, inversion.f_k, delta)
  styles_w = jax.tree.map(lambda s: s[:n], styles)
  image = decode(models, weights, styles_w, f_k, skip)
  return Edited(image, w, f_k, delta)
