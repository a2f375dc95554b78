import gc

import jax
import pytest

from tests import golden_data

jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture(scope="module", autouse=True)
def forget(request):
  """Frees a module's networks and compiled code: together they fill 24 GB."""
  yield
  for value in vars(request.module).values():
    if hasattr(value, "cache_clear"):
      value.cache_clear()
  jax.clear_caches()
  gc.collect()


@pytest.fixture(scope="module")
def quick_compilation():
  """Compiles in less time what then runs for longer."""
  name = "jax_disable_most_optimizations"
  before = jax.config.read(name)
  jax.config.update(name, True)
  yield
  jax.config.update(name, before)


def pytest_sessionfinish(session):
  """A worker of pytest-xdist hands over what its golden checks reached."""
  if hasattr(session.config, "workeroutput"):
    session.config.workeroutput["reached"] = golden_data.REACHED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
  """The main process takes it."""
  output = getattr(node, "workeroutput", {})
  golden_data.REACHED.extend(output.get("reached", ()))


def pytest_terminal_summary(terminalreporter):
  """Prints what each golden check reached beside its tolerance."""
  if golden_data.REACHED:
    terminalreporter.section("golden: error relative to the tensor's maximum")
  for name, error, tolerance in golden_data.REACHED:
    terminalreporter.write_line(f"{error:9.1e}  (<= {tolerance:.0e})  {name}")
