"""Fits directions to latents: float64 NumPy, no networks.

All directions are rows; a latent is a row of w, or a flattened w+.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_HELD_OUT = 0.2
_L2 = 1.0  # on the coefficients of standardised latents
_NEWTON_STEPS = 50
_TOLERANCE = 1e-6
LEAST = 10  # samples of a class
_RIDGE = 0.02  # of standardised labels: some categories' choices sum to one


class Boundary(NamedTuple):
  """A hyperplane between latents of low and of high scores.

  Attributes:
    normal: (d,) of unit length; + raises the score.
    accuracy: on samples that were held out, mean of both classes.
  """

  normal: np.ndarray
  accuracy: float


class Components(NamedTuple):
  """Principal components, the largest first.

  Attributes:
    mean: (d,).
    directions: (count, d) of unit length.
    stds: (count,), standard deviations along them.
  """

  mean: np.ndarray
  directions: np.ndarray
  stds: np.ndarray


def boundary(
    latents: np.ndarray, scores: np.ndarray, share: float = 0.5
) -> Boundary:
  """InterFaceGAN's boundary of an attribute (Shen et al. 2020, section 3).

  Logistic regression with an L2 penalty takes the place of the paper's SVM.

  Args:
    latents: (n, d).
    scores: (n,); where all are 0 or 1, they are the classes.
    share: of the samples that each class gets, the lowest and the highest, of
      scores that are no classes; in (0, 0.5].  On the drawn faces all samples,
      0.5, disentangle better than few extreme ones: other scores move .127 of
      a standard deviation, with .02 of them .168 (see `condition`).

  Raises:
    ValueError: a class has fewer than 10 samples.
  """
  x = np.asarray(latents, np.float64)
  scores = np.asarray(scores, np.float64)
  if np.isin(scores, (0, 1)).all():
    chosen, y = np.arange(len(scores)), scores
  else:
    count, order = int(share * len(scores)), np.argsort(scores, kind="stable")
    chosen = np.concatenate([order[:count], order[len(order) - count :]])
    y = np.repeat((0.0, 1.0), count)
  if min(y.sum(), (1 - y).sum()) < LEAST:
    raise ValueError(
        f"a class has {int(min(y.sum(), (1 - y).sum()))} samples, fewer than"
        f" {LEAST}"
    )
  x = x[chosen]
  rng = np.random.default_rng(0)
  held_out = np.zeros(len(y), bool)
  for label in (0, 1):  # of both classes the same share
    members = rng.permutation(np.flatnonzero(y == label))
    held_out[members[: int(_HELD_OUT * len(members))]] = True
  normal, offset = _logistic_regression(x[~held_out], y[~held_out])
  hits = (x[held_out] @ normal + offset > 0) == y[held_out]
  accuracy = np.mean([hits[y[held_out] == label].mean() for label in (0, 1)])
  return Boundary(normal / np.linalg.norm(normal), float(accuracy))


def _logistic_regression(
    x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, float]:
  """Coefficients (d,) and offset, by Newton's method."""
  mean, std = x.mean(0), x.std(0)
  std = np.where(std > 0, std, 1.0)
  x = np.column_stack([(x - mean) / std, np.ones(len(x))])
  penalty = np.full(x.shape[1], _L2)
  penalty[-1] = 1e-9  # the offset is free
  b = np.zeros(x.shape[1])
  for _ in range(_NEWTON_STEPS):
    p = 0.5 * (1 + np.tanh(0.5 * (x @ b)))
    hessian = (x.T * (p * (1 - p))) @ x + np.diag(penalty)
    step = np.linalg.solve(hessian, x.T @ (y - p) - penalty * b)
    b += step
    if np.abs(step).max() < _TOLERANCE:
      break
  normal = b[:-1] / std
  return normal, float(b[-1] - mean @ normal)


def condition(normals: np.ndarray, groups: Sequence[Any]) -> np.ndarray:
  """Directions that change their own attribute and others less.

  InterFaceGAN's conditional manipulation (section 3.3): the parts of a normal
  along the others are taken away.  Many normals span much of the space, of
  which noise makes a part: a ridge, as large as the share of the dimensions
  that they span, keeps what only that part would take away.

  On the drawn faces (an early generator, 35 attributes, 128 dimensions) the
  other scores move .105 of a standard deviation where an attribute's own moves
  .7 with a ridge of .3, against .127 for the normals alone and .111 with a
  ridge of .03; the pictures move .081, .076 and .095 of the distance to a
  stranger.

  Args:
    normals: (k, d) of unit length.
    groups: of each; normals of its own group are not taken away (the choices
      of a category exclude each other).

  Returns:
    (k, d), of any length.
  """
  normals = np.asarray(normals, np.float64)
  out = normals.copy()
  for i, group in enumerate(groups):
    others = normals[[other != group for other in groups]]
    ridge = len(others) / normals.shape[1] * np.eye(len(others))
    gram = others @ others.T + ridge
    out[i] -= np.linalg.solve(gram, others @ normals[i]) @ others
  return out


def regression(latents: np.ndarray, values: np.ndarray) -> np.ndarray:
  """How latents change with each label while all other labels stay.

  Linear regression of the latents on all labels together.  A boundary's normal
  is what best tells a label, which also cancels what else varies; this is what
  the label moves (Haufe et al. 2014, On the interpretation of weight vectors of
  linear models).  On the drawn faces, with w+ of E, edits of the same effect
  then change pictures 1.5 to 10 times less than along normals.

  Args:
    latents: (n, d).
    values: (n, k): numbers, or 0 and 1.

  Returns:
    (k, d), per standard deviation of the label; of any length.
  """
  x = np.asarray(latents, np.float64)
  y = np.asarray(values, np.float64)
  y = (y - y.mean(0)) / np.maximum(y.std(0), 1e-12)
  gram = y.T @ y / len(y) + _RIDGE * np.eye(y.shape[1])
  return np.linalg.solve(gram, y.T @ (x - x.mean(0)) / len(x))


def principal_components(latents: np.ndarray, count: int) -> Components:
  """GANSpace: principal components of w (Haerkoenen et al. 2020).

  Args:
    latents: (n, d), many: the paper takes 1e6.
    count: at most d.
  """
  x = np.asarray(latents, np.float64)
  mean = x.mean(0)
  x = x - mean
  values, vectors = np.linalg.eigh(x.T @ x / len(x))
  largest = slice(None, -count - 1, -1)
  stds = np.sqrt(np.maximum(values[largest], 0.0))
  return Components(mean, vectors[:, largest].T, stds)


def sefa(kernels: Sequence[np.ndarray], count: int) -> np.ndarray:
  """SeFa: what moves the style vectors most (Shen and Zhou 2021).

  Args:
    kernels: (d, channels) of the layers that turn w into styles.
    count: at most d.

  Returns:
    (count, d) of unit length: the top eigenvectors of A^T A, A the matrix of
    all layers.
  """
  a = np.concatenate([np.asarray(k, np.float64) for k in kernels], 1)
  _, vectors = np.linalg.eigh(a @ a.T)
  return vectors[:, : -count - 1 : -1].T


def scaled(directions: np.ndarray, latents: np.ndarray) -> np.ndarray:
  """Gives rows (k, d) the length of one standard deviation of the latents."""
  directions = np.asarray(directions, np.float64)
  lengths = np.linalg.norm(directions, axis=1, keepdims=True)
  units = directions / np.maximum(lengths, 1e-12)
  return units * (np.asarray(latents, np.float64) @ units.T).std(0)[:, None]
