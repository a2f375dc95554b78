"""The steps from a folder of pictures to an editor, as data.

A step is done when the path that it leaves in OUT exists.  Its actions run in
order; all of them can be repeated after an interruption.
"""

import dataclasses
import functools
import importlib
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sfe_jax
from sfe_jax.data import folders
from sfe_jax.directions import search
from sfe_jax.errors import UserError
from sfe_jax.storage import atomic, layout

# With fewer training steps per stage than this, nothing useful is learned.
TRIAL_STEPS = 1000
SETTINGS, TIMES = "settings.json", "times.json"
DATA, WEIGHTS, EDITOR, EVALUATION = "data", "weights", "editor", "evaluation"
REPORT, NEXT = "report.html", "next.txt"  # NEXT: a command to try
_DONE = "done"
_CONFIGS = pathlib.Path(sfe_jax.__file__).parent / "configs"
_FEW_PICTURES = 10_000  # below it, the discriminator memorises the pictures
_SAMPLES_PER_STEP = 100  # of the search for directions, in a trial
_MOST_SAMPLES = 20_000  # the search's default


@dataclasses.dataclass(frozen=True)
class ChainSettings:
  """The inputs of a chain; a folder OUT holds one chain.

  Attributes:
    pictures: absolute path of the folder of pictures.
    labels: absolute path of the CSV file of their labels, or None.
    size: height and width in pixels.
    steps: largest number of training steps per stage; None for the numbers in
      the configs.
  """

  pictures: str
  labels: str | None
  size: int
  steps: int | None


@dataclasses.dataclass(frozen=True)
class Program:
  """Runs a module of this package.

  Attributes:
    module: its name below `sfe_jax`.
    arguments: its command-line arguments.
    accepted: exit codes after which the chain continues.
  """

  module: str
  arguments: tuple[str, ...]
  accepted: tuple[int, ...] = (0,)

  @property
  def command(self) -> list[str]:
    """The program and its arguments."""
    return [sys.executable, "-m", f"sfe_jax.{self.module}", *self.arguments]


@dataclasses.dataclass(frozen=True)
class Training(Program):
  """Trains OUT/NAME; complete when its last checkpoint is there.

  Attributes:
    workdir: folder of the run.
  """

  workdir: pathlib.Path = pathlib.Path()


@dataclasses.dataclass(frozen=True)
class Copy:
  """Copies a folder atomically."""

  source: pathlib.Path
  target: pathlib.Path


Action = Program | Copy


@dataclasses.dataclass(frozen=True)
class ChainPlan:
  """A chain and its folder.

  Attributes:
    out: absolute path of OUT.
    settings: its inputs.
  """

  out: pathlib.Path
  settings: ChainSettings

  @property
  def pictures(self) -> int:
    """How many pictures to train on; 0 before the first step."""
    about = self.out / DATA / folders.ABOUT
    return atomic.read_json(about)[folders.PICTURES] if about.exists() else 0

  def train(
      self, name: str, stage: str, arguments: Sequence[str] = ()
  ) -> Training:
    """The training run in OUT/NAME with configs/toy_STAGE.py."""
    workdir, data = self.out / name, self.out / DATA
    file = _CONFIGS / f"toy_{stage}.py"
    steps, threads = [], []
    if self.settings.steps is not None:
      number = min(config(stage).steps, self.settings.steps)
      steps = [f"--config.steps={number}"]
    if backend() != "cpu":
      threads = ["--config.data.threads=8"]  # on a CPU, steps need the cores
    fixed = (
        f"--config={file}:{self.settings.size}",
        f"--workdir={workdir}",
        f"--config.data.path={data / folders.PICTURES}",
        f"--config.data.validation_path={data / folders.HELD_OUT}",
    )
    every = (*fixed, *steps, *threads, *arguments)
    return Training("train", every, workdir=workdir)

  @property
  def init_weights(self) -> str:
    """Flag that names the networks which earlier steps trained."""
    return f"--config.init.weights={self.out / WEIGHTS}"

  @property
  def init_inverter(self) -> str:
    """Flag that names the Inverter which phase 1 trained."""
    return f"--config.init.inverter={self.out / 'phase1'}"


@dataclasses.dataclass(frozen=True)
class Step:
  """One step of the chain.

  Attributes:
    name: short, also the folder of a training stage.
    title: what it does, for people.
    leaves: path relative to OUT that exists when the step is done.
    actions: returns the actions; called when the steps before are done.
  """

  name: str
  title: str
  leaves: str
  actions: Callable[[ChainPlan], Iterator[Action]]

  @property
  def marks(self) -> bool:
    """Whether the chain writes `leaves`, an empty file, after the actions."""
    return pathlib.PurePath(self.leaves).name == _DONE


@functools.cache
def backend() -> str:
  """JAX's platform: "cpu", "gpu" or "tpu".

  A child process is asked: JAX would hold an accelerator's memory in this one.

  Raises:
    UserError: JAX finds no usable device.
  """
  code = "import jax; print(jax.default_backend())"
  done = subprocess.run(
      [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  if done.returncode:
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    raise UserError(f"JAX cannot use this machine's devices: {lines[-1]}")
  return done.stdout.split()[-1]


def config(stage: str, variant: str = "") -> Any:
  """The ml_collections.ConfigDict of configs/toy_STAGE.py:VARIANT."""
  module = importlib.import_module(f"sfe_jax.configs.toy_{stage}")
  return module.get_config(variant)


def _pictures(plan: ChainPlan) -> Iterator[Action]:
  settings = plan.settings
  arguments = [
      "--to=folders",
      f"--src={settings.pictures}",
      f"--dst={plan.out / DATA}",
      f"--size={settings.size}",
  ]
  if settings.labels:
    arguments.append(f"--labels={settings.labels}")
  # 1: some pictures were skipped.
  yield Program("data.prepare", tuple(arguments), accepted=(0, 1))


def _collected(plan: ChainPlan, name: str, *networks: str) -> Iterator[Action]:
  """Copies trained networks to where the next stages look for them."""
  for network in networks:
    source = plan.out / name / layout.WEIGHTS / network
    yield Copy(source, plan.out / WEIGHTS / network)


def _generator(plan: ChainPlan) -> Iterator[Action]:
  augment = []
  if plan.pictures < _FEW_PICTURES:
    augment = ["--config.augment.target=0.6"]
  yield plan.train("generator", "generator", augment)
  yield from _collected(plan, "generator", "generator", "discriminator")


def _perception(plan: ChainPlan) -> Iterator[Action]:
  labels = f"../{folders.LABELS}" if plan.settings.labels else ""
  arguments = [f"--config.data.labels={labels}"]
  yield plan.train("perception", "perception", arguments)
  yield from _collected(plan, "perception", "perception")


def _e4e(plan: ChainPlan) -> Iterator[Action]:
  yield plan.train("e4e", "e4e", [plan.init_weights])
  yield from _collected(plan, "e4e", "e4e")


def _directions(plan: ChainPlan) -> Iterator[Action]:
  arguments = [f"--weights={plan.out / WEIGHTS}"]
  steps, data = plan.settings.steps, plan.out / DATA
  if steps is not None and steps < TRIAL_STEPS:
    samples = min(_MOST_SAMPLES, _SAMPLES_PER_STEP * steps)
    arguments += [f"--samples={samples}", "--components=2", "--sefa=0"]
  if plan.settings.labels:
    arguments.append(f"--data={data / folders.PICTURES}")
    arguments.append(f"--labels={data / folders.LABELS}")
  yield Program("directions", tuple(arguments))


def _phase1(plan: ChainPlan) -> Iterator[Action]:
  yield plan.train("phase1", "phase1", [plan.init_weights])


def _phase2(plan: ChainPlan) -> Iterator[Action]:
  given = [plan.init_weights, plan.init_inverter]
  yield plan.train("phase2", "phase2", given)


def _report(plan: ChainPlan) -> Iterator[Action]:
  editor = plan.out / EDITOR
  yield Copy(plan.out / "phase2" / layout.WEIGHTS, editor)
  for method in ("e4e", "sfe"):
    arguments = (
        "--protocol=inversion",
        f"--method={method}",
        f"--weights={editor}",
        f"--networks={plan.out / WEIGHTS}",
        f"--dir={plan.out / DATA / folders.HELD_OUT}",
        f"--out={plan.out / EVALUATION / f'{method}.json'}",
    )
    yield Program("evaluate", arguments)
  yield Program("own_domain.report", (str(plan.out),))


STEPS = (
    Step(
        "data",
        "crop and resize the pictures, hold a tenth out",
        DATA,
        _pictures,
    ),
    Step(
        "generator", "train the generator (StyleGAN2)", "generator/done",
        _generator,
    ),
    Step(
        "perception",
        "train the network that compares pictures and scores their labels",
        "perception/done",
        _perception,
    ),
    Step(
        "e4e", "train the encoder of pictures to latents", "e4e/done", _e4e
    ),
    Step(
        "directions",
        "find edits and their useful strengths",
        f"{WEIGHTS}/directions/{search.REPORT}",
        _directions,
    ),
    Step("phase1", "train the Inverter (phase 1)", "phase1/done", _phase1),
    Step(
        "phase2", "train the Feature Editor (phase 2)", "phase2/done", _phase2
    ),
    Step(
        "report",
        "invert and edit held-out pictures, write the report",
        REPORT,
        _report,
    ),
)  # fmt: skip
STAGES = ("generator", "perception", "e4e", "phase1", "phase2")
