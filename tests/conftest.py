import jax

from tests import golden_data

jax.config.update("jax_default_matmul_precision", "highest")


def pytest_terminal_summary(terminalreporter):
  """Prints what each golden check reached beside its tolerance."""
  if golden_data.REACHED:
    terminalreporter.section("golden: error relative to the tensor's maximum")
  for name, error, tolerance in golden_data.REACHED:
    terminalreporter.write_line(f"{error:9.1e}  (<= {tolerance:.0e})  {name}")
