"""Small weight folders, and those found by name."""

import json
import re

import jax
import numpy as np
import pytest

from sfe_jax import Editor, pack
from sfe_jax.directions import files
from sfe_jax.errors import UserError
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.storage import weights
from sfe_jax.training.stages import networks
from tests import tiny

NETWORK = LatentDiscriminator(4, (8,))
INFO = {"labels": ["smile"]}


@pytest.fixture
def sources(tmp_path):
  """Two folders: both hold "first", each has one more and a direction."""
  folders = []
  for i, other in enumerate(("a", "b")):
    folder = tmp_path / f"source{i}"
    for name in ("first", other):
      drawn = weights.random(NETWORK, seed=i)
      weights.write(folder / name, NETWORK, drawn, INFO)
    (folder / "directions").mkdir()
    for name in ("both", other):
      np.savez(folder / "directions" / f"{name}.npz", np.full(4, i))
    folders.append(str(folder))
  return folders


def size(folder):
  return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def test_the_first_source_counts(sources, tmp_path):
  assert pack.pack(sources, tmp_path / "small") == ["a", "b", "first"]
  network, got = weights.read(tmp_path / "small/first")
  assert network == NETWORK
  assert weights.describe(tmp_path / "small/first")["info"] == INFO
  for a, b in zip(
      jax.tree.leaves(got), jax.tree.leaves(weights.random(NETWORK, seed=0))
  ):
    assert a.dtype == np.float32
    np.testing.assert_allclose(a, b, rtol=2**-11, atol=1e-7)
  found = {
      p.stem: np.load(p)["arr_0"][0]
      for p in (tmp_path / "small/directions").iterdir()
  }
  assert found == {"a": 0, "b": 1, "both": 0}


def test_what_no_source_has_any_more_goes(sources, tmp_path):
  folder = tmp_path / "small/directions"
  about = files.About("GANSpace", "", -1, 1)
  files.write_fitted(folder / "pca1.npz", np.ones(4), about)
  np.savez(folder / "mine.npz", np.ones(4))
  pack.pack(sources, tmp_path / "small")
  names = {p.stem for p in folder.iterdir()}
  assert names == {"a", "b", "both", "mine"}


def test_sources_stay_as_they_are(sources, tmp_path):
  with pytest.raises(UserError, match="are the same folder, .*source1"):
    pack.pack(sources, sources[1])
  _, kept = weights.read(tmp_path / "source1/b")
  want = weights.random(NETWORK, seed=1)
  jax.tree.map(np.testing.assert_array_equal, dict(kept), dict(want))


def test_numbers_beyond_half_precision(tmp_path):
  drawn = jax.tree.map(lambda x: x + 1e5, weights.random(NETWORK))
  weights.write(tmp_path / "whole/net", NETWORK, drawn)
  with pytest.raises(UserError, match="net: 1e[+]05 is too large for half"):
    pack.pack([tmp_path / "whole"], tmp_path / "small")


def test_half_the_size(tmp_path):
  network = LatentDiscriminator(512, (512,))
  drawn = weights.random(network)
  weights.write(tmp_path / "whole/net", network, drawn)
  pack.pack([tmp_path / "whole"], tmp_path / "small")
  assert size(tmp_path / "small/net") < 0.6 * size(tmp_path / "whole/net")


def test_no_weight_folder(tmp_path):
  with pytest.raises(UserError, match="it holds no network"):
    pack.pack([str(tmp_path)], tmp_path / "small")
  assert not (tmp_path / "small").exists()


def test_how_runs_went(tmp_path):
  run = tmp_path / "toy" / "phase1"
  run.mkdir(parents=True)
  with pytest.raises(UserError, match="no workdir of a run"):
    pack.copy_training([run], tmp_path / "small")
  command = ["/me/sfe/sfe_jax/train.py", "--workdir=/me/sfe/out/x", "--a=b=/c"]
  documents = {
      "config": {"seed": 0, "path": "/data/faces", "name": None, "w": "a/b"},
      "run": [{"command": command}],
      "trained": {},
  }
  for name, document in documents.items():
    (run / f"{name}.json").write_text(json.dumps(document))
  (run / "metrics.jsonl").write_text('{"step": 1}\n')
  pack.copy_training([run], tmp_path / "small")
  told = tmp_path / "small/training"
  assert json.loads((told / "phase1.json").read_text()) == {
      "config": documents["config"] | {"path": ".../faces"},
      "run": [
          {"command": ["sfe_jax/train.py", "--workdir=out/x", "--a=b=.../c"]}
      ],
  }
  assert (told / "phase1.jsonl").read_text() == '{"step": 1}\n'
  with pytest.raises(UserError, match="two --run end in the same folder name"):
    pack.copy_training(
        [run, tmp_path / "other" / "phase1"], tmp_path / "small"
    )


def test_shipped_files_name_no_folder_of_a_machine():
  for path in (weights.SHIPPED / "toy").rglob("*"):
    assert path.is_dir() or not re.search(
        rb"/(work|home|root|tmp)/", path.read_bytes()
    ), path


def test_weights_by_name(tmp_path, monkeypatch):
  monkeypatch.setattr(weights, "SHIPPED", tmp_path / "shipped")
  monkeypatch.chdir(tmp_path)
  models = tiny.write_weights(tmp_path / "shipped/toy")
  assert Editor.load("toy").models == models
  network, _ = networks.trained("toy", "inverter")
  assert network == models.inverter
  with pytest.raises(UserError, match="no such weight folder"):
    Editor.load("shipped/other")
  (tmp_path / "toy").mkdir()  # what is there goes first
  with pytest.raises(UserError, match="toy lacks"):
    Editor.load("toy")
