"""Adaptive augmentation: identity, strength, gradients, adaptation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sfe_jax.training import augment
from tests import tiny

N, SIZE = 64, 16
IMAGES = jnp.float32(tiny.pictures(N, SIZE)) / 127.5 - 1
KEYS = jax.random.split(jax.random.key(0), N)
changed = jax.jit(augment.augment)


@functools.cache
def moved(p):
  """(n,) whether each picture differs."""
  out = changed(IMAGES, p, KEYS)
  return np.abs(out - IMAGES).max((1, 2, 3)) > 1e-3


def test_none_at_p_0():
  np.testing.assert_array_equal(changed(IMAGES, 0.0, KEYS), IMAGES)


def test_p_is_the_probability_of_a_change():
  # Seven changes, and mirroring, which does something half of the time.
  for p in (0.05, 0.2):
    want = 1 - (1 - p) ** 7.5
    assert abs(moved(p).mean() - want) < 3 * (want * (1 - want) / N) ** 0.5
  assert moved(1.0).all()
  out = np.asarray(changed(IMAGES, 1.0, KEYS))
  assert np.isfinite(out).all() and np.abs(out).max() < 20


def test_whole_pixels_are_moved_exactly():
  """Mirroring and translation, where the border does not show."""
  image = np.zeros((SIZE, SIZE, 3), np.float32)
  image[7:9, 4:9] = tiny.pictures(1, 5)[0, :2] / 255
  seen = set()
  for flip in (-1.0, 1.0):
    for shift in ((0.0, 0.0), (2.0, -1.0)):
      matrix = jnp.array([[1, 0, shift[0]], [0, flip, shift[1]]])
      want = image if flip > 0 else image[:, ::-1]
      # Sampled at y + shift: the picture moves the other way.
      want = np.roll(want, (-shift[0], -shift[1] * flip), (0, 1))
      got = np.asarray(augment._sample(jnp.asarray(image), matrix))
      np.testing.assert_allclose(got, want, atol=1e-6)
      seen.add(got.tobytes())
  assert len(seen) == 4


def test_borders_are_mirrored():
  row = jnp.arange(5.0)[None, :, None] * jnp.ones((5, 1, 1))
  shifted = augment._sample(row, jnp.array([[1.0, 0, 0], [0, 1, 2.5]]))
  np.testing.assert_allclose(shifted[0, :, 0], [2.5, 3.5, 3.5, 2.5, 1.5])


def test_colours_keep_what_they_should():
  grey = jnp.full((3,), 0.3)
  for key in jax.random.split(jax.random.key(1), 20):
    matrix, offset = augment._colours(key, 1.0)
    out = grey @ matrix + offset
    np.testing.assert_allclose(out, out[0], atol=1e-6)  # grey stays grey
  matrix = np.mean(
      [augment._colours(k, 1.0)[0] for k in jax.random.split(key, 20)], 0
  )
  assert np.abs(matrix - matrix.T).max() > 1e-2  # hues turn


def test_gradients_reach_the_images():
  gradient = jax.jit(
      jax.grad(lambda x: jnp.sum(jnp.square(augment.augment(x, 1.0, KEYS))))
  )(IMAGES)
  assert np.isfinite(gradient).all()
  assert (np.abs(gradient).max((1, 2, 3)) > 0).all()


def test_p_follows_the_target():
  p = jnp.float32(0.5)
  assert augment.adapt(p, 0.9, 0.6, 0.01) == np.float32(0.51)  # too sure
  assert augment.adapt(p, 0.2, 0.6, 0.01) == np.float32(0.49)
  assert augment.adapt(jnp.float32(0.0), -1.0, 0.6, 0.01) == 0.0
  assert augment.adapt(jnp.float32(1.0), 1.0, 0.6, 0.01) == 1.0
