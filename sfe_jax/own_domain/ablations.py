"""The paper's table 3 on drawn faces: trains and measures editor variants.

Everything is measured on new drawn faces, for which the true edited pictures
are known.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

from sfe_jax.data import folders
from sfe_jax.errors import UserError
from sfe_jax.own_domain import chain, steps
from sfe_jax.own_domain.children import Children
from sfe_jax.own_domain.steps import Action, ChainPlan, ChainSettings, Program
from sfe_jax.storage import atomic, layout

TABLES = "tables"
_TABLE = "tables.md"
_FACES = "test"
_PICTURES, _SEED = 2000, 1
_PAIRS, _PAIRS_SEED = 300, 2
_DONE = "done"
_KINDS = ("inversion", "smile", "glasses", "age", "truth")


@dataclasses.dataclass(frozen=True)
class Run:
  """A training run that differs from the chain's run of the same stage.

  Attributes:
    name: name of its folder in OUT.
    stage: "phase1" or "phase2".
    flags: flags of sfe_jax.train in which it differs.
    inverter: folder in OUT of the phase 1 that phase 2 starts from.
  """

  name: str
  stage: str
  flags: tuple[str, ...] = ()
  inverter: str = "phase1"


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the tables.

  Attributes:
    title: first cell of the row.
    weights: weight folder, relative to OUT.
    options: further flags of sfe_jax.evaluate.
    runs: trainings that make the weights.
  """

  title: str
  weights: str
  options: tuple[str, ...] = ()
  runs: tuple[Run, ...] = ()

  @property
  def file(self) -> str:
    """Start of the names of its report files."""
    return self.title.replace(" ", "_")


def table_rows(size: int) -> tuple[Row, ...]:
  """The rows of the tables for an editor of `size` pixels.

  e4e comes first, because the other rows use the strengths found for it.
  """
  no_fuser = ("--config.model.fuser=False",)
  k = _layer(size) - 2
  lower = (f"--config.model.k={k}", f"--config.model.delta_k={k}")
  few = '--config.edits.user="smile","age","skin"'
  return (
      Row("e4e", steps.EDITOR, ("--method=e4e",)),
      Row("SFE", steps.EDITOR),
      Row(
          "without H",
          steps.EDITOR,
          ("--without=feature_editor", "--without=e4e"),
      ),
      _variant(
          "without inversion loss",
          Run(
              "no_inversion_loss",
              "phase2",
              ("--config.edits.inversion=False",),
          ),
      ),
      _variant(
          "without E",
          Run("no_e4e", "phase2", ("--config.edits.encoder=False",)),
          options=("--without=e4e",),
      ),
      _variant("few edits", Run("few_edits", "phase2", (few,))),
      _variant(
          "without Fuser",
          Run("no_fuser1", "phase1", no_fuser),
          Run("no_fuser", "phase2", no_fuser, "no_fuser1"),
      ),
      _variant(
          "lower F",
          Run("lower_f1", "phase1", lower),
          Run("lower_f", "phase2", lower, "lower_f1"),
      ),
  )


def _variant(
    title: str, *runs: Run, options: tuple[str, ...] = ()
) -> Row:
  """An editor that is trained here; the last run makes its weights."""
  return Row(title, f"{runs[-1].name}/{layout.WEIGHTS}", options, runs)


def _layer(size: int) -> int:
  """Layer k of F_k in the configs for `size` pixels."""
  return steps.config("phase1", str(size)).model.k


def run(folder: str | os.PathLike[str], *, dry_run: bool = False) -> int:
  """Trains and measures what is not done yet, and writes the tables.

  Args:
    folder: OUT of a finished chain; the tables are written into its folder
      TABLES, the variants beside the stages.
    dry_run: prints what would be run and writes nothing.

  Returns:
    Exit code, see `chain.run`.

  Raises:
    UserError: `folder` holds no finished chain.
  """
  out = pathlib.Path(folder).absolute()
  if not (out / steps.EDITOR).is_dir():
    raise UserError(
        f"{out} does not hold an editor; make one with python -m"
        " sfe_jax.own_domain FOLDER OUT, of drawn faces and their labels"
    )
  about = atomic.read_json(out / steps.DATA / folders.ABOUT)
  settings = ChainSettings(about["source"], None, about["size"], None)
  plan = ChainPlan(out, settings)
  rows = table_rows(plan.settings.size)
  with Children() as children:
    runner = None if dry_run else children
    try:
      chain.execute([_faces(plan)], runner)
      for row in rows:
        for training in row.runs:
          _train(plan, training, runner)
        chain.execute(_measure(plan, row, dry_run), runner)
    except chain.StopChain as stopped:
      return stopped.report()
  if not dry_run:
    _write_tables(plan, rows)
  return 0


def _faces(plan: ChainPlan) -> Action:
  """Draws the test pictures; existing ones are kept."""
  arguments = (
      f"--dst={plan.out / _FACES}",
      f"--count={_PICTURES}",
      f"--size={plan.settings.size}",
      f"--seed={_SEED}",
  )
  return Program("drawn_faces", arguments)


def _train(plan: ChainPlan, run: Run, runner: Children | None) -> None:
  done = plan.out / run.name / _DONE
  if done.exists():
    return
  arguments = [*run.flags, plan.init_weights]
  if run.stage == "phase2":
    arguments.append(f"--config.init.inverter={plan.out / run.inverter}")
  chain.execute([plan.train(run.name, run.stage, arguments)], runner)
  if runner is not None:
    done.touch()


def _measure(plan: ChainPlan, row: Row, dry_run: bool) -> Iterator[Action]:
  """All measurements of a row, in the order in which they are needed."""
  test = plan.out / _FACES
  pairs = (f"--count={_PAIRS}", f"--seed={_PAIRS_SEED}")
  yield from _evaluate(plan, row, "truth", "--protocol=truth", *pairs)
  inverted = ("--protocol=inversion", f"--dir={test}")
  yield from _evaluate(plan, row, "inversion", *inverted)
  labelled = (
      "--protocol=editing",
      f"--dir={test}",
      f"--labels={test / folders.LABELS}",
  )
  for kind, attribute, sign in (
      ("smile", "smile>0.5", "-"), ("glasses", "glasses", ""),
      ("age", "age>50", ""),
  ):  # fmt: skip
    strength = "1" if dry_run else _strength(plan, kind)
    edit = f"--edit={kind}={sign}{strength}"
    yield from _evaluate(
        plan, row, kind, *labelled, f"--attribute={attribute}", edit
    )


def _evaluate(
    plan: ChainPlan, row: Row, kind: str, *arguments: str
) -> Iterator[Action]:
  """One measurement; nothing if the report is newer than the weights."""
  weights, file = plan.out / row.weights, _report(plan, row, kind)
  if _is_newer(file, weights):
    return
  fixed = (
      f"--out={file}",
      f"--name={row.title}",
      f"--weights={weights}",
      f"--networks={plan.out / steps.WEIGHTS}",
      "--batch_size=32",
  )
  yield Program("evaluate", (*fixed, *row.options, *arguments))


def _is_newer(file: pathlib.Path, folder: pathlib.Path) -> bool:
  """Whether a file is newer than everything in a folder."""
  if not file.exists():
    return False
  made = file.stat().st_mtime
  return all(path.stat().st_mtime <= made for path in folder.rglob("*"))


def _report(plan: ChainPlan, row: Row, kind: str) -> pathlib.Path:
  return plan.out / TABLES / f"{row.file}.{kind}.json"


def _strength(plan: ChainPlan, attribute: str) -> str:
  """The strength at which e4e alone changes an attribute as the truth does.

  All methods are compared at this strength, as in the paper (section 4.3).
  """
  found = atomic.read_json(plan.out / TABLES / "e4e.truth.json")
  return f"{found['results'][attribute]['strength']:.2f}"


def _write_tables(plan: ChainPlan, rows: tuple[Row, ...]) -> None:
  files = [str(_report(plan, row, kind)) for kind in _KINDS for row in rows]
  command = [sys.executable, "-m", "sfe_jax.metrics.tables", *files]
  done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
  if done.returncode:
    raise UserError(
        f"the reports in {plan.out / TABLES} cannot be put in one table, see"
        " above; remove those that were measured differently and run this again"
    )
  atomic.write_text(plan.out / TABLES / _TABLE, done.stdout)
  sys.stdout.write(done.stdout)
