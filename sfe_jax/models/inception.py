"""The Inception-v3 with which FID is measured (Heusel et al. 2017).

This is the network of the file "pt_inception-2015-12-05".  It differs from
torchvision's: average pooling ignores padding, the pooling branch of the last
block takes the maximum, and the weights differ.  Submodules have the names of
the published layers.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sfe_jax.models import layers


class Unit(nn.Module):
  """Convolution without bias, batch norm (epsilon 1e-3) and ReLU.

  Attributes:
    features: output channels.
    kernel: height and width of the kernel.
    stride: stride on both axes.
    padding: "SAME" or "VALID".
    dtype: dtype of the computation.
  """

  features: int
  kernel: tuple[int, int] = (1, 1)
  stride: int = 1
  padding: str = "SAME"
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = nn.Conv(
        self.features,
        self.kernel,
        self.stride,
        padding=self.padding,
        use_bias=False,
        dtype=self.dtype,
        name="conv",
    )(x)
    return nn.relu(
        layers.BatchNorm(epsilon=1e-3, dtype=self.dtype, name="norm")(x)
    )


class _Block(nn.Module):
  """Base of the blocks.

  Attributes:
    width: channels of the network's first convolution.  The widths in the code
      are the published ones, for 32; all are scaled by width / 32.
    dtype: dtype of the computation.
  """

  width: int = 32
  dtype: Any = jnp.float32

  def unit(
      self,
      x: jax.Array,
      name: str,
      features: int,
      kernel: tuple[int, int] = (1, 1),
      stride: int = 1,
      padding: str = "SAME",
  ) -> jax.Array:
    """Applies a `Unit` with `features` scaled by width / 32."""
    features = features * self.width // 32
    return Unit(features, kernel, stride, padding, self.dtype, name=name)(x)

  def shrink(self, x: jax.Array, name: str, features: int) -> jax.Array:
    """Applies a 3x3 unit with stride 2 and no padding."""
    return self.unit(x, name, features, (3, 3), 2, "VALID")


def _average(x: jax.Array) -> jax.Array:
  """3x3 average pooling with stride 1 that ignores the padding."""
  return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def _max_stride2(x: jax.Array) -> jax.Array:
  """3x3 maximum pooling with stride 2 and no padding."""
  return nn.max_pool(x, (3, 3), (2, 2))


def _concat(*branches: jax.Array) -> jax.Array:
  return jnp.concatenate(branches, -1)


class Mixed5(_Block):
  """Block at 35x35 px with branches 1x1, 5x5, double 3x3 and pooling.

  Attributes:
    pool_features: output channels of the pooling branch, for `width` 32.
  """

  pool_features: int = 64

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    a = self.unit(x, "branch1x1", 64)
    b = self.unit(x, "branch5x5_1", 48)
    b = self.unit(b, "branch5x5_2", 64, (5, 5))
    c = self.unit(x, "branch3x3dbl_1", 64)
    c = self.unit(c, "branch3x3dbl_2", 96, (3, 3))
    c = self.unit(c, "branch3x3dbl_3", 96, (3, 3))
    d = self.unit(_average(x), "branch_pool", self.pool_features)
    return _concat(a, b, c, d)


class Mixed6a(_Block):
  """Block that reduces 35x35 to 17x17 px."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    a = self.shrink(x, "branch3x3", 384)
    b = self.unit(x, "branch3x3dbl_1", 64)
    b = self.unit(b, "branch3x3dbl_2", 96, (3, 3))
    b = self.shrink(b, "branch3x3dbl_3", 96)
    return _concat(a, b, _max_stride2(x))


class Mixed6(_Block):
  """Block at 17x17 px, with 7x7 convolutions factored into 1x7 and 7x1.

  Attributes:
    inner: hidden channels of the 7x7 branches, for `width` 32.
  """

  inner: int = 128

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    a = self.unit(x, "branch1x1", 192)
    b = self.unit(x, "branch7x7_1", self.inner)
    b = self.unit(b, "branch7x7_2", self.inner, (1, 7))
    b = self.unit(b, "branch7x7_3", 192, (7, 1))
    c = self.unit(x, "branch7x7dbl_1", self.inner)
    c = self.unit(c, "branch7x7dbl_2", self.inner, (7, 1))
    c = self.unit(c, "branch7x7dbl_3", self.inner, (1, 7))
    c = self.unit(c, "branch7x7dbl_4", self.inner, (7, 1))
    c = self.unit(c, "branch7x7dbl_5", 192, (1, 7))
    d = self.unit(_average(x), "branch_pool", 192)
    return _concat(a, b, c, d)


class Mixed7a(_Block):
  """Block that reduces 17x17 to 8x8 px."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    a = self.unit(x, "branch3x3_1", 192)
    a = self.shrink(a, "branch3x3_2", 320)
    b = self.unit(x, "branch7x7x3_1", 192)
    b = self.unit(b, "branch7x7x3_2", 192, (1, 7))
    b = self.unit(b, "branch7x7x3_3", 192, (7, 1))
    b = self.shrink(b, "branch7x7x3_4", 192)
    return _concat(a, b, _max_stride2(x))


class Mixed7(_Block):
  """Block at 8x8 px whose branches end in parallel 1x3 and 3x1 convolutions.

  Attributes:
    max_pooled: whether the pooling branch takes the maximum, not the average.
  """

  max_pooled: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    a = self.unit(x, "branch1x1", 320)
    b = self.unit(x, "branch3x3_1", 384)
    b = _concat(
        self.unit(b, "branch3x3_2a", 384, (1, 3)),
        self.unit(b, "branch3x3_2b", 384, (3, 1)),
    )
    c = self.unit(x, "branch3x3dbl_1", 448)
    c = self.unit(c, "branch3x3dbl_2", 384, (3, 3))
    c = _concat(
        self.unit(c, "branch3x3dbl_3a", 384, (1, 3)),
        self.unit(c, "branch3x3dbl_3b", 384, (3, 1)),
    )
    if self.max_pooled:
      pooled = nn.max_pool(x, (3, 3), padding="SAME")
    else:
      pooled = _average(x)
    return _concat(a, b, c, self.unit(pooled, "branch_pool", 192))


class Inception(_Block):
  """Globally pooled features of the frozen FID network.

  Attributes:
    width: channels of the first convolution, an even number; 32 in the
      published network, and all other widths are proportional.
    dtype: dtype of the convolutions; features are float32.
    resolution: size in pixels to which images are resized, at least 75.  Only
      299 gives numbers that can be compared with published ones.
  """

  resolution: int = 299

  def example_inputs(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes and dtypes of the inputs of `__call__`, batch size 1."""
    shape = (1, self.resolution, self.resolution, 3)
    return (jax.ShapeDtypeStruct(shape, jnp.float32),)

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps images (n, h, w, 3) in [-1, 1] to features (n, 64 * width) float32.

    Images of any size are resized bilinearly without antialiasing.
    """
    x = layers.resize_bilinear(x, self.resolution)
    x = self.shrink(x, "Conv2d_1a_3x3", 32)
    x = self.unit(x, "Conv2d_2a_3x3", 32, (3, 3), padding="VALID")
    x = self.unit(x, "Conv2d_2b_3x3", 64, (3, 3))
    x = _max_stride2(x)
    x = self.unit(x, "Conv2d_3b_1x1", 80)
    x = self.unit(x, "Conv2d_4a_3x3", 192, (3, 3), padding="VALID")
    x = _max_stride2(x)
    size = {"width": self.width, "dtype": self.dtype}
    for letter, pool_features in zip("bcd", (32, 64, 64)):
      x = Mixed5(
          pool_features=pool_features, name=f"Mixed_5{letter}", **size
      )(x)
    x = Mixed6a(name="Mixed_6a", **size)(x)
    for letter, inner in zip("bcde", (128, 160, 160, 192)):
      x = Mixed6(inner=inner, name=f"Mixed_6{letter}", **size)(x)
    x = Mixed7a(name="Mixed_7a", **size)(x)
    x = Mixed7(name="Mixed_7b", **size)(x)
    x = Mixed7(max_pooled=True, name="Mixed_7c", **size)(x)
    return jnp.mean(x.astype(jnp.float32), (1, 2))
