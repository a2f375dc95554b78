"""The launch scripts: valid bash, and the commands that they would run."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))
PROGRAMS = [p for p in SCRIPTS if p.name != "environment.sh"]
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


@pytest.mark.parametrize("script", PROGRAMS, ids=lambda p: p.name)
def test_help_says_how_to_call_a_script(script):
  lines = bash(f"../launch/{script.name}", "--help", cwd="/")
  assert any(line.startswith(f"bash launch/{script.name}") for line in lines)
  assert not any("SBATCH" in line or "set -e" in line for line in lines)


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
  assert bash("tpu_pod.sh", code=2, **pod).startswith("give an action: ")
  assert "unknown action go" in bash("tpu_pod.sh", "go", code=2, **pod)
  del pod["NAME"]
  message = bash("tpu_pod.sh", "create", code=1, **pod)
  assert "NAME: set it to the name of the slice" in message


def test_tpu_worker():
  lines = bash("tpu_worker.sh", "--dry-run", "my-bucket")
  assert lines[-3:] == [
      "gcsfuse --implicit-dirs my-bucket /bucket",
      "ensure_environment train",
      "ensure_accelerator tpu",
  ]


@pytest.mark.parametrize(
    "script, module",
    [("own_domain.sh", "own_domain"), ("toy_tables.sh", "ablations")],
)
def test_programs_of_training(tmp_path, script, module):
  python = tmp_path / "python"  # prints its arguments, one in a line
  python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
  python.chmod(0o755)
  arguments = ["my faces", "out", "--steps=3"]
  environment = {"SFE_PYTHON": str(python)}
  lines = bash(script, *arguments, cwd=tmp_path, **environment)
  assert lines == ["-m", f"sfe_jax.{module}", *arguments]
  lines = bash(script, "--dry-run", *arguments, cwd=tmp_path, **environment)
  assert lines[1:] == [f"sfe_jax.{module}", *arguments, "--dry_run"]


def test_programs_of_training_install_first(tmp_path):
  (tmp_path / "launch").mkdir()
  for name in ("environment.sh", "own_domain.sh"):
    text = (ROOT / "launch" / name).read_text()
    (tmp_path / "launch" / name).write_text(text)
  lines = bash(
      tmp_path / "launch/own_domain.sh", "a b", "--dry-run", ACCELERATOR="tpu"
  )
  assert lines == [
      "ensure_environment train", "ensure_accelerator tpu",
      f"{tmp_path}/.venv/bin/python -m sfe_jax.own_domain a\\ b",
  ]  # fmt: skip


def test_quickstart(tmp_path):
  def lines(*args):
    return bash(
        "quickstart.sh", "--dry-run", *args, cwd=tmp_path, SFE_PYTHON="python"
    )

  draw, edit = lines("--out", "my out")
  assert draw.startswith("python -m sfe_jax.drawn_faces --dst my\\ out/faces ")
  assert "--weights toy --dir my\\ out/faces/000" in edit
  [edit] = lines("photo.jpg", "weights")
  assert "--image photo.jpg --weights weights --edit age=3" in edit
  assert edit.endswith(f"--out {ROOT}/out/quickstart")
  alone = bash("quickstart.sh", "photo.jpg", code=2)
  assert alone.startswith("name the weights too: ")
  for args in (["--out"], ["--ouf=x"], ["a", "b", "c"]):
    usage = bash("quickstart.sh", *args, code=2)
    assert usage == (
        "usage: bash launch/quickstart.sh [--out FOLDER] [PHOTO WEIGHTS]\n"
    )
