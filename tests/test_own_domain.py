"""From a folder of pictures to an editor: python -m sfe_jax.own_domain."""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest

from sfe_jax.drawn_faces import folder as drawn_faces
from sfe_jax.errors import UserError
from sfe_jax.own_domain import __main__ as program
from sfe_jax.own_domain import chain as chains
from sfe_jax.own_domain import steps
from sfe_jax.storage import images, runs
from tests import cli
from tests.drawn_data import drawn, labels_file, odd_pictures, save

ROOT = pathlib.Path(__file__).parents[1]


MODULES = [
    "data.prepare", "train", "train", "train", "directions", "train", "train",
    "evaluate", "evaluate", "own_domain.report",
]  # fmt: skip


class Stub:
  """Stands in for `Children`: leaves what each program would leave.

  `ends` gives exit codes by name; the training `stops` receives SIGTERM, and so
  does this process if it is `told`.
  """

  def __init__(self, out, ends=None, stops=None, told=True):
    self.out, self.ends, self.stops = out, ends or {}, stops
    self.told = told
    self.received, self.modules, self.flags = None, [], []

  def __call__(self):
    return self

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass

  def run(self, command):
    assert command[:2] == [sys.executable, "-m"]
    module = command[2].removeprefix("sfe_jax.")
    flags = dict(a[2:].split("=", 1) for a in command[3:] if a[:2] == "--")
    self.modules.append(module)
    self.flags.append(flags)
    name = module.rpartition(".")[-1]
    if module == "train":
      name = pathlib.Path(flags["workdir"]).name
    if name == self.stops and self.told:
      self.received = signal.SIGTERM
    if self.ends.get(name):
      return self.ends[name]
    if module == "train":
      self.train(pathlib.Path(flags["workdir"]), flags["config.steps"])
    elif module == "data.prepare":
      (self.out / "data").mkdir()
      (self.out / "data/about.json").write_text('{"pictures": 12000}')
      return 1  # some pictures were skipped
    elif module == "directions":
      write(self.out / "weights/directions/report.json")
    elif module == "own_domain.report":
      write(self.out / "report.html")
      write(self.out / "next.txt")
    return 0

  def train(self, workdir, total):
    done = 3 if workdir.name == self.stops else total
    (workdir / f"checkpoints/{done}").mkdir(parents=True)
    (workdir / "config.json").write_text(f'{{"steps": {total}}}')
    for network in ("generator", "discriminator", "perception", "e4e"):
      write(workdir / f"weights/{network}/network.json")


def write(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.touch()


@pytest.fixture
def place(tmp_path, monkeypatch):
  """A folder of pictures, `faces`, in the current one; JAX finds a CPU."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(steps, "backend", lambda: "cpu")
  (tmp_path / "faces").mkdir()
  (tmp_path / "labels.csv").touch()
  return tmp_path


@pytest.fixture
def run(place, monkeypatch):
  """Runs the program with a stub; gives the exit code and the stub."""

  def run(*args, **options):
    stub = Stub(place / "out", **options)
    monkeypatch.setattr(chains, "Children", stub)
    return cli.run(program, "faces", "out", "--steps=5", *args), stub

  return run


def test_all_steps_run_once(place, run, capsys):
  code, first = run("--labels=labels.csv")
  assert code == 0 and first.modules == MODULES
  assert (place / "out/weights/discriminator/network.json").exists()
  assert (place / "out/editor/e4e/network.json").exists()
  generator, perception = first.flags[1:3]
  assert "config.augment.target" not in generator, "12 000 pictures are many"
  assert generator["config"].endswith("/configs/toy_generator.py:32")
  assert pathlib.Path(generator["config"].removesuffix(":32")).is_file()
  assert perception["config.data.labels"] == "../labels.csv"
  assert first.flags[6]["config.init.inverter"] == f"{place}/out/phase1"
  capsys.readouterr()
  code, second = run("--labels=labels.csv")
  assert code == 0 and second.modules == []
  headings = re.findall(r"^\[./8\] .*$", capsys.readouterr().out, re.M)
  assert len(headings) == 8 and all(h.endswith(": done") for h in headings)


@pytest.mark.parametrize("told", [True, False])
def test_a_stopped_chain_goes_on(place, run, capsys, told):
  code, first = run(stops="e4e", told=told)
  assert code == 128 + signal.SIGTERM and first.modules[-1] == "train"
  assert not (place / "out/e4e/done").exists()
  message = "stopped by SIGTERM; run the same command again to continue\n"
  assert capsys.readouterr().err.endswith(message)
  code, second = run()
  assert code == 0 and second.modules == MODULES[3:]
  times = json.loads((place / "out/times.json").read_text())
  assert list(times) == [step.name for step in steps.STEPS]


@pytest.mark.parametrize(
    "ends, code, message",
    [
        ({"prepare": 2}, 2, "^$"),  # it has said why
        ({"prepare": 1}, 1, "error: step data did not write .*out/data$"),
        ({"e4e": 130}, 130, "stopped by SIGINT; run the same command"),
        ({"phase1": -9}, 137, "error: sfe_jax.train ended by SIGKILL; is the"),
        ({"directions": 1}, 1, "error: sfe_jax.directions failed with .* 1"),
    ],
)
def test_a_program_that_fails_ends_the_chain(run, capsys, ends, code, message):
  assert run(ends=ends)[0] == code
  *_, last = ["", *capsys.readouterr().err.splitlines()]
  if message != "^$":
    assert re.match(message, last)
  else:
    assert "failed" not in last and "did not write" not in last


def test_other_settings_in_the_same_place_are_refused(place, run):
  run("--size=64", ends={"generator": 130})
  code, stub = run(ends={"generator": 130})
  assert code == 130, "the size of OUT is kept"
  assert stub.flags[0]["config"].endswith(":64")
  with pytest.raises(UserError, match="out was made with .*size 64, now 32;"):
    run("--size=32")
  with pytest.raises(UserError, match="labels not given, now .*/labels.csv;"):
    run("--labels=labels.csv")
  with pytest.raises(UserError, match=": steps 5, now 7; repeat the first"):
    run("--steps=7")


def test_a_folder_of_something_else_is_refused(place, run):
  write(place / "out/thesis.tex")
  with pytest.raises(UserError, match="was not made by this program"):
    run()
  assert os.listdir(place / "out") == ["thesis.tex"]


def test_settings_of_a_chain_without_pictures_are_free(place, run):
  assert run("--size=64", ends={"prepare": 2})[0] == 2
  assert run("--size=16")[0] == 0
  stored = json.loads((place / "out/settings.json").read_text())
  assert stored["size"] == 16


def test_a_trial_says_that_its_pictures_mean_nothing(run, caplog):
  run("--steps=2000", "--dry_run")
  assert "trial" not in caplog.text
  run()
  assert "--steps 5 is a trial" in caplog.text


def test_wrong_usage(place):
  for args, message in (
      (["faces"], "give FOLDER and OUT"),
      (["gone", "out"], f"{place}/gone: no such folder of pictures"),
      (["faces", "faces/"], f"OUT must not be FOLDER .* {place}/faces"),
      (["faces", "faces/out"], "OUT must not be FOLDER and not lie in it"),
      (["faces", "out", "--size", "48"], "--size must be .* got 48"),
      (["faces", "out", "--steps=0"], "--steps must be at least 1, got 0"),
      (["faces", "out", "--labels=x"], f"{place}/x: no such file of labels"),
  ):
    with pytest.raises(UserError, match=message):
      cli.run(program, *args)
  assert sorted(os.listdir(place)) == ["faces", "labels.csv"]


def test_dry_run(place, capsys, monkeypatch):
  monkeypatch.setattr(steps, "backend", lambda: "gpu")
  write(place / "out/e4e/done")
  (place / "out/settings.json").write_text("{}")
  args = ("--dry_run", "faces", "out", "--labels", "labels.csv")
  assert cli.run(program, *args) == 0
  lines = capsys.readouterr().out.splitlines()
  headings = [x for x in lines if x.startswith("[")]
  assert headings[3].startswith("[4/8] e4e: ") and headings[3].endswith("done")
  commands = [shlex.split(x) for x in lines if " -m sfe_jax." in x]
  modules = [c[2].removeprefix("sfe_jax.") for c in commands]
  assert modules == MODULES[:3] + MODULES[4:]
  assert f"--labels={place}/labels.csv" in commands[0]
  generator = commands[1]
  assert "--config.augment.target=0.6" in generator
  assert generator[3].endswith("toy_generator.py:64"), "as on accelerators"
  assert "--config.data.threads=8" in generator
  assert sorted(os.listdir(place / "out")) == ["e4e", "settings.json"]


CHILD = """
import signal, time
received = []
for number in (signal.SIGINT, signal.SIGTERM):
  signal.signal(number, lambda number, _: received.append(number))
print("ready", flush=True)
while not received:
  time.sleep(0.01)
time.sleep(0.3)
print("child", *received, flush=True)
"""
PARENT = """
import sys
from sfe_jax.own_domain.children import Children
with Children() as children:
  code = children.run([sys.executable, "-c", sys.argv[1]])
  print("parent", int(children.received), code)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
@pytest.mark.parametrize("group", [True, False])
def test_a_signal_reaches_the_running_program_once(number, group):
  parent = subprocess.Popen(
      [sys.executable, "-c", PARENT, CHILD],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      text=True,
      process_group=0,
  )
  assert parent.stdout.readline() == "ready\n"
  (os.killpg if group else os.kill)(parent.pid, number)
  text, _ = parent.communicate(timeout=60)
  reached = signal.SIGTERM if number == signal.SIGHUP else number
  assert text == f"child {int(reached)}\nparent {int(number)} 0\n"


def environment(root):
  """Compiles quickly, and once for all runs."""
  (root / "stubs").mkdir(exist_ok=True)
  stub = root / "stubs/tensorflow.py"  # takes seconds to import
  stub.write_text("raise ImportError('a stub')\n")
  return os.environ | {
      "SFE_PYTHON": sys.executable,
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
      "PYTHONPATH": os.pathsep.join([str(root / "stubs"), str(ROOT)]),
      "XLA_FLAGS": "",
  }


def start(root, *args, **options):
  """Starts the launch script in a folder that is not the checkout."""
  return subprocess.Popen(
      ["bash", str(ROOT / "launch/own_domain.sh"), *map(str, args)],
      cwd=root,
      env=environment(root),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      **options,
  )


def finish(process, code=0):
  text, _ = process.communicate(timeout=900)
  assert process.returncode == code, text
  assert "Traceback" not in text
  return text


def test_too_few_pictures_end_in_one_line(tmp_path):
  src = tmp_path / "src"
  save(src / "grey.png", drawn(1, 40)[..., 1])
  save(src / "deep/alpha.png", np.dstack([drawn(4, 24), drawn(4, 24)[..., 0]]))
  (src / "text.jpg").write_text("no picture")
  text = finish(start(tmp_path, "src", "out", "--size=16"), code=2)
  [line] = re.findall("^error: .*$", text, re.M)
  assert f"{src}: 2 pictures are too few" in line and "at least 100" in line
  assert "1 more cannot be read, such as:" in line and "text.jpg" in line
  assert text.rstrip().endswith(line)
  assert not (tmp_path / "out/data").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """The whole chain on drawn faces, stopped on its way and started again.

  Gives its folder and what the second start printed.
  """
  root = tmp_path_factory.mktemp("chain")
  drawn_faces.write(root / "faces", 190, 32)
  odd_pictures(root / "faces", 10)
  labels_file(root / "labels.csv", images.find_below(root / "faces"))
  args = ("faces", "out", "--labels=labels.csv", "--size=32", "--steps=1")
  first = start(root, *args, start_new_session=True)
  for line in first.stdout:
    if line.startswith("[3/8]"):
      break
  os.killpg(first.pid, signal.SIGTERM)
  first.communicate(timeout=60)
  assert first.returncode == 143
  assert not (root / "out/perception/done").exists()
  return root, finish(start(root, *args))


@pytest.mark.slow
def test_every_stage_is_trained(trained):
  root, text = trained
  headings = re.findall(r"^\[./8\] .*$", text, re.M)
  assert [h.endswith(": done") for h in headings] == [True] * 2 + [False] * 6
  for name in steps.STAGES:
    curves = runs.read_curves(root / "out" / name)
    assert max(map(max, curves.values())) == 1, name
  for network in ("generator", "e4e", "inverter", "feature_editor"):
    assert (root / "out/editor" / network).is_dir()


@pytest.mark.slow
def test_the_report_is_there(trained):
  root, _ = trained
  text = (root / "out/report.html").read_text()
  assert "An editor for faces" in text and "half.png" in text
  assert "This was a trial of 1 training steps" in text
  assert all(f"<h3>{name}</h3>" in text for name in steps.STAGES)
  height, width, _ = images.read(root / "out/report.png").shape
  assert width > 1000 and height > 1000


@pytest.mark.slow
def test_the_editor_edits(trained):
  root, text = trained
  command = shlex.split((root / "out/next.txt").read_text())
  assert shlex.join(command) in text
  subprocess.run(command, cwd=root, env=environment(root), check=True)
  assert images.read(root / "out/edited/grid.png").shape[1] == 3 * 128
