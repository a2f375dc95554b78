"""Official tensors of tiny networks, and what tests do with their files."""

import functools
import pathlib

import numpy as np

from convert import __main__ as command
from convert.rules import (
    discriminator,
    e4e,
    inception,
    inverter,
    iresnet,
    irse,
    lpips,
    mappers,
    resnet,
    stylegan2,
)
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.e4e import E4E
from sfe_jax.models.feature_editor import FeatureEditor
from sfe_jax.models.inception import Inception
from sfe_jax.models.inverter import Inverter
from sfe_jax.models.iresnet import IResNet
from sfe_jax.models.irse import ArcFace
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.mappers import DeltaMapper, LevelsMapper
from sfe_jax.models.resnet import ResNet50
from sfe_jax.models.stylegan2 import Generator
from tests import cli, tiny

STYLES, W_DIM = 4, 512
_TRUNK = {"depths": (1, 1, 1, 1), "widths": (4, 5, 6, 8)}
_IR_SE = {"depths": (1, 1, 1, 1), "widths": (16, 17, 18, 20)}
_E4E = E4E(styles=STYLES, w_dim=W_DIM, input_size=32, **_IR_SE)
_GENERATOR = Generator(8, (6, 4), W_DIM, 2)
_DISCRIMINATOR = Discriminator(16, (6, 5, 4))

# {name: (family, module)}; the official tensors show all these sizes.
NETWORKS = {
    "generator": (stylegan2.FAMILY, _GENERATOR),
    "nvidia": (stylegan2.NVIDIA_FAMILY, _GENERATOR),
    "discriminator": (discriminator.FAMILY, _DISCRIMINATOR),
    "rosinality_d": (discriminator.ROSINALITY_FAMILY, _DISCRIMINATOR),
    "inverter": (
        inverter.INVERTER_FAMILY,
        Inverter(STYLES, W_DIM, 6, fuser_depth=1, **_TRUNK),
    ),
    "feature_editor": (
        inverter.FEATURE_EDITOR_FAMILY,
        FeatureEditor(6, depth=1),
    ),
    "cars_editor": (
        inverter.FEATURE_EDITOR_FAMILY,
        FeatureEditor(6, depth=1, delta_features=4),
    ),
    "e4e": (e4e.E4E_FAMILY, _E4E),
    "psp": (e4e.PSP_FAMILY, _E4E.clone(residual=False)),
    "arcface": (
        irse.ARCFACE_FAMILY,
        ArcFace(embedding=4, input_size=32, **_IR_SE),
    ),
    "curricularface": (
        irse.CURRICULARFACE_FAMILY,
        ArcFace(
            (3, 13, 30, 3),
            (1, 2, 3, 4),
            squeeze_excite=False,
            output_affine=False,
            embedding=4,
            input_size=32,
        ),
    ),
    "iresnet50": (
        iresnet.FAMILY,
        IResNet(embedding=4, input_size=32, **_TRUNK),
    ),
    "moco": (resnet.FAMILY, ResNet50((1, 1, 1, 1), 4)),
    "lpips_vgg": (lpips.VGG, LPIPS("vgg", 4)),
    "lpips_alex": (lpips.ALEX, LPIPS("alex", 4)),
    "inception": (inception.FAMILY, Inception(width=2)),
    "delta_mapper": (mappers.DELTA_FAMILY, DeltaMapper(4, 5, 6)),
    "styleclip_mapper": (
        mappers.STYLECLIP_FAMILY,
        LevelsMapper(W_DIM, ("coarse", "medium")),
    ),
}


@functools.cache
def _filled(name: str, seed: int):
  family, module = NETWORKS[name]
  state = family.export(module, tiny.fill(module, seed))
  counters = [key for key in state if key.endswith("num_batches_tracked")]
  state |= {key: np.array(5 + i) for i, key in enumerate(counters)}
  if name == "inception":
    state["fc.weight"] = np.zeros((1008, 2), np.float32)
  if name == "moco":
    state["fc.0.weight"] = np.zeros((2, 2), np.float32)
  return state


def state(name: str, seed: int = 0, prefix: str = "") -> dict[str, np.ndarray]:
  """Official tensors, without `latent_avg`, which files hold apart."""
  return {
      prefix + key: value
      for key, value in _filled(name, seed).items()
      if key != "latent_avg"
  }


def latent_avg(*shape: int) -> np.ndarray:
  """A mean latent, the same in each row."""
  average = np.random.RandomState(1).standard_normal(shape[-1])
  return np.broadcast_to(average.astype(np.float32), shape).copy()


def lpips_halves(net: str) -> tuple[dict, dict]:
  """Torchvision's file, classifier included, and LPIPS' lin file."""
  merged = state(f"lpips_{net}")
  lin = {k: v for k, v in merged.items() if k.startswith("lin")}
  features = {k: v for k, v in merged.items() if k not in lin}
  return features | {"classifier.0.weight": np.ones((2, 2))}, lin


def editor_state(seed: int = 0) -> dict:
  """The smallest official file: a Feature Editor."""
  return {"state_dict": state("feature_editor", seed, "encoder.")}


def run(*argv) -> int:
  """`python -m convert` in this process."""
  return cli.run(command, *argv)


def tree(folder: pathlib.Path) -> dict | None:
  """Every file below a folder with its bytes; None if there is no folder."""
  if not folder.exists():
    return None
  return {
      p.relative_to(folder): p.read_bytes() if p.is_file() else None
      for p in folder.rglob("*")
  }
