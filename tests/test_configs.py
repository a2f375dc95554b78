"""The configs that ship: they load, and every key of theirs does something."""

import importlib
import sys
from unittest import mock

import flax.linen as nn
import numpy as np
import pytest
from absl import flags
from jax import config as jax_config
from ml_collections import ConfigDict

from configs import common
from sfe_jax import devices, train
from sfe_jax.architecture import Architecture
from sfe_jax.models.discriminator import Discriminator
from sfe_jax.models.iresnet import IResNet
from sfe_jax.models.lpips import LPIPS
from sfe_jax.models.perception import Perception
from sfe_jax.models.resnet import ResNet50
from sfe_jax.storage import images, weights
from sfe_jax.training import config_file, stages, start
from sfe_jax.training.stages import generator, perception
from tests import cli, tiny, toy_stage

PAPER = ("ffhq_phase1", "ffhq_phase2", "cars_phase1", "cars_phase2")
TOY = ("generator", "perception", "e4e", "phase1", "phase2")
NAMES = (*PAPER, *(f"toy_{stage}" for stage in TOY))
VARIANTS = [
    (name, variant)
    for name in NAMES
    for variant in (common.VARIANTS if name in PAPER else common.TOY_VARIANTS)
]
SMALL = Architecture(
    resolution=32,
    channels=(8, 8, 8, 8),
    w_dim=16,
    mapping_layers=1,
    encoder_size=32,
    k=3,
    delta_k=3,
    backbone_depths=(1, 1, 1, 1),
    backbone_widths=(4, 4, 8, 8),
    fusion_depth=1,
    e4e_depths=(1, 1, 1, 1),
    e4e_widths=(4, 4, 8, 8),
    e4e_head_features=4,
)


def get(name, variant=""):
  module = importlib.import_module(f"configs.{name}")
  return module.get_config(variant) if variant else module.get_config()


def parse(*args):
  """The config as the train command reads it."""
  values = flags.FlagValues()
  config_file.define(values)
  with mock.patch.object(sys, "argv", ["train", *args]):
    values(sys.argv)
  return config_file.read(values)


def flat(config, prefix=""):
  out = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      out |= flat(value, f"{prefix}{key}.")
    else:
      out[prefix + key] = value
  return out


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_every_variant_loads(name, variant):
  suffix = f":{variant}" if variant else ""
  config = parse(f"--config=configs/{name}.py{suffix}")
  assert flat(config) == flat(get(name, variant))
  assert config.stage in name and config.stage in stages.STAGES
  assert config.steps > 0


@pytest.mark.parametrize("prefix", ["", "configs/", "sfe_jax/configs/"])
def test_shipped_configs_are_found_in_any_folder(
    prefix, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  config = parse(
      f"--config={prefix}ffhq_phase2.py:official", "--config.log.every=7"
  )
  want = get("ffhq_phase2", "official")
  want.log.every = 7
  assert flat(config) == flat(want)
  with pytest.raises(flags.Error, match="configs that ship: cars_phase1.py"):
    parse("--config=elsewhere/ffhq_phase2.py")
  # A file of one's own takes precedence.
  own = tmp_path / prefix / "ffhq_phase2.py"
  own.parent.mkdir(parents=True, exist_ok=True)
  own.write_text(
      "from ml_collections import ConfigDict\n"
      "def get_config(variant=''): return ConfigDict({'own': variant})\n"
  )
  assert flat(parse(f"--config={prefix}ffhq_phase2.py:x")) == {"own": "x"}


@pytest.mark.parametrize("name", NAMES)
def test_unknown_variants_and_keys_are_refused(name):
  with pytest.raises(ValueError, match="unknown variant 'tiny'; .*:smoke"):
    get(name, "tiny")
  path = f"--config=configs/{name}.py"
  with pytest.raises((AttributeError, KeyError), match="Did you mean"):
    parse(path, "--config.log.evry=1")
  assert parse(path, "--config.log.every=2").log.every == 2


@pytest.mark.parametrize("domain", ["ffhq", "cars"])
def test_the_releases_phases_are_one_run_of_500_000_steps(domain):
  """Phase 2 goes on from phase 1, so its adversarial loss has begun."""
  first, second = (
      get(f"{domain}_phase{i}", "official") for i in (1, 2)
  )
  assert first.steps + second.steps == 500_000
  assert 0 < first.loss.adversarial_start < first.steps
  assert second.loss.adversarial_start == 0


@pytest.mark.parametrize("size", list(filter(str.isdigit, common.TOY_VARIANTS)))
def test_toy_networks_of_every_size_fit(size):
  made, seen, e4e, phase = (
      get(f"toy_{name}", size)
      for name in ("generator", "perception", "e4e", "phase2")
  )
  widths = (made.model.width, made.model.max_width)
  architecture = Architecture(
      resolution=made.data.resolution,
      channels=generator.channels(made.data.resolution, *widths),
      w_dim=made.model.w_dim,
      mapping_layers=made.model.mapping_layers,
      **(phase.model.to_dict() | e4e.model.to_dict()),
  )
  models = architecture.build()
  assert models.generator.resolution == int(size) == phase.data.resolution
  assert models.inverter.feature_size * 4 == models.inverter.input_size
  assert seen.data.resolution == phase.loss.size
  assert perception.widths(seen.data.resolution, 1, 2)
  assert phase.data.resolution % phase.loss.size == 0


@pytest.fixture(scope="module")
def places(tmp_path_factory):
  """Pictures, and a folder with every network and direction of SMALL."""
  root = tmp_path_factory.mktemp("places")
  rows = ["file,smile"]
  for i, picture in enumerate(tiny.pictures(12, 32)):
    images.write(root / "pictures" / f"{i}.png", picture)
    rows.append(f"{i}.png,{i % 2}")
  (root / "pictures/labels.csv").write_text("\n".join(rows))
  tiny.write_weights(root / "weights", SMALL)
  trunk = (SMALL.backbone_depths, SMALL.backbone_widths, (2, 2, 1, 2))
  for name, network in {
      "discriminator": Discriminator(32, SMALL.channels),
      "lpips_vgg": LPIPS("vgg", 4),
      "moco": ResNet50((1, 1, 1, 1), 4),
      "perception": Perception(32, (4, 4, 4, 4), 8),
      "iresnet50": IResNet(*trunk, embedding=8, input_size=32),
  }.items():
    weights.write(root / "weights" / name, network, tiny.fill(network))
  (root / "weights/directions").mkdir()
  for name in ("up", "down"):
    np.savez(root / f"weights/directions/{name}.npz", np.ones((1, 16)))
  return root


def small(config, places):
  """`config` at sizes for a test, reading weights from `places`."""
  config.data.update({
      "source": "folder", "path": str(places / "pictures"), "resolution": 32,
      "batch_size": 2, "validation_count": 2,
  })  # fmt: skip
  config.steps = 2
  if "init" not in config:  # made of pictures alone
    config.model.update(get(f"toy_{config.stage}", "smoke").model)
    return config
  config.model.update({key: getattr(SMALL, key) for key in config.model})
  config.init.weights = str(places / "weights")
  config.loss.identity_network = "moco"
  if config.stage == "phase2":
    config.init.inverter = str(places / "weights")
    config.edits.set = "user"
    config.edits.user = ("up=-1,1", "down=2")
  return config


# The configs for cars have the keys of those for faces.
@pytest.mark.parametrize("name", [n for n in NAMES if "cars" not in n])
def test_every_key_is_read(name, places, tmp_path, monkeypatch):
  """Runs the command on a config that notes which of its keys are used."""
  config = small(get(name), places)
  read = set()
  getitem = ConfigDict.__getitem__
  owners = {id(config): ""} | {
      id(value): f"{key}."
      for key, value in config.items()
      if isinstance(value, ConfigDict)
  }

  def noting(self, key):
    if id(self) in owners:
      read.add(owners[id(self)] + key)
    return getitem(self, key)

  built = []

  def build(config, build=stages.build):
    """Builds the stage, then trains a toy in its place."""
    built.append(build(config))
    toy = toy_stage.build(toy_stage.get_config())
    object.__setattr__(
        toy, "validate", lambda *args: {"loss": args[2].image[:, 0, 0, 0]}
    )
    return toy

  def fill(network: nn.Module, rng):
    del rng
    return tiny.fill(network)

  precision = jax_config.jax_default_matmul_precision
  monkeypatch.setattr(ConfigDict, "__getitem__", noting)
  # What copies or prints the whole config reads nothing for a purpose.
  monkeypatch.setattr(config_file, "read", lambda: config)
  monkeypatch.setattr(start.workdir, "start", lambda *args: None)
  monkeypatch.setattr(start.workdir, "write_weights", lambda *args: None)
  monkeypatch.setattr(devices, "enable_compilation_cache", lambda: None)
  monkeypatch.setattr(stages, "build", build)
  monkeypatch.setattr(weights, "init", fill)
  assert cli.run(train, "--workdir", tmp_path / "w") == 0
  jax_config.update("jax_default_matmul_precision", precision)
  monkeypatch.undo()
  trained = {
      "generator": ["generator", "discriminator"],
      "perception": ["perception"],
      "e4e": ["e4e"],
      "phase1": ["inverter", "discriminator"],
      "phase2": ["feature_editor", "discriminator"],
  }
  assert list(built[0].trained) == trained[config.stage]
  assert sorted(flat(config).keys() - read) == []
