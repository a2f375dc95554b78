"""The launch scripts: valid bash, and the commands that they would run."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
CONFIG = "--config=configs/ffhq_phase1.py"
TRAIN = ".venv/bin/python -m sfe_jax.train"
GCLOUD = "gcloud compute tpus tpu-vm"


def bash(script, *args, code=0, cwd=ROOT, **environment):
  done = subprocess.run(
      ["bash", str(ROOT / "launch" / script), *args],
      cwd=cwd,
      env={"PATH": os.environ["PATH"], **environment},
      capture_output=True,
      text=True,
      check=False,
  )
  assert done.returncode == code, done.stderr
  return [line.strip() for line in done.stdout.splitlines()] or done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_valid(script):
  subprocess.run(["bash", "-n", str(script)], check=True)


def test_local(tmp_path):
  lines = bash(
      "local.sh", CONFIG, "--dry-run", "--workdir=my run",
      cwd=tmp_path, ACCELERATOR="cpu",
  )  # fmt: skip
  assert lines == [
      "ensure_environment train", f"{TRAIN} {CONFIG} --workdir=my\\ run"
  ]
  lines = bash("local.sh", "--dry-run", CONFIG, ACCELERATOR="cuda12")
  assert lines[1] == "ensure_accelerator cuda12"


def test_scripts_are_called_by_relative_paths(tmp_path):
  """They change the folder themselves, before they look for their own."""
  python = tmp_path / "launch/../.venv/bin/python"
  for folder in ("launch", ".venv/bin"):
    (tmp_path / folder).mkdir(parents=True)
  (tmp_path / "launch/run.sh").write_text(
      'source "$(dirname "$0")/environment.sh"\n'
      'cd "$root"\nensure_environment train\npwd\n'
  )
  (tmp_path / "launch/environment.sh").write_text(
      (ROOT / "launch/environment.sh").read_text()
  )
  (tmp_path / "setup.py").touch()
  python.write_text("#!/bin/sh\n")
  python.chmod(0o755)
  script = pathlib.Path("launch/run.sh")
  done = subprocess.run(
      ["bash", tmp_path.name / script],
      cwd=tmp_path.parent,
      capture_output=True,
      text=True,
      check=True,
  )
  assert done.stdout.splitlines()[-1] == str(tmp_path)


def test_slurm(tmp_path):
  copy = tmp_path / "slurm_script"  # as SLURM runs it
  copy.write_text((ROOT / "launch/slurm.sh").read_text())
  lines = bash(
      copy, "--dry-run", CONFIG, cwd=tmp_path, SLURM_SUBMIT_DIR=str(ROOT)
  )
  assert lines[-1] == f"srun {TRAIN} --distributed {CONFIG}"


def test_tpu_pod():
  pod = {"NAME": "sfe", "ZONE": "z", "TYPE": "v4-32", "BUCKET": "b"}

  def lines(*args, **changes):
    return bash("tpu_pod.sh", "--dry-run", *args, **(pod | changes))

  [create] = lines("create")
  assert create.startswith(f"{GCLOUD} create sfe --zone=z --accel")
  _, _, copy, install = lines("install")
  assert copy == f"{GCLOUD} scp out/sfe_jax.tar.gz sfe: --zone=z --worker=all"
  assert install.endswith("bash\\ sfe_jax/launch/tpu_worker.sh\\ b")
  [run] = lines("run", CONFIG, "--workdir=/bucket/W")
  assert run.startswith(f"{GCLOUD} ssh sfe --zone=z --worker=all --command=cd")
  command = f"{TRAIN} --distributed {CONFIG} --workdir=/bucket/W"
  assert run.endswith(command.replace(" ", "\\ "))
  assert lines("delete") == [f"{GCLOUD} delete sfe --zone=z --quiet"]
  assert "unknown action go" in bash("tpu_pod.sh", "go", code=2, **pod)
  del pod["NAME"]
  assert "name the pod" in bash("tpu_pod.sh", "create", code=1, **pod)


def test_tpu_worker():
  lines = bash("tpu_worker.sh", "--dry-run", "my-bucket")
  assert lines[-3:] == [
      "gcsfuse --implicit-dirs my-bucket /bucket",
      "ensure_environment train",
      "ensure_accelerator tpu",
  ]


def test_toy_tables(tmp_path):
  out = tmp_path / "my out"
  (out / "editor").mkdir(parents=True)
  (out / "data").mkdir()
  (out / "data/about.json").write_text('{"size": 64}')
  (out / "no_e4e").mkdir()
  (out / "no_e4e/done").touch()
  environment = {"SFE_PYTHON": sys.executable}
  lines = bash("toy_tables.sh", "--dry-run", str(out), **environment)
  assert lines[0].endswith("--count 2000 --size 64 --seed 1")
  trained = [
      re.search(r"toy_(\w+).py:64 \S+ out/(\w+) --", line).groups()
      for line in lines
      if "sfe_jax.train" in line
  ]
  assert trained == [
      ("phase2", "no_inversion_loss"), ("phase2", "few_edits"),
      ("phase1", "no_fuser1"), ("phase2", "no_fuser"),
      ("phase1", "lower_f1"), ("phase2", "lower_f"),
  ]  # fmt: skip
  assert any("model.k=5" in line for line in lines), "7 at 64 px"
  measured = [line for line in lines if "sfe_jax.evaluate" in line]
  assert len(measured) == 8 * 5
  assert not (out / "tables").exists()
  message = bash("toy_tables.sh", str(tmp_path), code=2)
  assert message.startswith("usage: bash launch/toy_tables.sh OUT")
