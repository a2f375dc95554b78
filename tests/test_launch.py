"""The launch scripts: valid bash, and the commands that they would run."""

import os
import pathlib
import subprocess

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
