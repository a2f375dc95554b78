"""Editing error against the true edited picture, on drawn faces.

Of a face both pictures are drawn, before and after one attribute changed.  The
method edits the first by the direction of that name; the second is the truth.
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

# Value before and after.
CHANGES = {
    "smile": (0.1, 0.9),
    "glasses": (0, 1),
    "age": (25, 65),
    "hair_light": (0.1, 0.8),
    "skin": (0.2, 0.7),
    "gender": (0.15, 0.85),
    "yaw": (-0.4, 0.4),
}
CALIBRATION = 64
_BEYOND = 1.5  # times the range that a direction is said to be useful in
_STEPS = 6  # from 0 to each end


def pairs(attribute: str, seed: int, size: int) -> Iterator[np.ndarray]:
  """Drawn faces before and after a change: uint8 (2, size, size, 3), endless.

  Faces in the domain only, without those that hide the change.

  Args:
    attribute: one of CHANGES.
    seed: of all faces.
    size: in pixels.
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
  """Raises UserError where faces are not drawn in a size."""
  if not SIZES[0] <= size <= SIZES[1]:
    raise UserError(
        f"faces are drawn at {SIZES[0]} to {SIZES[1]} px, the generator makes"
        f" pictures of {size} px"
    )


def grid(low: float | None, high: float | None) -> list[float]:
  """Strengths to try: beyond the useful range, through 0.

  Args:
    low: its end, -3 where it is not known.
    high: its end, 3 where it is not known.
  """
  low = _BEYOND * min(-3.0 if low is None else low, 0.0)
  high = _BEYOND * max(3.0 if high is None else high, 0.0)
  down, up = np.linspace(low, 0, _STEPS + 1), np.linspace(0, high, _STEPS + 1)
  return np.unique(np.concatenate([down, up])).tolist()


def solve(
    strengths: Sequence[float], effects: Sequence[float], target: float
) -> float:
  """The smallest strength whose effect is `target`, by linear interpolation.

  Where none has it: of the given ones that whose effect is nearest.

  Args:
    strengths: ascending.
    effects: of each.
    target: effect that is wanted.
  """
  found = []
  ends = itertools.pairwise(zip(strengths, effects))
  for (s0, e0), (s1, e1) in ends:
    if min(e0, e1) <= target <= max(e0, e1):
      share = (target - e0) / (e1 - e0) if e1 != e0 else 0.0
      found.append(s0 + share * (s1 - s0))
  if found:
    return float(min(found, key=abs))
  return float(strengths[np.argmin(np.abs(np.subtract(effects, target)))])


def calibrate(
    method: Method,
    judge: Judge,
    attribute: str,
    drawn: Iterable[np.ndarray],
    strengths: Sequence[float],
    batch_size: int,
) -> float:
  """The strength at which edits change the attribute's score as the truth does.

  Changes are from the picture's own score, not from its inversion's: what an
  inversion loses of the attribute is the method's to make up.

  Args:
    method: edits.
    judge: has the score.
    attribute: also the direction's name.
    drawn: pairs.
    strengths: to try, ascending.
    batch_size: pictures that run together.
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
  return solve(strengths, effects, target)


def measure(
    method: Method,
    judge: Judge,
    attribute: str,
    drawn: Iterable[np.ndarray],
    strength: float,
    batch_size: int,
) -> dict[str, Any]:
  """Errors against the true picture.

  Args:
    method: edits.
    judge: measures.
    attribute: also the direction's name.
    drawn: pairs.
    strength: of the edit.
    batch_size: pictures that run together.

  Returns:
    "edit" (the method's), "input" (no edit) and "floor" (the method's inversion
    of the true picture), each with the means of `Judge.compare` and l2_changed,
    l2 where the true pictures differ; "effect": the part of the true change of
    the attribute's score that edits reach, None without such a score.
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
  """Mean squared error of [-1, 1] over the pixels in `where`: (n,)."""
  squares = (((x - y.astype(np.float64)) / 127.5) ** 2).mean(-1)
  return (squares * where).sum((1, 2)) / where.sum((1, 2))


def evaluate(
    method: Method,
    judge: Judge,
    strengths: Mapping[str, float | None],
    ranges: Mapping[str, tuple[float | None, float | None]],
    *,
    count: int,
    seed: int,
    batch_size: int,
) -> dict[str, dict[str, Any]]:
  """Measures edits of some attributes, each at the effect of the true change.

  Args:
    method: edits.
    judge: measures.
    strengths: by attribute, of CHANGES and also the direction's name; None is
      found on CALIBRATION pairs before those that are measured.
    ranges: in which strengths are useful, see `grid`.
    count: pairs that are measured.
    seed: of the faces.
    batch_size: pictures that run together.

  Raises:
    UserError: a strength is None and no network scores the attribute.
  """
  for attribute, strength in strengths.items():
    if strength is None and attribute not in judge.outputs:
      raise UserError(
          f"no perception network at hand scores {attribute}, so its strength"
          f" cannot be found; give it with --edit {attribute}=STRENGTH"
      )
  results = {}
  for attribute, strength in strengths.items():
    drawn = pairs(attribute, seed, method.size)
    # Taken in any case: the same pairs are measured however it is found.
    calibration = list(itertools.islice(drawn, CALIBRATION))
    if found := strength is None:
      tried = grid(*ranges[attribute])
      strength = calibrate(
          method, judge, attribute, calibration, tried, batch_size
      )
    measured = tqdm.tqdm(
        itertools.islice(drawn, count),
        attribute, count, unit="pair", disable=None,
    )
    results[attribute] = {
        "from": CHANGES[attribute][0],
        "to": CHANGES[attribute][1],
        "strength": strength,
        "calibrated": found,
        **measure(method, judge, attribute, measured, strength, batch_size),
    }
  return results
