"""Random weights in the official layout, and the official code's outputs.

`SFE_GOLDEN_SEED` and `SFE_GOLDEN_OUTPUTS` run the same tests at other seeds, so
tolerances must follow from the arithmetic, not from what one seed reaches.
`SFE_SHARED` is the folder of files that are not in the repository; it may hold
assets/lpips, assets/directions and data, see docs/architecture.md.
"""

import functools
import os
import pathlib

import numpy as np

from tests.golden import weights

SEED = int(os.environ.get("SFE_GOLDEN_SEED", "0"))
HERE = pathlib.Path(__file__).resolve().parent
OUTPUTS = pathlib.Path(
    os.environ.get("SFE_GOLDEN_OUTPUTS", HERE / "golden" / "outputs")
)
SHARED = pathlib.Path(
    os.environ.get("SFE_SHARED", HERE.parents[1] / "shared")
)


@functools.cache
def expected(name: str) -> dict[str, np.ndarray]:
  """Outputs of the official code in golden file `name`."""
  with np.load(OUTPUTS / f"{name}.npz") as file:
    return dict(file)


def state(name: str) -> dict[str, np.ndarray]:
  """The official state dict `name` at the seed under test."""
  return weights.state_dict(name, SEED)


def image(seed: int, size: int, batch: int) -> np.ndarray:
  """Test images, NHWC float32 in [-1, 1]."""
  return weights.image(int(seed), size, batch).transpose(0, 2, 3, 1)


def normal(seed: int, *shape: int) -> np.ndarray:
  """float32 normal numbers of `RandomState(seed)`."""
  rng = np.random.RandomState(int(seed))
  return rng.standard_normal(shape).astype(np.float32)


def nchw(x) -> np.ndarray:
  """Transposes our NHWC array to the official layout."""
  return np.asarray(x).transpose(0, 3, 1, 2)


def like(x, want) -> np.ndarray:
  """Transposes our NHWC array and thins it to the shape of `want`."""
  x = nchw(x)
  steps = [-(-n // m) for n, m in zip(x.shape, want.shape)]
  return x[tuple(slice(None, None, step) for step in steps)]


def stats(x) -> np.ndarray:
  """Mean, unbiased std and max |x|, as the golden files' `*_stats`."""
  x = np.asarray(x, np.float64)
  return np.array([x.mean(), x.std(ddof=1), np.abs(x).max()])


def check(name: str, got, want, tolerance: float, absolute=0.0) -> float:
  """Asserts that |got - want| <= tolerance * max |want| + absolute.

  `tests/conftest.py` prints all errors beside their tolerances at the end.

  Args:
    name: what is compared, for the table and for messages.
    got: our array.
    want: the official array.
    tolerance: allowed error relative to the largest |want|.
    absolute: further allowance for every element, e.g. the rounding of the
      numbers that `got` is a difference of.

  Returns:
    The largest error beyond `absolute`, relative to the largest |want|.
  """
  got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
  assert got.shape == want.shape, f"{name}: {got.shape} != {want.shape}"
  assert np.isfinite(got).all(), f"{name}: not finite"
  beyond = np.maximum(np.abs(got - want) - absolute, 0.0)
  error = beyond.max() / max(np.abs(want).max(), 1e-30)
  REACHED.append((name, float(error), float(tolerance)))
  assert error <= tolerance, f"{name}: {error:.2e} > {tolerance:.0e}"
  return error


REACHED: list[tuple[str, float, float]] = []
