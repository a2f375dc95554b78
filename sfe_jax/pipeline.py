"""Equations 1-7 of the paper, one pure function each.

Every caller uses these functions: the `Editor`, the evaluation methods, and the
training of e4e, phase 1 and phase 2.

`models` are the modules (static, see `architecture.Models`).  `variables` is
one pytree argument: a dict from network name ("generator", "inverter",
"feature_editor", "e4e") to that network's Flax variables.  Images are NHWC
float32 in [-1, 1].
"""

from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp

from sfe_jax.architecture import Models, Variables
from sfe_jax.models import layers
from sfe_jax.models.e4e import E4E
from sfe_jax.models.stylegan2 import Styles


@flax.struct.dataclass
class Edit:
  """An edit as arrays; edits enter jitted code in this form only.

  Attributes:
    w_offset: (n, styles, w_dim), added to w+ latents.
    style_offset: (n, sum of convolution input widths), added to the style
      vectors of the generator's convolutions, in layer order (StyleSpace).
  """

  w_offset: jax.Array
  style_offset: jax.Array


@flax.struct.dataclass
class Inversion:
  """The inversion of n images: the input of every edit.

  `Editor.reconstruct` turns it into images.

  Attributes:
    w: (n, styles, w_dim), latents predicted by the Inverter (equation 1).
    f_k: (n, h, w, c), features predicted by the Inverter (equation 3).
    skip: (n, h, w, 3), RGB output of the generator below layer k for `w`.
    w_e: (n, styles, w_dim), latents predicted by the editing encoder E.
    f_e: (n, h', w', c'), generator features of `w_e` at layer delta_k.
  """

  w: jax.Array
  f_k: jax.Array
  skip: jax.Array
  w_e: jax.Array
  f_e: jax.Array


@flax.struct.dataclass
class Edited:
  """An edited image and the quantities it was made from.

  Attributes:
    image: (n, resolution, resolution, 3), about [-1, 1].
    w: (n, styles, w_dim), edited latents w'.
    f_k: (n, h, w, c), edited features F_k' (equation 6).
    delta: (n, h', w', c'), the input of the Feature Editor (equation 5).
  """

  image: jax.Array
  w: jax.Array
  f_k: jax.Array
  delta: jax.Array


@flax.struct.dataclass
class Inverted:
  """Output of the Inverter with the generator features it was fused with.

  Attributes:
    w: (n, styles, w_dim), latents (equation 1).
    f_k: (n, h, w, c), fused features (equation 3).
    f_w: (n, h, w, c), generator features of `w` at layer k (equation 2).
    skip: (n, h, w, 3), RGB output of the generator below layer k.
    styles: style vectors of `w`.
    f_e: (n, h', w', c'), generator features at layer delta_k of the latents
      `w_e`, or of `w` itself if no `w_e` was given.
  """

  w: jax.Array
  f_k: jax.Array
  f_w: jax.Array
  skip: jax.Array
  styles: Styles
  f_e: jax.Array


@flax.struct.dataclass
class Lower:
  """Output of the generator's layers below F_k.

  Attributes:
    styles: style vectors of all layers.
    f_k: (n, h, w, c), features at layer k.
    skip: (n, h, w, 3), RGB output so far.
  """

  styles: Styles
  f_k: jax.Array
  skip: jax.Array


def styles_of(
    models: Models,
    variables: Variables,
    w_plus: jax.Array,
    style_offset: jax.Array | None = None,
) -> Styles:
  """The generator's style vectors of w+ (n, styles, w_dim)."""
  styles = models.generator.apply(
      variables["generator"], w_plus, style_offset, method="affine"
  )
  return cast(Styles, styles)


def lower(
    models: Models,
    variables: Variables,
    w_plus: jax.Array,
    style_offset: jax.Array | None = None,
) -> Lower:
  """Equation 2: the generator from its constant up to layer k.

  Args:
    models: networks.
    variables: their variables.
    w_plus: (n, styles, w_dim).
    style_offset: (n, sum of convolution input widths), see `Edit`.
  """
  styles = styles_of(models, variables, w_plus, style_offset)
  half: Any = models.generator.apply(
      variables["generator"], styles, models.k, method="lower"
  )
  return Lower(styles, half.features[models.k], half.skip)


def delta_features(
    models: Models, variables: Variables, at_k: Lower
) -> jax.Array:
  """Generator features (n, h', w', c') at layer delta_k, from those at k."""
  if models.delta_k == models.k:
    return at_k.f_k
  features = models.generator.apply(
      variables["generator"],
      at_k.styles,
      at_k.f_k,
      models.k,
      models.delta_k,
      method="between",
  )
  return cast(jax.Array, features)


def encode(
    e4e: E4E, variables: Any, images: jax.Array, train: bool = False
) -> tuple[jax.Array, dict[str, Any]]:
  """Predicts latents with the editing encoder E.

  Args:
    e4e: the encoder.
    variables: the Flax variables of this encoder, not the dict of all networks.
    images: (n, h, w, 3), resized to the encoder's input without antialiasing.
    train: use batch statistics and return the updated running ones.

  Returns:
    w+ latents (n, styles, w_dim), and {"batch_stats": ...} if `train`, else {}.
  """
  images = layers.resize_bilinear(images, e4e.input_size)
  found = e4e.apply(
      variables, images, train, mutable=["batch_stats"] if train else []
  )
  return cast(tuple[jax.Array, dict[str, Any]], found)


def editing_latents(
    models: Models, variables: Variables, images: jax.Array
) -> jax.Array:
  """The latents that synthetic pairs and Delta are made from.

  Args:
    models: networks; without `e4e`, the Inverter's w (equation 1) takes the
      place of E's latents.
    variables: their variables.
    images: (n, h, w, 3), resized to the encoder's input without antialiasing.

  Returns:
    w+ latents (n, styles, w_dim).
  """
  if models.e4e is not None:
    return encode(models.e4e, variables["e4e"], images)[0]
  assert models.inverter is not None
  images = layers.resize_bilinear(images, models.inverter.input_size)
  found = models.inverter.apply(variables["inverter"], images, method="encode")
  return cast(tuple[jax.Array, Any], found)[0]


def run_inverter(
    models: Models,
    variables: Variables,
    images: jax.Array,
    w_e: jax.Array | None = None,
    train: bool = False,
) -> tuple[Inverted, dict[str, Any]]:
  """Equations 1-3.

  Args:
    models: networks.
    variables: their variables.
    images: (n, h, w, 3), resized to the encoders' input without antialiasing,
      as the published encoders were trained.
    w_e: (n, styles, w_dim), further latents that pass the lower generator in
      the same batch; their features are returned as `Inverted.f_e`.
    train: use batch statistics and return the updated running ones.

  Returns:
    The inversion, and {"batch_stats": ...} if `train`, else {}.
  """
  n = images.shape[0]

  def forward(inverter, images):
    images = layers.resize_bilinear(images, inverter.input_size)
    w, f_pred = inverter.encode(images, train)
    both = w if w_e is None else jnp.concatenate([w, w_e])
    made = lower(models, variables, both)
    of_w = jax.tree.map(lambda x: x[:n], made)
    of_e = jax.tree.map(lambda x: x[-n:], made)
    f_k = inverter.fuse(f_pred, of_w.f_k, train)
    return Inverted(
        w=w,
        f_k=f_k,
        f_w=of_w.f_k,
        skip=of_w.skip,
        styles=of_w.styles,
        f_e=delta_features(models, variables, of_e),
    )

  assert models.inverter is not None
  found = models.inverter.apply(
      variables["inverter"],
      images,
      method=forward,
      mutable=["batch_stats"] if train else [],
  )
  return cast(tuple[Inverted, dict[str, Any]], found)


def decode(
    models: Models,
    variables: Variables,
    styles: Styles,
    f_k: jax.Array,
    skip: jax.Array,
) -> jax.Array:
  """Equations 4 and 7: the generator from layer k up.

  Args:
    models: networks.
    variables: their variables.
    styles: style vectors of the latents.
    f_k: (n, h, w, c), features that replace the generator's own at layer k.
    skip: (n, h, w, 3), RGB output below layer k.

  Returns:
    (n, resolution, resolution, 3), about [-1, 1].
  """
  images = models.generator.apply(
      variables["generator"], styles, f_k, skip, models.k, method="upper"
  )
  return cast(jax.Array, images)


def difference(
    f_e: jax.Array, f_e_edited: jax.Array, background: jax.Array | None = None
) -> jax.Array:
  """Equation 5: Delta, the change that the edit makes to E's features.

  Args:
    f_e: (n, h', w', c').
    f_e_edited: (n, h', w', c'), features of the edited latents.
    background: (n, h, w) in [0, 1], 1 where the image must not change; Delta
      is multiplied by 1 - background (section 9).
  """
  delta = f_e - f_e_edited
  if background is None:
    return delta
  keep = layers.resize_bilinear(background[..., None], delta.shape[1])
  return delta * (1.0 - keep).astype(delta.dtype)


def edit_features(
    models: Models,
    variables: Variables,
    f_k: jax.Array,
    delta: jax.Array,
    train: bool = False,
) -> tuple[jax.Array, dict[str, Any]]:
  """Equation 6: F_k' = H(F_k, Delta).

  Args:
    models: networks; without a Feature Editor F_k stays as it is.
    variables: their variables.
    f_k: (n, h, w, c).
    delta: (n, h', w', c').
    train: use batch statistics and return the updated running ones.

  Returns:
    F_k', and {"batch_stats": ...} if `train`, else {}.
  """
  if models.feature_editor is None:
    return f_k, {}
  edited = models.feature_editor.apply(
      variables["feature_editor"],
      f_k,
      delta,
      train,
      mutable=["batch_stats"] if train else [],
  )
  return cast(tuple[jax.Array, dict[str, Any]], edited)


def invert(
    models: Models, variables: Variables, images: jax.Array
) -> Inversion:
  """Equations 1-3, and the editing encoder's latents of the same images.

  Args:
    models: networks; without `e4e`, the Inverter's w takes the place of w_e.
    variables: their variables.
    images: (n, h, w, 3).
  """
  assert models.inverter is not None
  # Resized once for both encoders, which share their input size.
  images = layers.resize_bilinear(images, models.inverter.input_size)
  w_e = None
  if models.e4e is not None:
    w_e, _ = encode(models.e4e, variables["e4e"], images)
  found, _ = run_inverter(models, variables, images, w_e)
  w_e = found.w if w_e is None else w_e
  return Inversion(found.w, found.f_k, found.skip, w_e, found.f_e)


def reconstruct(
    models: Models, variables: Variables, inversion: Inversion
) -> jax.Array:
  """The inverted image: equations 6 and 7 with Delta = 0 and w' = w."""
  delta = jnp.zeros_like(inversion.f_e)
  f_k, _ = edit_features(models, variables, inversion.f_k, delta)
  styles = styles_of(models, variables, inversion.w)
  return decode(models, variables, styles, f_k, inversion.skip)


def edit(
    models: Models,
    variables: Variables,
    inversion: Inversion,
    edit_w: Edit,
    edit_e: Edit,
    background: jax.Array | None = None,
) -> Edited:
  """Equations 5-7.

  Args:
    models: networks.
    variables: their variables.
    inversion: inversion of n images.
    edit_w: the edit of the Inverter's latents.
    edit_e: the same edit of E's latents.  It may differ from `edit_w`, because
      families such as GANSpace depend on the latent they edit.
    background: see `difference`.
  """
  edits = [(inversion.w, edit_w), (inversion.w_e, edit_e)]
  if models.e4e is None:  # both are the same: the lower generator runs once
    del edits[1]
  moved = [w + e.w_offset for w, e in edits]
  n = inversion.w.shape[0]
  made = lower(
      models,
      variables,
      jnp.concatenate(moved),
      jnp.concatenate([e.style_offset for _, e in edits]),
  )
  of_w = jax.tree.map(lambda x: x[:n], made)
  of_e = jax.tree.map(lambda x: x[-n:], made)
  f_e = delta_features(models, variables, of_e)
  delta = difference(inversion.f_e, f_e, background)
  f_k, _ = edit_features(models, variables, inversion.f_k, delta)
  image = decode(models, variables, of_w.styles, f_k, of_w.skip)
  return Edited(image, moved[0], f_k, delta)
