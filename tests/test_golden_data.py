"""The comparison that all golden tests use."""

import numpy as np
import pytest

from tests import golden_data


@pytest.fixture(autouse=True)
def unprinted(monkeypatch):
  """Keeps these errors out of the table of golden checks."""
  monkeypatch.setattr(golden_data, "REACHED", [])


def test_errors_are_relative_to_the_largest_element():
  want = np.array([0.01, -100.0])
  error = golden_data.check("x", want + [0.05, 0], want, 1e-3)
  assert error == pytest.approx(5e-4)
  with pytest.raises(AssertionError, match="x: 2.00e-03 > 1e-03"):
    golden_data.check("x", want + [0, 0.2], want, 1e-3)
  with pytest.raises(AssertionError, match="not finite"):
    golden_data.check("x", want * np.nan, want, 1e-3)


def test_an_update_may_differ_by_one_unit_of_its_own_parameter():
  """The allowance of a parameter near 1 is no allowance for one near 0."""
  before = np.float32([1.0, 0.001])
  ulp = np.spacing(before)
  want = 40 * np.array([ulp[0], ulp[0]], np.float64)
  golden_data.check("x", want + [ulp[0], 0], want, 5e-3, ulp)
  with pytest.raises(AssertionError):
    golden_data.check("x", want + [2 * ulp[0], 0], want, 5e-3, ulp)
  with pytest.raises(AssertionError):
    golden_data.check("x", want + [0, ulp[0]], want, 5e-3, ulp)
