"""Editing error against the true edited picture, on drawn faces.

A drawn face is drawn twice, before and after one attribute changed.  The method
edits the first picture along the direction of the attribute's name; the second
picture is the true result.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from sfe_jax import drawn_faces
from sfe_jax.drawn_faces.portrait import SIZES
from sfe_jax.errors import UserError
from sfe_jax.metrics.judge import Judge
from sfe_jax.metrics.methods import Method
from sfe_jax.metrics.protocols import Means, batches

# Attribute: its value before and after the change.
CHANGES: Mapping[str, tuple[float, float]] = {
    "smile": (0.1, 0.9),
    "glasses": (0, 1),
    "age": (25, 65),
    "hair_light": (0.1, 0.8),
    "skin": (0.2, 0.7),
    "gender": (0.15, 0.85),
    "yaw": (-0.4, 0.4),
}
CALIBRATION = 64  # pairs from which a strength is found
_BEYOND = 1.5  # strengths are tried up to this multiple of the useful range
_STEPS = 6  # strengths tried between 0 and each end


def pairs(attribute: str, seed: int, size: int) -> Iterator[np.ndarray]:
  """Draws faces before and after a change, without end.

  Faces are drawn without extras (masks, hands, ...); faces in which the change
  cannot be seen are left out.

  Args:
    attribute: one of CHANGES.
    seed: random seed of all faces.
    size: height and width in pixels.

  Yields:
    uint8 (2, size, size, 3): before, after.
  """
  for index in itertools.count():
    face = drawn_faces.sample(seed, index).replace(extra="none")
    before, after = (
        drawn_faces.draw(face.replace(**{attribute: value}), size)
        for value in CHANGES[attribute]
    )
    if (before != after).any():
      yield np.stack([before, after])


def check_size(size: int) -> None:
  """Raises UserError if faces cannot be drawn at `size` pixels."""
  if not SIZES[0] <= size <= SIZES[1]:
    raise UserError(
        f"faces are drawn at {SIZES[0]} to {SIZES[1]} px, but the generator"
        f" makes pictures of {size} px"
    )


def candidates(low: float | None, high: float | None) -> list[float]:
  """Strengths to try: beyond both ends of the useful range, with 0.

  Args:
    low: lower end of the useful range; None is taken as -3.
    high: upper end of the useful range; None is taken as 3.

  Returns:
    Strengths in ascending order.
  """
  low = _BEYOND * min(-3.0 if low is None else low, 0.0)
  high = _BEYOND * max(3.0 if high is None else high, 0.0)
  down, up = np.linspace(low, 0, _STEPS + 1), np.linspace(0, high, _STEPS + 1)
  return np.unique(np.concatenate([down, up])).tolist()


def solve(
    strengths: Sequence[float], effects: Sequence[float], target: float
) -> float:
  """Finds the strength with a given effect by linear interpolation.

  Args:
    strengths: strengths that were tried, ascending.
    effects: effect of each.
    target: the effect to reach.

  Returns:
    The strength nearest to 0 whose effect is `target`; if there is none, the
    tried strength with the nearest effect.
  """
  found = []
  ends = itertools.pairwise(zip(strengths, effects))
  for (s0, e0), (s1, e1) in ends:
    if min(e0, e1) <= target <= max(e0, e1):
      share = (target - e0) / (e1 - e0) if e1 != e0 else 0.0
      found.append(s0 + share * (s1 - s0))
  if found:
    return float(min(found, key=abs))
  return float(strengths[int(np.argmin(np.abs(np.subtract(effects, target))))])


def calibrate(
    method: Method,
    judge: Judge,
    attribute: str,
    drawn: Iterable[np.ndarray],
    strengths: Sequence[float],
    batch_size: int,
) -> float:
  """Finds the strength whose effect on the attribute's score is the true one.

  Effects are differences to the score of the original picture, not of its
  inversion: inversion loss counts against the method.

  Args:
    method: edits the pictures.
    judge: computes the score of the attribute.
    attribute: name of the attribute and of the direction.
    drawn: pairs (2, size, size, 3).
    strengths: strengths to try, ascending.
    batch_size: pictures per batch.
  """
  target, effects = 0.0, np.zeros(len(strengths))
  for batch, count in batches(drawn, batch_size):
    code = method.encode(batch[:, 0])
    before = judge.scores(batch[:, 0], attribute)[:count]
    target += (judge.scores(batch[:, 1], attribute)[:count] - before).sum()
    for i, strength in enumerate(strengths):
      out = method.edit(code, attribute, strength)
      after = judge.scores(out, attribute)[:count]
      effects[i] += (after - before).sum()
  return solve(strengths, effects.tolist(), float(target))


def measure(
    method: Method,
    judge: Judge,
    attribute: str,
    drawn: Iterable[np.ndarray],
    strength: float,
    batch_size: int,
) -> dict[str, Any]:
  """Measures errors against the true pictures for one attribute.

  Args:
    method: edits the pictures.
    judge: measures the pictures.
    attribute: name of the attribute and of the direction.
    drawn: pairs (2, size, size, 3).
    strength: strength of the edit.
    batch_size: pictures per batch.

  Returns:
    Three sets of errors: "edit" (the edited picture), "input" (the picture
    before the change, i.e. no edit) and "floor" (the method's inversion of the
    true picture).  Each holds the means and standard errors of `Judge.compare`
    and of "l2_changed", the mean squared error over the pixels that the true
    change alters.  "effect" is the change of the attribute's score divided by
    its true change, None if no network scores the attribute.
  """
  scored = attribute in judge.outputs
  sets = {name: Means() for name in ("edit", "input", "floor")}
  changes = Means()
  for batch, count in batches(drawn, batch_size):
    before, truth = batch[:, 0], batch[:, 1]
    changed = (before != truth).any(-1)
    edited = method.edit(method.encode(before), attribute, strength)
    made = {
        "edit": edited,
        "input": before,
        "floor": method.reconstruct(method.encode(truth)),
    }
    for name, pictures in made.items():
      values = judge.compare(pictures, truth)
      values["l2_changed"] = _l2_where(changed, pictures, truth)
      sets[name].add(values, count)
    if scored:
      a, b, c = (
          judge.scores(p, attribute) for p in (before, truth, edited)
      )
      changes.add({"true": b - a, "edited": c - a}, count)
  effect = None
  if scored:
    result = changes.result()
    effect = result["edited"] / result["true"] if result["true"] else None
  return {"effect": effect, **{k: v.result() for k, v in sets.items()}}


def _l2_where(where: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Mean squared error of [-1, 1] over the pixels in `where`: (n,) float64."""
  squares = (((x - y.astype(np.float64)) / 127.5) ** 2).mean(-1)
  return (squares * where).sum((1, 2)) / where.sum((1, 2))


def measure_all(
    method: Method,
    judge: Judge,
    strengths: Mapping[str, float | None],
    ranges: Mapping[str, tuple[float | None, float | None]],
    *,
    count: int,
    seed: int,
    batch_size: int,
) -> dict[str, dict[str, Any]]:
  """Measures edits of several attributes, see `measure`.

  Args:
    method: edits the pictures.
    judge: measures the pictures.
    strengths: strength by attribute, which is also the direction's name.  For
      None the strength is found on CALIBRATION pairs that are not measured.
    ranges: useful strengths by attribute, see `candidates`.
    count: pairs to measure per attribute.
    seed: random seed of the faces.
    batch_size: pictures per batch.

  Returns:
    By attribute: the attribute's values "from" and "to", "strength",
    "calibrated" (whether the strength was found), and the results of `measure`.

  Raises:
    UserError: a strength is None and no network scores the attribute.
  """
  for attribute, strength in strengths.items():
    if strength is None and attribute not in judge.outputs:
      raise UserError(
          f"no perception network scores {attribute}, so its strength cannot be"
          f" found; give it with --edit {attribute}=STRENGTH"
      )
  results = {}
  for attribute, strength in strengths.items():
    drawn = pairs(attribute, seed, method.size)
    # These pairs are skipped even if the strength is given, so that the same
    # pairs are measured in both cases.
    calibration = list(itertools.islice(drawn, CALIBRATION))
    calibrated = strength is None
    if strength is None:
      strength = calibrate(
          method,
          judge,
          attribute,
          _with_bar(calibration, f"{attribute}: strength", CALIBRATION),
          candidates(*ranges[attribute]),
          batch_size,
      )
    measured = _with_bar(itertools.islice(drawn, count), attribute, count)
    results[attribute] = {
        "from": CHANGES[attribute][0],
        "to": CHANGES[attribute][1],
        "strength": strength,
        "calibrated": calibrated,
        **measure(method, judge, attribute, measured, strength, batch_size),
    }
  return results


def _with_bar(
    drawn: Iterable[np.ndarray], title: str, count: int
) -> Iterable[np.ndarray]:
  return tqdm.tqdm(drawn, title, count, unit="pair", disable=None)
