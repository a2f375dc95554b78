"""README, docs/ and the notebook: their commands, code, links and pictures."""

import importlib
import pathlib
import re
import shlex
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from absl import flags

from sfe_jax import drawn_faces
from sfe_jax.storage import images

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
# Programs of others, and what only names commands: "create|install|...".
OTHERS = ("pip", "git", "source", "tensorboard", "sbatch")


def blocks(page, language):
  """The fenced code blocks of a page."""
  pattern = rf"^```{language}\n(.*?)^```"
  return re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)


def commands():
  """(page, words) of every shell command in the pages."""
  found = []
  for page in PAGES:
    for block in blocks(page, "bash"):
      for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] not in OTHERS and "..." not in line:
          found.append((page.name, words))
  return found


def name(case):
  return case if isinstance(case, str) else " ".join(case)[:60]


@pytest.mark.parametrize("page, words", commands(), ids=name)
def test_commands_parse(page, words):
  """Programs and flags exist; scripts say what they would run."""
  if words[0] == "bash":
    script = ROOT / words[1]
    assert script.is_file(), page
    if script.name == "tpu_pod.sh":  # needs a pod's name
      return
    done = subprocess.run(
        ["bash", script, "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return
  assert words[:2] == ["python", "-m"], (page, words)
  parse(words[2], words[3:])


def parse(program, arguments):
  """Parses a command line as the program does, without running it."""
  entry = importlib.import_module(program)
  if hasattr(entry, "__path__"):
    entry = importlib.import_module(f"{program}.__main__")
  before = set(flags.FLAGS)
  entry.define_flags()
  try:
    with mock.patch.object(sys, "argv", [program, *arguments]):
      flags.FLAGS([program, *arguments])
  finally:
    for flag in set(flags.FLAGS) - before:  # --config.KEY among them
      delattr(flags.FLAGS, flag)


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
  """An empty folder with the photos that the examples name."""
  for i, file in enumerate(("photo.jpg", "a.jpg", "b.jpg")):
    face = drawn_faces.sample(1, i)
    images.write(tmp_path / file, drawn_faces.draw(face, 48))
  monkeypatch.chdir(tmp_path)
  return tmp_path


@pytest.mark.parametrize("page", ["README.md", "docs/edit.md"])
def test_python_examples_run(page, sandbox):
  scope = {}
  for block in blocks(ROOT / page, "python"):
    exec(compile(block, page, "exec"), scope)  # noqa: S102
  assert (sandbox / "edited.png").is_file()
  assert np.isfinite(np.asarray(scope["result"].image)).all()


def test_links_lead_somewhere():
  for page in PAGES:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
      if not target.startswith(("http:", "https:")):
        assert (page.parent / target).exists(), (page.name, target)


def test_notebook_runs(tmp_path):
  nbformat = pytest.importorskip("nbformat")
  nbclient = pytest.importorskip("nbclient")
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  client = nbclient.NotebookClient(
      notebook,
      timeout=300,
      kernel_name="python3",
      resources={"metadata": {"path": tmp_path}},
  )
  client.execute()
  assert (tmp_path / "strip.png").is_file()
