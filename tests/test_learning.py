"""200 steps of both phases on faces lower every validation loss."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

from PIL import Image

from sfe_jax import domains
from tests import golden_data

ROOT = pathlib.Path(__file__).parents[1]
FACES = golden_data.SHARED / "data/celeba64"
UNPACK = golden_data.SHARED / "data/unpack.py"
COUNT = 256


def faces():
  """uint8 (n, size, size, 3): photographs where at hand, else drawings."""
  if not FACES.exists():
    return [domains.draw(domains.sample(0, i), 32) for i in range(COUNT)]
  spec = importlib.util.spec_from_file_location("unpack", UNPACK)
  unpack = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(unpack)
  return unpack.load(str(FACES), "val")[:COUNT]


def validation(text):
  """{step: {loss: value}} of a run's log."""
  lines = re.findall(r"^\[(\d+)\] (.*validation/loss=.*)$", text, re.M)
  return {
      int(step): {
          name: float(value)
          for name, value in re.findall(r"validation/(\w+)=([^,\s]+)", line)
      }
      for step, line in lines
  }


def test_200_steps_lower_the_validation_losses(tmp_path):
  (tmp_path / "pictures").mkdir()
  for i, picture in enumerate(faces()):
    Image.fromarray(picture).save(tmp_path / f"pictures/{i:03}.png")
  runs = {
      "phase1": [
          "--config.loss.blend_rate=0.02",
          "--config.optimizer.learning_rate=2e-3",
      ],
      "phase2": [
          f"--config.init.inverter={tmp_path / 'phase1'}",
          "--config.optimizer.learning_rate=1e-2",
      ],
  }
  for phase, own in runs.items():
    done = subprocess.run(
        [
            sys.executable, "-m", "sfe_jax.train",
            f"--config=configs/ffhq_{phase}.py:smoke",
            f"--workdir={tmp_path / phase}",
            f"--config.data.path={tmp_path / 'pictures'}",
            "--config.data.validation_count=32",
            "--config.data.batch_size=8",
            "--config.steps=200",
            "--config.loss.adversarial=0",  # compiles half as long
            "--config.log.every=100",
            "--config.log.grid_every=200",
            "--config.log.validate_every=200",
            "--config.checkpoint.every=200",
            *own,
        ],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = validation(done.stdout + done.stderr)
    before, after = scores[0], scores[200]
    for name in ("l2", "lpips", "identity", "loss"):
      assert after[name] < 0.95 * before[name], (phase, name, before, after)
    assert after["ms_ssim"] > before["ms_ssim"], (phase, before, after)
