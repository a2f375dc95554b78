"""Networks that predict an edit: StyleCLIP's and DeltaEdit's mappers.

StyleCLIP: Patashnik et al. 2021, section 5.  DeltaEdit: Lyu et al. 2023.  Both
consist of stacks of four equalised linear layers.  They compute in float32,
because their outputs are added to float32 latents; `dtype` is the dtype of the
output only.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers

LEVELS = ("coarse", "medium", "fine")
_ROWS = {"coarse": slice(0, 4), "medium": slice(4, 8), "fine": slice(8, None)}
_TOKENS = {"coarse": 3, "medium": 4}
_DEPTH = 4
_LR_MUL = 0.01


class _TokenBiasLinear(nn.Module):
  """Equalised linear layer that adds bias[t] to all channels of token t.

  DeltaEdit's weights were trained with a GPU kernel that takes axis 1 for the
  channel axis (docs/numerics.md), so the layer reproduces this.

  Attributes:
    features: output features.
  """

  features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    _, tokens, d = x.shape
    kernel = self.param(
        "kernel", nn.initializers.normal(1 / _LR_MUL), (d, self.features)
    )
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    y = x @ (kernel * (_LR_MUL / math.sqrt(d)))
    return y + bias[:tokens, None] * _LR_MUL


class _Mapping(nn.Module):
  """Pixel norm over axis 1, then four linear layers with leaky ReLUs.

  Axis 1 is the row axis of an input (n, rows, d), but the channel axis of an
  input (n, d); the official networks were trained so (docs/numerics.md).

  Attributes:
    features: output features of every layer.
    normalize: whether to apply the pixel norm.
    token_bias: whether the layers are `_TokenBiasLinear`.
  """

  features: int
  normalize: bool = True
  token_bias: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    if self.normalize:
      x = layers.pixel_norm(x, axis=1)
    for i in range(_DEPTH):
      linear: nn.Module
      if self.token_bias:
        linear = _TokenBiasLinear(self.features, name=f"linear{i}")
      else:
        linear = layers.EqualLinear(
            self.features, lr_mul=_LR_MUL, name=f"linear{i}"
        )
      x = layers.scaled_leaky_relu(linear(x))
    return x


class LevelsMapper(nn.Module):
  """StyleCLIP's mapper: the offset of w+ for one text prompt, at strength 1.

  Attributes:
    w_dim: length of a latent.
    levels: the members of `LEVELS` that the network has; the offset is zero for
      the rows of the others.
    dtype: dtype of the offset.
  """

  w_dim: int = 512
  levels: tuple[str, ...] = LEVELS
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, w_plus: jax.Array) -> jax.Array:
    """Maps w+ (n, styles, w_dim) to offsets of the same shape."""
    offsets = []
    for level in LEVELS:
      rows = w_plus[:, _ROWS[level]]
      if level in self.levels:
        offsets.append(_Mapping(self.w_dim, name=level)(rows))
      else:
        offsets.append(jnp.zeros_like(rows))
    return jnp.concatenate(offsets, 1).astype(self.dtype)

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1, 1024 px."""
    return (jax.ShapeDtypeStruct((1, 18, self.w_dim), jnp.float32),)


class DeltaMapper(nn.Module):
  """DeltaEdit's mapper: the style offset for a change of CLIP features.

  The style vector is divided into 3 coarse tokens, 4 medium tokens and a fine
  rest.  Each sample is mapped independently, as if it were a batch of one.

  Attributes:
    token_width: channels of a coarse or medium token.
    fine_width: channels of the fine rest.
    clip_width: length of CLIP image features and text direction together.
    dtype: dtype of the offset.
  """

  token_width: int = 512
  fine_width: int = 2464
  clip_width: int = 1024
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, style: jax.Array, clip: jax.Array) -> jax.Array:
    """Computes the style offset.

    Args:
      style: (n, 7 * token_width + fine_width), the style vectors of the
        generator's 3x3 convolutions, concatenated in order.
      clip: (n, clip_width), CLIP image features and the text direction,
        concatenated.

    Returns:
      An array of the shape of `style`.
    """
    n, _ = style.shape
    out, start = [], 0
    for level in LEVELS:
      tokens = _TOKENS.get(level, 0)
      if tokens:
        width = self.token_width
        x = style[:, start : start + tokens * width]
        x = x.reshape(n, tokens, width)
        start += tokens * width
      else:
        width = self.fine_width
        x = style[:, start:]
      token_bias = tokens > 0
      x = _Mapping(width, token_bias=token_bias, name=f"style_{level}")(x)
      text = _Mapping(width, name=f"clip_{level}")(clip)
      if tokens:
        text = jnp.broadcast_to(text[:, None], x.shape)
      fusion = _Mapping(
          width, normalize=False, token_bias=token_bias, name=f"fusion_{level}"
      )
      out.append(fusion(jnp.concatenate([x, text], -1)).reshape(n, -1))
    return jnp.concatenate(out, 1).astype(self.dtype)

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    tokens = sum(_TOKENS.values())
    style_width = tokens * self.token_width + self.fine_width
    return (
        jax.ShapeDtypeStruct((1, style_width), jnp.float32),
        jax.ShapeDtypeStruct((1, self.clip_width), jnp.float32),
    )
