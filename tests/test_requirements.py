"""What a training run says it needs, and who may be trusted to have it."""

import json

import pytest

from configs import ffhq_phase2
from sfe_jax.errors import UserError
from sfe_jax.storage import layout
from sfe_jax.training import plan, requirements, stages
from tests import tiny


def test_shipped_weights_are_called_by_their_name():
  assert requirements.network("toy", "e4e").where == "toy/e4e"


def test_a_run_without_checkpoint_is_not_found(tmp_path):
  document = {"networks": {"inverter": {}}, "frozen": {}, "pictures": {}}
  (tmp_path / layout.TRAINED).write_text(json.dumps(document))
  need = requirements.trained_network(
      str(tmp_path), "init.inverter", "inverter"
  )
  assert not need.found and "no checkpoint yet" in need.problem


def test_an_unset_folder_is_not_the_current_one(tmp_path, monkeypatch):
  (tmp_path / "discriminator").mkdir()
  monkeypatch.chdir(tmp_path)
  assert not requirements.holds("", "discriminator")


def test_the_default_folder_of_tfds_is_left_to_tfds():
  config = ffhq_phase2.get_config()
  config.data.source = "tfds"
  config.data.path = ""
  [pictures, *_] = plan.requirements(config)
  assert pictures.found


def test_another_network_of_that_name_is_refused(tmp_path):
  tiny.write_weights(tmp_path)
  (tmp_path / "generator").rename(tmp_path / "unused")
  (tmp_path / "e4e").rename(tmp_path / "generator")
  config = ffhq_phase2.get_config()
  config.init.weights = str(tmp_path)
  config.init.inverter = str(tmp_path)
  config.loss.adversarial = config.loss.lpips = config.loss.identity = 0.0
  with pytest.raises(UserError, match="holds a E4E, expected a Generator"):
    stages.build(config)
