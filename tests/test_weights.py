"""Weight folders: damage is noticed, older ones load, names in messages."""

import json

import jax
import numpy as np
import pytest

from sfe_jax.errors import UserError
from sfe_jax.models.latent_discriminator import LatentDiscriminator
from sfe_jax.storage import weights

NETWORK = LatentDiscriminator(4, (8,))
INFO = {"labels": [{"name": "smile", "std": 0.25}], 1: (2, 3)}


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / "weights" / "net"
  weights.write(path, NETWORK, weights.random(NETWORK), INFO)
  return path


def content(folder):
  network, variables = weights.read(folder)
  return network, weights.describe(folder)["info"], jax.device_get(variables)


def test_every_changed_bit_is_noticed_or_harmless(folder):
  network, info, variables = content(folder)
  assert info == {"labels": INFO["labels"], "1": [2, 3]}
  rng = np.random.default_rng(0)
  files = sorted(p for p in folder.rglob("*") if p.is_file())
  for path in files:
    whole = path.read_bytes()
    for bit in rng.choice(8 * len(whole), 6, replace=False):
      changed = bytearray(whole)
      changed[bit // 8] ^= 1 << bit % 8
      path.write_bytes(changed)
      try:
        found = content(folder)
      except UserError as error:
        assert path.name in str(error) and "again" in str(error)
      else:
        assert path.name == "network.json"  # spaces have no meaning there
        assert found[:2] == (network, info)
        jax.tree.map(np.testing.assert_array_equal, found[2], variables)
    path.write_bytes(whole)
  assert len(files) > 5


@pytest.mark.parametrize("key", ["crc32", "document_crc32"])
def test_checksums_cannot_get_lost(folder, key):
  path = folder / "network.json"
  document = json.loads(path.read_text())
  del document[key]
  path.write_text(json.dumps(document))
  with pytest.raises(UserError, match="network.json was changed or damaged"):
    weights.read(folder)


def test_folders_without_checksums_load(folder):
  want = content(folder)
  path = folder / "network.json"
  document = json.loads(path.read_text())
  del document["crc32"], document["document_crc32"]
  path.write_text(json.dumps(document))
  found = content(folder)
  assert found[:2] == want[:2]
  jax.tree.map(np.testing.assert_array_equal, found[2], want[2])


def test_messages_name_shipped_weights_as_users_do(folder, monkeypatch):
  monkeypatch.setattr(weights, "SHIPPED", folder.parents[1])
  found = weights.require_folder("weights")
  assert found == folder.parent
  (folder / "network.json").unlink()
  with pytest.raises(UserError, match="^weights/net holds no weights"):
    weights.read(found / "net")


def test_shipped_weights_are_suggested():
  with pytest.raises(UserError, match="Toy: no such .* did you mean toy"):
    weights.require_folder("Toy")


def test_what_is_no_weight_folder(folder, tmp_path):
  with pytest.raises(UserError, match="absent: no such weight folder"):
    weights.require_folder(tmp_path / "absent")
  with pytest.raises(UserError, match="json: is a file, not a weight folder"):
    weights.require_folder(folder / "network.json")
  (tmp_path / "trained.json").write_text("{}")
  with pytest.raises(UserError, match="training run; its weights are in .*/we"):
    weights.require_folder(tmp_path)
  (tmp_path / "weights").rename(tmp_path / "elsewhere")
  with pytest.raises(UserError, match="training run; it has no weights yet"):
    weights.require_folder(tmp_path)
