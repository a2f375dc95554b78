"""The folder of a run: which checkpoint it deploys."""

import dataclasses
import json

import grain
import jax
import numpy as np
import pytest

from convert import export, importer
from sfe_jax.errors import UserError
from sfe_jax.storage import layout, runs, weights
from sfe_jax.storage.checkpoints import Checkpoints
from sfe_jax.training import workdir
from sfe_jax.training.stages import networks
from tests import tiny, toy_stage

NAME = "feature_editor"
NETWORK = tiny.ARCHITECTURE.build().feature_editor
LOSSES = {1: 0.5, 2: 0.1, 3: 0.3}


def trained(step):
  return tiny.fill(NETWORK, step)


def run(folder, losses, deploy="best"):
  """A run of three steps; returns its stage."""
  config = toy_stage.get_config()
  config.checkpoint.deploy = deploy
  stage = toy_stage.build(config)
  stage = dataclasses.replace(stage, trained={NAME: NETWORK})
  workdir.start(folder, config, stage, {"train": 18})
  data = iter(grain.MapDataset.source(np.arange(9)).to_iter_dataset())
  with Checkpoints(folder, keep=3, best="l2") as opened:
    for step in LOSSES:
      variables = dict(trained(step))
      state = stage.state.replace(
          params=variables.pop("params"), model_state=variables
      )
      state = jax.tree.map(np.asarray, state)
      metrics = {"l2": losses[step]} if losses else None
      opened.save(step, state, data, {}, metrics)
  return stage


def same(found, step):
  jax.tree.map(np.testing.assert_array_equal, dict(found), dict(trained(step)))


def test_the_best_checkpoint_is_deployed(tmp_path):
  pytest.importorskip("torch")
  folder = tmp_path / "run"
  stage = run(folder, LOSSES)
  workdir.write_weights(folder, stage)
  assert runs.document(folder)["deploy"] == {
      "choice": "best", "metric": "l2", "step": 2
  }
  same(weights.read(folder / "weights" / NAME)[1], 2)
  same(networks.trained(str(folder), NAME)[1], 2)  # init.inverter
  same(runs.read(folder, NAME, 3)[1], 3)
  export.export_run(folder, tmp_path / "official")
  importer.import_files([tmp_path / f"official/{NAME}.pt"], tmp_path / "back")
  same(weights.read(tmp_path / "back" / NAME)[1], 2)


@pytest.mark.parametrize("losses, deploy", [(LOSSES, "last"), ({}, "best")])
def test_the_last_checkpoint_is_deployed(tmp_path, losses, deploy):
  """If the config says so, or without validation."""
  workdir.write_weights(tmp_path, run(tmp_path, losses, deploy))
  assert runs.document(tmp_path)["deploy"]["step"] == 3
  same(weights.read(tmp_path / "weights" / NAME)[1], 3)
  same(networks.trained(str(tmp_path), NAME)[1], 3)


def test_a_run_that_chose_nothing_deploys_its_last_checkpoint(tmp_path):
  """So did version 0.1, whose trained.json has no choice."""
  run(tmp_path, LOSSES)
  document = runs.document(tmp_path)
  del document["deploy"]
  (tmp_path / layout.TRAINED).write_text(json.dumps(document))
  assert runs.deployed_step(tmp_path) == 3


def test_other_choices_are_refused(tmp_path):
  config = toy_stage.get_config()
  config.checkpoint.deploy = "first"
  with pytest.raises(UserError, match="must be best or last, got 'first'"):
    workdir.check_config(tmp_path, config)
