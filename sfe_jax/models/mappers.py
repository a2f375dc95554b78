"""The two networks that predict an edit: StyleCLIP's and DeltaEdit's mappers.

Both are stacks of four equalised linear layers (reference section 6).  Their
offsets are added to float32 latents, so they always compute in float32 and
`dtype` is that of the result.
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

  Not a choice of ours: the official GPU kernel takes axis 1 for the channels,
  and DeltaEdit's weights were trained with it.
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

  Axis 1 holds the rows of (n, rows, d) input and the channels of (n, d).
  """

  features: int
  normalize: bool = True
  token_bias: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    if self.normalize:
      x = layers.pixel_norm(x, axis=1)
    for i in range(_DEPTH):
      if self.token_bias:
        linear = _TokenBiasLinear(self.features, name=f"linear{i}")
      else:
        linear = layers.EqualLinear(
            self.features, lr_mul=_LR_MUL, name=f"linear{i}"
        )
      x = layers.scaled_leaky_relu(linear(x))
    return x


class LevelsMapper(nn.Module):
  """StyleCLIP's mapper: the w+ offset of one text prompt, at strength 1.

  Attributes:
    w_dim: latent width.
    levels: those of `LEVELS` the network has; rows of the others stay put.
    dtype: dtype of the result.
  """

  w_dim: int = 512
  levels: tuple[str, ...] = LEVELS
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, w_plus: jax.Array) -> jax.Array:
    """Maps latents (n, styles, w_dim) to offsets of the same shape."""
    offsets = []
    for level in LEVELS:
      rows = w_plus[:, _ROWS[level]]
      if level in self.levels:
        offsets.append(_Mapping(self.w_dim, name=level)(rows))
      else:
        offsets.append(jnp.zeros_like(rows))
    return jnp.concatenate(offsets, 1).astype(self.dtype)

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Inputs of `__call__` at 1024 px, batch 1."""
    return (jax.ShapeDtypeStruct((1, 18, self.w_dim), jnp.float32),)


class DeltaMapper(nn.Module):
  """DeltaEdit's mapper: the style offset for a change of CLIP features.

  The style vector is split as 3 coarse and 4 medium tokens and one fine rest.
  Every sample is mapped as a batch of one, as the official network was run.

  Attributes:
    token_width: channels of a coarse or medium token.
    fine_width: channels of the rest.
    clip_width: width of image features and text direction together.
    dtype: dtype of the result.
  """

  token_width: int = 512
  fine_width: int = 2464
  clip_width: int = 1024
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, style: jax.Array, clip: jax.Array) -> jax.Array:
    """Maps style vectors to offsets of the same shape.

    Args:
      style: (n, 7 * token_width + fine_width), the style vectors of the
        generator's convolutions in layer order.
      clip: (n, clip_width), CLIP image features, then the text direction.
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
    """Inputs of `__call__`, batch 1."""
    tokens = sum(_TOKENS.values())
    style_width = tokens * self.token_width + self.fine_width
    return (
        jax.ShapeDtypeStruct((1, style_width), jnp.float32),
        jax.ShapeDtypeStruct((1, self.clip_width), jnp.float32),
    )
