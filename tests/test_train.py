"""The train command, as a user runs it, on a stage that trains at once."""

import dataclasses
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
from unittest import mock

import jax
import numpy as np
import portpicker
import pytest
from absl import flags

from sfe_jax import train as command
from sfe_jax.errors import UserError
from sfe_jax.models.lpips import LPIPS
from sfe_jax.storage import checkpoints, runs, weights
from sfe_jax.training import stages, start, workdir
from tests import cli, toy_stage

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = "--config=tests/toy_stage.py"
ALL = [
    "step", "params", "model_state", "opt_state", "disc_params",
    "disc_opt_state",
]
FOREVER = "--config.steps=1000000"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
  folder = tmp_path_factory.mktemp("pictures")
  toy_stage.Pictures().write(folder)
  return folder


@pytest.fixture(scope="module")
def train(tmp_path_factory, pictures):
  """Starts the command."""
  cache = tmp_path_factory.mktemp("compiled")

  def start(folder, *args, devices=1, tensorflow=False):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TOY_WITHOUT_TENSORFLOW": "" if tensorflow else "1",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    args = [
        CONFIG, f"--config.data.path={pictures}", f"--workdir={folder}", *args
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.toy_stage", *args],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

  return start


def finish(process, code=0):
  """Waits for the end; returns what was printed."""
  out, err = process.communicate(timeout=120)
  assert process.returncode == code, err
  assert "Traceback" not in err
  return out + err


def wait_for_step(process, folder, step):
  while (checkpoints.latest_step(folder) or 0) < step:
    assert process.poll() is None, process.communicate()[1]
    time.sleep(0.02)


def state(folder):
  return checkpoints.read_state(folder, names=ALL)


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, state(a), state(b))


def close(a, b):
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, atol=2e-5),
      state(a), state(b),
  )


def test_the_folder_tells_all(train, tmp_path, pictures):
  text = finish(train(tmp_path, "--config.steps=2", tensorflow=True))
  assert "18 pictures to train on, 5 held out" in text
  assert "trained parameters: 339 (down 162, norm 12, up 165)" in text
  assert "train/learning_rate=0.01" in text
  assert re.search(r"\n\[2\] loss/l2=0\.\d+, loss/rms=", text)
  assert "100.0% (2/2), ETA: 0h00m" in text
  for notice in ("oneDNN", "work unit", "Got images"):  # of other libraries
    assert notice not in text
  folders = {"checkpoints", "grids", "tensorboard", "weights"}
  files = {"config.json", "metrics.jsonl", "trained.json", "run.json"}
  assert {p.name for p in tmp_path.iterdir()} == folders | files
  config = json.loads((tmp_path / "config.json").read_text())
  assert config["steps"] == 2 and config["data"]["path"] == str(pictures)
  document = json.loads((tmp_path / "trained.json").read_text())
  assert document["networks"] == {
      "autoencoder": {
          "network": "Autoencoder", "sizes": {"width": 6}, "info": {}
      }
  }
  assert document["pictures"] == {"train": 18, "held out": 5}
  assert list(document["frozen"]) == ["generator"]
  left = json.loads((tmp_path / "weights/autoencoder/network.json").read_text())
  assert left["sizes"] == {"width": 6}

  text = finish(train(tmp_path, "--config.steps=3"))
  assert "steps was 2, is 3" in text and "going on from step 2" in text
  assert "trained parameters" not in text
  runs = json.loads((tmp_path / "run.json").read_text())
  assert len(runs) == 2
  assert "--config.steps=3" in runs[1]["command"]
  assert runs[1]["versions"]["jax"] == jax.__version__
  assert runs[1]["devices"] == runs[1]["processes"] == 1
  assert re.fullmatch("[0-9a-f]{40}(-dirty)?", runs[1]["commit"])


def test_a_dry_run_starts_nothing(train, tmp_path, pictures):
  folder = tmp_path / "w"
  found = train(
      folder, "--dry_run", "--config.data.batch_size=2", "--coordinator=pod:1",
      "--processes=2", "--process=1",
  )  # fmt: skip
  lost = train(
      "", "--dry_run", "--config.data.path=absent", "--config.needs=there"
  )
  text = finish(found)
  assert "data.batch_size: 2\n" in text and "stage    toy" in text
  assert "!!" not in text
  assert "steps    4, from the start" in text
  assert "process 1 of 2, coordinator pod:1" in text
  assert f"  found    pictures: {pictures} (23 image files)\n" in text
  assert not folder.exists()
  text = finish(lost, code=2)
  assert f"workdir  {ROOT}/out/toy_stage\n" in text
  assert "  MISSING  pictures: 'absent': no such folder of pictures" in text
  assert "  MISSING  a thing: there: it is nowhere\n" in text
  assert text.endswith(
      "error: 2 of 2 things that the run needs are missing\n"
  )


# Found by the parser of the command line: only a process shows them.
WRONG_FLAGS = {
    "key": (
        ["--config.stepz=3"],
        "no such key in the config: stepz; did you mean steps?",
    ),
    "inner key": (
        ["--config.optimizer.lr=3"],
        "in the config: optimizer.lr; did you mean optimizer.learning_rate?",
    ),
    "unknown key": (
        ["--config.init.foo=3"],
        "in the config: init.foo; there are init.random, init.strength",
    ),
    "type": (["--config.steps=many"], "--config.steps=many: invalid literal"),
    "positional": (["steps=3"], "unexpected argument 'steps=3'"),
    "variant": ([f"{CONFIG}:huge"], "error: no variant 'huge'"),
    "config": (
        ["--config=absent.py"],
        "flag --config=absent.py: no such config file; configs that ship: ca",
    ),
    "process": (
        ["--config.data.path=/absent", "--config.needs=there"],
        "2 things are missing: (1) pictures: '/absent': no such folder of"
        " pictures; name yours with --config.data.path; (2) a thing: there:",
    ),
}


def test_mistakes_are_one_line(train, tmp_path):
  names = list(WRONG_FLAGS)
  for i in range(0, len(names), 2):
    pair = names[i : i + 2]
    started = [train(tmp_path, *WRONG_FLAGS[name][0]) for name in pair]
    for name, process in zip(pair, started):
      text = finish(process, code=2)
      error = text.strip().splitlines()[-1]
      assert error.startswith("error: "), name
      assert WRONG_FLAGS[name][1] in error, name
  assert not list(tmp_path.iterdir())


def call(monkeypatch, *args):
  """Runs the command in this process; gives the exit code."""
  monkeypatch.setattr(stages, "STAGES", stages.STAGES)
  monkeypatch.setitem(sys.modules, "sfe_jax.training.stages.toy", toy_stage)
  toy_stage.register()
  monkeypatch.setattr(sys, "argv", ["train", *map(str, args)])
  try:
    return cli.run(command, *args)
  finally:
    for name in [name for name in flags.FLAGS if name.startswith("config.")]:
      delattr(flags.FLAGS, name)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--workdir=", "--coordinator=a:1", "--processes=2", "--process=0"],
            "name a folder that all processes see with --workdir",
        ),
        (
            ["--config.data.path=/absent"],
            "'/absent': no such folder of pictures; name yours with --config.d",
        ),
        (
            ["--config.data.batch_size=0"],
            "data.batch_size must be at least 1, got 0",
        ),
        (["--config.steps=0"], "steps must be at least 1, got 0"),
        (["--config.checkpoint.keep=0"], "keep must be at least 1, got 0"),
        (
            ["--config.optimizer.anneal=2"],
            "optimizer.anneal must be from 0 to 1, got 2",
        ),
        (
            ["--config.data.batch_size=20"],
            "18 pictures to train on, 5 held out, are too few for data.batch_",
        ),
        ([f"--workdir={__file__}"], "test_train.py is a file, not a folder"),
        (
            ["--dry_run", "--config.compute.precision=hi"],
            "compute.precision must be one of default, high, highest, got 'hi'",
        ),
        (
            ["--dry_run", "--config.stage=toi"],
            "stage must be one of generator, perception, e4e, phase1, phase2",
        ),
        (["--dry_run", "--config.width=0"], "width must be at least 1, got 0"),
        (
            ["--dry_run", "--config.data.source=zip"],
            "data.source must be one of folder, array_record, tfds, got 'zip'",
        ),
        (
            ["--config.optimizer.learning_rate=0"],
            "optimizer.learning_rate must be above 0, got 0.0",
        ),
        (["--processes=2"], "--processes and --process go together with --co"),
        (["--coordinator=a:1"], "--coordinator needs --processes and --proc"),
    ],
)
def test_mistakes(monkeypatch, tmp_path, pictures, args, message):
  with pytest.raises(UserError, match=re.escape(message)):
    call(
        monkeypatch, CONFIG, f"--config.data.path={pictures}",
        f"--workdir={tmp_path / 'w'}", *args,
    )  # fmt: skip
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ((True, None, None, None), (None, None, None)),
        ((True, "pod:8476", None, None), ("pod:8476", None, None)),
        ((False, "pod:1", 2, 0), ("pod:1", 2, 0)),
        ((False, None, None, None), None),
    ],
)
def test_what_jax_is_told_of_the_processes(given, want):
  processes = start.Processes(*given)
  with mock.patch.object(jax.distributed, "initialize") as initialize:
    processes.check()
    processes.join()
  calls = [call.args for call in initialize.call_args_list]
  assert calls == ([] if want is None else [want])


def test_a_coordinator_that_is_silent_is_named():
  error = RuntimeError("")
  with (
      mock.patch.object(jax.distributed, "initialize", side_effect=error),
      pytest.raises(UserError, match="did not find each other: RuntimeError"),
  ):
    start.Processes(True, "pod:8476").join()


def test_without_the_extra_packages():
  code = (
      "import runpy, sys; sys.modules['ml_collections'] = None;"
      "sys.modules['clu'] = None; sys.argv = ['train', '--config=x.py'];"
      "runpy.run_module('sfe_jax.train', run_name='__main__')"
  )
  done = subprocess.run(
      [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
  )
  assert done.returncode == 2
  assert done.stderr == (
      "error: this program needs the packages ml_collections, clu; install the"
      " extra train: pip install 'sfe_jax[train]', or in a checkout pip install"
      " -e '.[train]'\n"
  )


def test_help_is_no_failure(train, tmp_path):
  text = finish(train(tmp_path, "--help"))
  assert "python -m tests.toy_stage --config=" in text


def test_another_run_is_refused(train, tmp_path):
  config = toy_stage.get_config()

  def start(**pictures):
    stage = toy_stage.build(config)
    workdir.start(tmp_path, config, stage, {"train": 18, **pictures})

  start()
  config.width = 8
  config.data.resolution = 16
  config.steps = 9
  workdir.check_config(tmp_path, config)  # there is no checkpoint yet
  (tmp_path / "checkpoints/5").mkdir(parents=True)
  with pytest.raises(UserError) as error:
    workdir.check_config(tmp_path, config)
  assert "data.resolution was 8, is 16; width was 6, is 8;" in str(error.value)
  assert "steps" not in str(error.value)
  config.width, config.data.resolution = 6, 8
  config.data.path = "elsewhere"
  config.log.every = 7
  workdir.check_config(tmp_path, config)
  config.unlock()
  config.data.of_a_later_version = 1
  workdir.check_config(tmp_path, config)
  del config.width
  with pytest.raises(UserError, match="width was 6, is absent"):
    workdir.check_config(tmp_path, config)
  text = finish(train(tmp_path, "--config.width=8"), code=2)
  assert "holds another run: width was 6, is 8" in text
  config = toy_stage.get_config()
  start()
  with pytest.raises(UserError, match="'train': 18} pictures.*'train': 19}"):
    start(train=19)
  config.init.strength = 0.2
  with pytest.raises(UserError, match="trained with other weights of gener"):
    start()
  (tmp_path / "checkpoints/5").rmdir()
  start()  # nothing was trained yet
  with pytest.raises(UserError, match="no workdir of a run"):
    runs.names(tmp_path / "checkpoints")


def test_a_run_without_checkpoint_starts_anew(tmp_path):
  """Its given networks are those it is now trained with."""
  config = toy_stage.get_config()
  stage = toy_stage.build(config)
  network = LPIPS("vgg", 2)
  for value in (1.0, 2.0):
    given = jax.tree.map(
        lambda x, value=value: np.full(x.shape, value, np.float32),
        weights.abstract(network),
    )
    stage = dataclasses.replace(stage, given={"lpips_vgg": (network, given)})
    workdir.start(tmp_path, config, stage, {})
  _, found = weights.read(tmp_path / "weights/lpips_vgg")
  assert {float(np.max(x)) for x in jax.tree.leaves(found)} == {2.0}


def test_nan_ends_with_one_line(train, tmp_path):
  text = finish(train(tmp_path, "--config.nan_at=3"), code=2)
  assert text.splitlines()[-1] == (
      "error: step 3: loss/l2 is nan, loss/rms is nan; training stopped; all"
      " checkpoints are from earlier steps"
  )
  assert checkpoints.latest_step(tmp_path) == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)]
)
def test_a_signal_saves(train, tmp_path, number, code):
  process = train(tmp_path / "cut", FOREVER, "--config.checkpoint.every=5")
  wait_for_step(process, tmp_path / "cut", 5)
  process.send_signal(number)
  text = finish(process, code)
  assert f"{number.name}: stopping after this step (if" in text
  step = checkpoints.latest_step(tmp_path / "cut")
  assert f"{number.name}: stopped after step {step} of 1000000, saved" in text
  steps = f"--config.steps={step + 2}"
  if number == signal.SIGINT:  # one of both is enough to go on from
    return
  both = [train(tmp_path / name, steps) for name in ("cut", "whole")]
  assert f"going on from step {step}\n" in finish(both[0])
  finish(both[1])
  same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(
    "times", [3, pytest.param(10, marks=pytest.mark.slow)]
)
def test_kill_9_loses_no_checkpoint(train, tmp_path, times):
  rng = random.Random(0)
  folder, last = tmp_path / "cut", 0
  for _ in range(times):
    process = train(
        folder, FOREVER, "--config.checkpoint.every=3",
        "--config.log.every=100", "--config.log.validate_every=0",
    )
    wait_for_step(process, folder, last + 1)
    time.sleep(rng.random() * 0.3)
    last = checkpoints.latest_step(folder)
    process.kill()
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    assert checkpoints.latest_step(folder) >= last
    last = checkpoints.latest_step(folder)
    assert int(state(folder)["step"]) == last
  steps = (f"--config.steps={last + 2}", "--config.log.every=100")
  both = [train(tmp_path / name, *steps) for name in ("cut", "whole")]
  assert f"going on from step {last}\n" in finish(both[0])
  finish(both[1])
  same(folder, tmp_path / "whole")


def test_other_device_counts_go_on(train, tmp_path):
  folder, whole = tmp_path / "moved", tmp_path / "whole"
  finish(train(folder, "--config.steps=2", devices=4))
  before = state(folder)
  finish(train(folder, "--config.steps=4", devices=2))
  jax.tree.map(
      np.testing.assert_array_equal,
      before, checkpoints.read_state(folder, 2, ALL),
  )
  assert "1 cpu devices" in finish(train(folder, "--config.steps=6"))
  finish(train(whole, "--config.steps=6"))
  close(folder, whole)
  text = finish(train(folder, "--config.steps=7", devices=3), code=2)
  assert "batch of 4 per process cannot be split over 3 devices" in text


def test_two_processes_stop_together_and_one_goes_on(train, tmp_path):
  folder, whole = tmp_path / "pod", tmp_path / "whole"
  address = f"127.0.0.1:{portpicker.pick_unused_port()}"
  both = [
      train(
          folder, FOREVER, f"--coordinator={address}", "--processes=2",
          f"--process={i}", "--config.checkpoint.every=5",
          "--config.log.every=50",
      )
      for i in range(2)
  ]
  wait_for_step(both[0], folder, 5)
  both[1].terminate()
  texts = [finish(process) for process in both]
  step = checkpoints.latest_step(folder)
  for text in texts:
    assert f"SIGTERM: stopped after step {step} of" in text
  assert "loss/l2=" not in texts[1]
  steps = f"--config.steps={step + 3}"
  finish(train(folder, steps))
  finish(train(whole, steps))
  close(folder, whole)
