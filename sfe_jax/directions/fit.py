"""Fits directions to latents, in float64 NumPy.

Directions and latents are rows of arrays.  A latent is w, or w+ flattened.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_HELD_OUT = 0.2
_L2 = 1.0  # on the coefficients of standardised latents
_NEWTON_STEPS = 50
_TOLERANCE = 1e-6
LEAST = 10  # samples of a class
# On standardised labels: the choices of a category sum to one.
_RIDGE = 0.02


class Boundary(NamedTuple):
  """A hyperplane between latents of low and of high scores.

  Attributes:
    normal: (d,) of unit length, towards the higher scores.
    accuracy: accuracy on held-out samples, averaged over both classes.
  """

  normal: np.ndarray
  accuracy: float


class Components(NamedTuple):
  """Principal components, the largest first.

  Attributes:
    mean: (d,), the mean latent.
    directions: (count, d) of unit length.
    stds: (count,), standard deviations along the directions.
  """

  mean: np.ndarray
  directions: np.ndarray
  stds: np.ndarray


def boundary(
    latents: np.ndarray, scores: np.ndarray, share: float = 0.5
) -> Boundary:
  """Fits InterFaceGAN's boundary of an attribute (Shen et al. 2020, section 3).

  The paper fits a linear SVM; this is logistic regression with an L2 penalty.

  Args:
    latents: (n, d).
    scores: (n,); if all are 0 or 1, they are the classes.
    share: share of the samples, in (0, 0.5], that make each class if the scores
      are not 0 and 1: the lowest and the highest scores.  On the drawn faces
      all samples (0.5) disentangle better than few extreme ones: the other
      scores change by .127 of a standard deviation, with a share of .02 by .168
      (see `condition`).

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
  for label in (0, 1):  # the same share of both classes
    members = rng.permutation(np.flatnonzero(y == label))
    held_out[members[: int(_HELD_OUT * len(members))]] = True
  normal, offset = _logistic_regression(x[~held_out], y[~held_out])
  hits = (x[held_out] @ normal + offset > 0) == y[held_out]
  accuracy = np.mean([hits[y[held_out] == label].mean() for label in (0, 1)])
  return Boundary(normal / np.linalg.norm(normal), float(accuracy))


def _logistic_regression(
    x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, float]:
  """Fits coefficients (d,) and offset by Newton's method."""
  mean, std = x.mean(0), x.std(0)
  std = np.where(std > 0, std, 1.0)
  x = np.column_stack([(x - mean) / std, np.ones(len(x))])
  penalty = np.full(x.shape[1], _L2)
  penalty[-1] = 1e-9  # the offset is not penalised
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
  """Makes each direction change the other attributes less.

  This is InterFaceGAN's conditional manipulation (section 3.3): the components
  of a normal along the other normals are removed.  A ridge limits how much is
  removed, because part of the space that the normals span is noise.  It is as
  large as the share of the dimensions that the normals span.

  Measured on drawn faces (35 attributes, 128 dimensions), at strengths where an
  attribute's own score changes by .7 of a standard deviation: the other scores
  change by .105 with a ridge of .3, by .111 with .03 and by .127 for plain
  normals; pictures change by .081, .095 and .076 of the distance between two
  samples.

  Args:
    normals: (k, d) of unit length.
    groups: the group of each normal; components along normals of the same group
      stay, because the choices of a category exclude each other.

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
  """Fits how latents change with each label while all other labels stay.

  This is a linear regression of the latents on all labels together.  The normal
  of a boundary points to where a label is predicted best, which includes
  directions that only cancel other variation of the latents.  The regression
  gives the mean change of the latents with the label (Haufe et al. 2014, On the
  interpretation of weight vectors of linear models).  Measured on drawn faces
  with w+ of E: for the same change of an attribute's score, pictures change 1.5
  to 10 times less than along normals.

  Args:
    latents: (n, d).
    values: (n, k): numbers, or 0 and 1.

  Returns:
    (k, d), the change per standard deviation of each label.
  """
  x = np.asarray(latents, np.float64)
  y = np.asarray(values, np.float64)
  y = (y - y.mean(0)) / np.maximum(y.std(0), 1e-12)
  gram = y.T @ y / len(y) + _RIDGE * np.eye(y.shape[1])
  return np.linalg.solve(gram, y.T @ (x - x.mean(0)) / len(x))


def principal_components(latents: np.ndarray, count: int) -> Components:
  """Computes GANSpace's principal components of w (Haerkoenen et al. 2020).

  Args:
    latents: (n, d); the paper takes n = 1e6.
    count: number of components, at most d.
  """
  x = np.asarray(latents, np.float64)
  mean = x.mean(0)
  x = x - mean
  values, vectors = np.linalg.eigh(x.T @ x / len(x))
  largest = slice(None, -count - 1, -1)
  stds = np.sqrt(np.maximum(values[largest], 0.0))
  return Components(mean, vectors[:, largest].T, stds)


def sefa(kernels: Sequence[np.ndarray], count: int) -> np.ndarray:
  """Computes SeFa's directions, which move the styles most (Shen, Zhou 2021).

  Args:
    kernels: (d, channels) each, of the layers that turn w into styles.
    count: number of directions, at most d.

  Returns:
    (count, d) of unit length: the top eigenvectors of A^T A, where A is the
    matrix of all layers.
  """
  a = np.concatenate([np.asarray(k, np.float64) for k in kernels], 1)
  _, vectors = np.linalg.eigh(a @ a.T)
  return vectors[:, : -count - 1 : -1].T


def scaled(directions: np.ndarray, latents: np.ndarray) -> np.ndarray:
  """Scales rows (k, d) to one standard deviation of the latents along them."""
  directions = np.asarray(directions, np.float64)
  lengths = np.linalg.norm(directions, axis=1, keepdims=True)
  units = directions / np.maximum(lengths, 1e-12)
  return units * (np.asarray(latents, np.float64) @ units.T).std(0)[:, None]
