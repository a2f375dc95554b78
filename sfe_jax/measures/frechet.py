"""Frechet distance between Gaussians fitted to features (FID).

Heusel et al. (2017).  It is computed in float64 by NumPy on the host, because
it needs more digits than accelerators compute with.
"""

import numpy as np
from absl import logging


class Moments:
  """Mean and covariance of feature vectors that arrive in batches.

  Sums of squares are taken about the running mean (Chan et al. 1979), which
  avoids cancellation; the order of the batches changes only the rounding.

  Attributes:
    count: number of vectors so far.
    mean: (d,) float64.
    scatter: (d, d) float64, sum of (x - mean)(x - mean)^T.
  """

  def __init__(self, width: int):
    """Starts without vectors, for features of shape (n, width)."""
    self.count = 0
    self.mean = np.zeros(width)
    self.scatter = np.zeros((width, width))

  def update(self, features: np.ndarray) -> None:
    """Adds a batch of features, (n, width).

    Raises:
      ValueError: the shape is wrong, or a value is not finite.
    """
    features = np.asarray(features, np.float64)
    width = self.mean.size
    if features.ndim != 2 or features.shape[1] != width:
      raise ValueError(
          f"features must have shape (n, {width}), got {features.shape}"
      )
    bad = np.count_nonzero(~np.isfinite(features).all(1))
    if bad:
      raise ValueError(
          f"features must be finite, got NaN or infinity in {bad} of"
          f" {len(features)} vectors; check the images and the weights"
      )
    if not len(features):
      return
    count = len(features)
    total = self.count + count
    mean = features.mean(0)
    centred = features - mean
    delta = mean - self.mean
    self.scatter = (
        self.scatter
        + centred.T @ centred
        + np.outer(delta, delta) * (self.count * count / total)
    )
    self.mean = self.mean + delta * (count / total)
    self.count = total

  @property
  def cov(self) -> np.ndarray:
    """Unbiased covariance, (d, d) float64.

    Raises:
      ValueError: there are fewer than 2 vectors.
    """
    if self.count < 2:
      raise ValueError(
          f"a covariance needs at least 2 feature vectors, got {self.count}"
      )
    return self.scatter / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
  """Returns |mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr((AB)^(1/2)).

  A and B are the covariances.  With R = A^(1/2), AB has the eigenvalues of the
  symmetric matrix RBR, so no root of a general matrix is needed.

  Raises:
    ValueError: the feature widths differ, or a side has fewer than 2 vectors.
  """
  if a.mean.shape != b.mean.shape:
    raise ValueError(
        "both sides need features of one width, got"
        f" {a.mean.size} and {b.mean.size}"
    )
  cov_a, cov_b = a.cov, b.cov
  fewest = min(a.count, b.count)
  if fewest < a.mean.size:
    logging.warning(
        "Frechet distance from %d samples of width %d: the covariance is"
        " singular and the distance biased; compare only distances from equal"
        " counts",
        fewest,
        a.mean.size,
    )
  values, vectors = np.linalg.eigh(cov_a)
  root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
  product = np.linalg.eigvalsh(root @ cov_b @ root)
  trace_root = np.sqrt(np.clip(product, 0, None)).sum()
  difference = a.mean - b.mean
  distance = difference @ difference + np.trace(cov_a + cov_b) - 2 * trace_root
  return max(float(distance), 0.0)  # rounding can make it negative
