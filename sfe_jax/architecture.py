"""The networks of an editor, and the relations between their sizes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from sfe_jax.errors import UserError
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.e4e import E4E
from sfe_jax.models.feature_editor import FeatureEditor
from sfe_jax.models.inception import Inception
from sfe_jax.models.inverter import Inverter
from sfe_jax.models.iresnet import IResNet
from sfe_jax.models.irse import ArcFace
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.mappers import DeltaMapper, LevelsMapper
from sfe_jax.models.perception import Perception
from sfe_jax.models.resnet import ResNet50
from sfe_jax.models.stylegan2 import Generator, default_channels

# Every network that a weight folder may hold, by class name.
NETWORKS = {
    network.__name__: network
    for network in (
        ArcFace,
        DeltaMapper,
        Discriminator,
        E4E,
        FeatureEditor,
        Generator,
        Inception,
        Inverter,
        IResNet,
        LatentDiscriminator,
        LevelsMapper,
        LPIPS,
        Perception,
        ResNet50,
    )
}

# {network name: its Flax variables}: the form in which variables of several
# networks travel together, always as an argument of jitted functions.
Variables = Mapping[str, Any]
# One number for each stage of a backbone.
Stages = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Models:
  """The editing networks; hashable, hence a static argument of jitted code.

  Attributes:
    generator: the generator G.
    inverter: the Inverter I; None while E is trained.
    feature_editor: the Feature Editor H; without it only w is edited (ablation
      "w/o H" of table 3).
    e4e: the editing encoder E; without it Delta is computed from the
      Inverter's w (ablation "w/o E" of table 3).
  """

  generator: Generator
  inverter: Inverter | None
  feature_editor: FeatureEditor | None
  e4e: E4E | None

  @property
  def k(self) -> int:
    """Index k of F_k, the input of its resolution's second convolution."""
    assert self.inverter is not None, "k is a property of the Inverter"
    return _layer(self.inverter.feature_size)

  @property
  def delta_k(self) -> int:
    """Layer of Delta: k, or for cars the next resolution's, k + 2."""
    h = self.feature_editor
    return self.k + 2 * (h is not None and h.delta_features is not None)

  def check(self) -> None:
    """Checks that the networks fit together; the Inverter must be there.

    Raises:
      UserError: two networks disagree on a size.
    """
    assert self.inverter is not None, "an editor needs an Inverter"
    g, i = self.generator, self.inverter
    h, e = self.feature_editor, self.e4e
    facts = [
        ("w+ rows", "generator", g.styles, "inverter", i.styles),
        ("latent width", "generator", g.w_dim, "inverter", i.w_dim),
    ]
    if e is not None:
      facts += [
          ("w+ rows", "generator", g.styles, "e4e", e.styles),
          ("latent width", "generator", g.w_dim, "e4e", e.w_dim),
          ("input size", "inverter", i.input_size, "e4e", e.input_size),
      ]
    if h is not None:
      name = "feature_editor"
      facts += [
          ("size of F_k", "inverter", i.feature_size, name, h.size),
          ("width of F_k", "inverter", i.features, name, h.features),
      ]
      if h.delta_features is not None and self.delta_k <= g.convs:
        width = g.width_of(self.delta_k)
        facts.append(
            ("width of Delta", "generator", width, name, h.delta_features)
        )
    for what, name_a, a, name_b, b in facts:
      if a != b:
        raise UserError(
            f"{name_a} and {name_b} do not fit: {what} {a} against {b}; take"
            " both from the same release or training run"
        )
    if self.delta_k > g.convs or g.width_of(self.k) != i.features:
      raise UserError(
          f"generator of {g.resolution} px and inverter do not fit: F_k of"
          f" {i.feature_size} px has {i.features} channels"
      )


def _layer(size: int) -> int:
  """Index of the second convolution at `size` pixels: 64 -> 9, 16 -> 5."""
  return 2 * (size.bit_length() - 3) + 1


@dataclasses.dataclass(frozen=True)
class Architecture:
  """Sizes from which all editing networks are built.

  The defaults are those of the published face model.

  Attributes:
    resolution: height and width of the images, pixels.
    channels: channels of the generator at 4, 8, 16, ... px; empty for those
      of StyleGAN2's config-f.
    w_dim: width of the latents.
    mapping_layers: depth of the mapping network.
    encoder_size: height and width of the encoders' input, pixels.
    k: layer whose input F_k the Inverter predicts; odd.
    delta_k: layer whose input Delta is computed from; k or k + 2.
    backbone_depths: blocks in each stage of the Inverter's backbone.
    backbone_widths: channels of each of these stages.
    fusion_depth: residual blocks of the Fuser and of the Feature Editor.
    fuser: False for the ablation "w/o Fuser" of table 3.
    e4e_depths: bottleneck blocks in each stage of E.
    e4e_widths: channels of each of these stages.
    e4e_head_features: channels of E's heads; None for w_dim.
  """

  resolution: int = 1024
  channels: tuple[int, ...] = ()
  w_dim: int = 512
  mapping_layers: int = 8
  encoder_size: int = 256
  k: int = 9
  delta_k: int = 9
  backbone_depths: Stages = (3, 4, 14, 3)
  backbone_widths: Stages = (64, 128, 256, 512)
  fusion_depth: int = 5
  fuser: bool = True
  e4e_depths: Stages = (3, 4, 14, 3)
  e4e_widths: Stages = (64, 128, 256, 512)
  e4e_head_features: int | None = None

  def generator(self, dtype: Any = jnp.float32) -> Generator:
    """Builds the generator G."""
    channels = self.channels or default_channels(self.resolution)
    return Generator(
        self.resolution, channels, self.w_dim, self.mapping_layers, dtype
    )

  def e4e(
      self, dtype: Any = jnp.float32, axis_name: str | None = None
  ) -> E4E:
    """Builds the editing encoder E."""
    return E4E(
        styles=self.generator().styles,
        w_dim=self.w_dim,
        input_size=self.encoder_size,
        depths=self.e4e_depths,
        widths=self.e4e_widths,
        head_features=self.e4e_head_features,
        dtype=dtype,
        axis_name=axis_name,
    )

  def build(
      self, dtype: Any = jnp.float32, axis_name: str | None = None
  ) -> Models:
    """Builds all networks.

    Args:
      dtype: compute dtype.
      axis_name: device axis over which batch statistics are averaged.

    Raises:
      UserError: the sizes contradict each other.
    """
    generator = self.generator(dtype)
    if not 1 <= self.k < generator.convs:
      raise UserError(
          f"k must be odd and from 1 to {generator.convs - 1} for images of"
          f" {self.resolution} px, got {self.k}"
      )
    size, features = generator.size_of(self.k), generator.width_of(self.k)
    third, content = self._strides(size)
    shared = {"dtype": dtype, "axis_name": axis_name}
    models = Models(
        generator=generator,
        inverter=Inverter(
            styles=generator.styles,
            w_dim=self.w_dim,
            features=features,
            input_size=self.encoder_size,
            depths=self.backbone_depths,
            widths=self.backbone_widths,
            strides=(2, 2, third, 2),
            content_stride=content,
            fuser_depth=self.fusion_depth if self.fuser else None,
            **shared,
        ),
        feature_editor=FeatureEditor(
            features=features,
            size=size,
            depth=self.fusion_depth,
            delta_features=(
                generator.width_of(self.delta_k)
                if self.delta_k != self.k
                else None
            ),
            **shared,
        ),
        e4e=self.e4e(**shared),
    )
    if (models.k, models.delta_k) != (self.k, self.delta_k):
      raise UserError(
          f"k {self.k} must be odd and delta_k {self.delta_k} must be k or"
          " k + 2"
      )
    models.check()
    return models

  def _strides(self, size: int) -> tuple[int, int]:
    """Strides of backbone stage 3 and of the content layer.

    Args:
      size: height and width of F_k.
    """
    rest = self.encoder_size / 4 / size
    strides = {1.0: (1, 1), 2.0: (2, 1), 4.0: (2, 2)}
    if rest not in strides:
      raise UserError(
          f"F_{self.k} has {size} px, which the backbone cannot reach from"
          f" inputs of {self.encoder_size} px: encoder_size must be 4, 8 or 16"
          " times as large"
      )
    return strides[rest]
