"""The perception network, the stage that trains it, and its use as a loss.

  python -m tests.test_perception OUT.npz   a step on all devices
"""

import functools
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import toy_perception
from sfe_jax import devices, drawn_faces
from sfe_jax.data.batch import Batch
from sfe_jax.drawn_faces import folder as domain_folder
from sfe_jax.errors import UserError
from sfe_jax.models.perception import Perception
from sfe_jax.storage import checkpoints, labels
from sfe_jax.storage import weights as weight_files
from sfe_jax.training import stages
from sfe_jax.training.stages import networks, perception
from sfe_jax.training.step import EncoderVariant
from tests import runs, tiny, tiny_phases
from tests.virtual_devices import beside, named

pytestmark = pytest.mark.usefixtures("quick_compilation")

N, SIZE = 4, 16
SMALL = Perception(SIZE, (8, 8, 8), embedding=6, outputs=3)
PICTURES = jnp.float32(tiny.pictures(N, SIZE)) / 127.5 - 1
LABELS = """file,smile,glasses,hair
00.png,0.1,0,long
01.png,0.9,0,short
02.png,0.4,1,long
03.png,0.5,1,bald
"""


@pytest.fixture(scope="module", autouse=True)
def two_devices(tmp_path_factory):
  """Computes on 2 devices beside the other tests; gives the results."""
  out = tmp_path_factory.mktemp("two") / "out.npz"
  yield from beside("tests.test_perception", 2, out)


@functools.cache
def variables():
  return tiny.fill(SMALL)


@functools.partial(jax.jit, static_argnums=0)
def apply(method, *args):
  return SMALL.apply(variables(), *args, method=method)


def schema():
  return (
      labels.Column("smile", "continuous", mean=0.5, std=0.3),
      labels.Column("glasses", "binary"),
      labels.Column("hair", "categorical", ("bald", "long", "short")),
  )


LABEL = np.array(
    [[-1, 0, 0, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 1, 1, 0, 0]],
    np.float32,
)


@functools.cache
def build(path=None, **changes):
  """The stage of a config; with `path` it has the labels there."""
  c = toy_perception.get_config("smoke")
  changes = {key.replace("__", "."): x for key, x in changes.items()}
  c.update_from_flattened_dict({"data.labels": path or "", **changes})
  with mock.patch.object(weight_files, "init", lambda net, _: tiny.fill(net)):
    return stages.build(c)


@functools.cache
def labelled():
  """A stage whose labels are `schema`'s."""
  table = labels.Table("", schema(), {}, None)
  with mock.patch.object(labels, "read", lambda path: table):
    return build("labels.csv")


def on_devices(function, *args):
  """The result of a function that is mapped over the devices."""
  return devices.unreplicate(
      devices.pmap(function)(*(devices.split(a) for a in args))
  )


@functools.cache
def step(with_labels=True):
  """(state, metrics) after a step on all devices."""
  stage = labelled() if with_labels else build()

  def one(state, frozen, batch, seed):
    return stage.step(None, state, frozen, batch, jax.random.key(seed))

  batch = Batch(tiny.pictures(N, SIZE), LABEL if with_labels else None)
  out = devices.pmap(one)(
      devices.replicate(stage.state),
      devices.replicate(stage.frozen),
      devices.split(batch),
      devices.replicate(np.uint32(0)),
  )
  return devices.unreplicate(out)


def main(out):
  assert jax.local_device_count() == 2
  np.savez(out, **named(step()))


# The network.


def test_shapes_and_lengths():
  embeddings, scores = apply(None, PICTURES)
  assert embeddings.shape == (N, 6) and scores.shape == (N, 3)
  np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1, rtol=1e-5)
  np.testing.assert_allclose(apply("embed", PICTURES), embeddings, atol=1e-6)
  features = apply("features", PICTURES)
  assert [f.shape for f in features] == [
      (N, 16, 16, 8), (N, 8, 8, 8), (N, 4, 4, 8)
  ]  # fmt: skip
  for f in features:
    np.testing.assert_allclose(np.linalg.norm(f, axis=-1), 1, rtol=1e-4)
  assert apply("pooled", PICTURES).shape == (N, 8)
  bare = Perception(SIZE, (8, 8, 8))
  results = jax.eval_shape(bare.apply, tiny.fill(bare), PICTURES)
  assert results[1].shape == (N, 0)
  half = Perception(SIZE, (8, 8, 8), 6, 3, jnp.bfloat16)
  results = jax.eval_shape(half.apply, variables(), PICTURES)
  assert {x.dtype for x in results} == {jnp.float32.dtype}
  with pytest.raises(ValueError, match="16 px down to 4 px.* end at 8 px"):
    Perception(16, (8, 8)).init(jax.random.key(0), PICTURES)


def test_distance():
  @jax.jit
  def distance(a, b):
    a, b = (apply("features", x) for x in (a, b))
    return apply("compare", a, b)

  np.testing.assert_array_equal(distance(PICTURES, PICTURES), 0)
  other = PICTURES[::-1]
  a, b = (apply("features", x) for x in (PICTURES, other))
  want = np.mean([(2 - 2 * (x * y).sum(-1)).mean((1, 2)) for x, y in zip(a, b)],
                 axis=0)  # fmt: skip
  np.testing.assert_allclose(distance(PICTURES, other), want, rtol=1e-4)
  gradient = jax.jit(jax.grad(lambda x: jnp.sum(distance(x, PICTURES))))(other)
  assert np.isfinite(gradient).all()
  assert (np.abs(gradient).max((1, 2, 3)) > 0).all()
  # Pictures that excite nothing have gradients too.
  blank = jax.tree.map(jnp.zeros_like, variables())

  @jax.jit
  @jax.grad
  def slopes(x):
    features = SMALL.apply(blank, x, method="features")
    return jnp.sum(features[0]) + jnp.sum(SMALL.apply(blank, x)[0])

  assert np.isfinite(slopes(PICTURES)).all()


def test_larger_images_are_averaged():
  large = jnp.repeat(jnp.repeat(PICTURES, 4, 1), 4, 2)
  np.testing.assert_allclose(
      apply("embed", large), apply("embed", PICTURES), atol=1e-5
  )


# The stage.


def test_nt_xent_is_the_formula():
  rng = np.random.default_rng(0)
  z = rng.standard_normal((6, 5))
  z /= np.linalg.norm(z, axis=1, keepdims=True)
  want, found = np.zeros(6), np.zeros(6)
  for i in range(6):
    similar = {k: np.exp(z[i] @ z[k] / 0.3) for k in range(6) if k != i}
    other = (i + 3) % 6
    want[i] = -np.log(similar[other] / sum(similar.values()))
    found[i] = max(similar, key=similar.get) == other
  loss, hits = on_devices(
      lambda z: perception.nt_xent(z, 0.3), z.astype(np.float32)
  )
  np.testing.assert_allclose(loss, want.reshape(2, 3).mean(0), rtol=1e-5)
  np.testing.assert_allclose(hits, found.reshape(2, 3).mean(0))


def test_label_losses_and_scores():
  out = np.array([[0.5, 2.0, 0.0, 3.0, 0.0], [0.5, 2.0, 0.0, 3.0, 0.0]])
  got, scores = {}, {}
  for column, span in labels.spans(schema()):
    part = jnp.float32(out[:, span]), LABEL[:2, span]
    got[column.name] = perception.label_loss(column, *part)
    scores |= perception.label_score(column, *part)
  softmax = np.log(np.exp(3) + 2)
  np.testing.assert_allclose(got["smile"], [2.25, 0.25])
  np.testing.assert_allclose(got["glasses"], 2 * [np.log1p(np.exp(2))], 1e-6)
  np.testing.assert_allclose(got["hair"], [softmax - 3, softmax], 1e-6)
  np.testing.assert_allclose(scores["error/smile"], [2.25, 0.25])
  np.testing.assert_allclose(scores["accuracy/glasses"], [0, 0])
  np.testing.assert_allclose(scores["accuracy/hair"], [1, 0])


def test_views_differ_and_the_first_keeps_colours():
  grey = jnp.broadcast_to(jnp.float32([0.5, -0.2, 0.1]), PICTURES.shape)

  def both(images):
    return [
        perception.views(x, jax.random.key(1)) for x in (PICTURES, images)
    ]

  (first, second), (plain, changed) = on_devices(both, grey)
  np.testing.assert_allclose(plain, grey, atol=1e-5)
  assert len({x.tobytes() for x in np.asarray(changed)}) == N
  hidden = (changed == 0).all(-1).mean((1, 2))
  assert (hidden > 0.01).all() and (hidden < 0.3).all()
  for view in (first, second):
    assert (np.abs(view - PICTURES).mean((1, 2, 3)) > 1e-3).all()
    assert np.abs(view).max() < 3


@pytest.mark.parametrize("with_labels", [True, False])
def test_a_step_changes_what_it_should(with_labels):
  before = (labelled() if with_labels else build()).state
  after, metrics = step(with_labels)
  names = {"loss/contrastive", "loss/total", "grad_norm"}
  more = {"loss/labels"} if with_labels else set()
  assert metrics.keys() == names | more
  assert all(np.isfinite(x).all() for x in named((after, metrics)).values())
  weighted = 0.2 * metrics["loss/contrastive"]
  weighted += metrics.get("loss/labels", 0.0)
  np.testing.assert_allclose(metrics["loss/total"], weighted, rtol=1e-5)
  assert after.step == 1
  old, new = named(before.params), named(after.params)
  assert all((old[name] != new[name]).any() for name in old)
  assert any(name.startswith("labels") for name in new) == with_labels


def test_one_device_equals_two(two_devices):
  one, two = named(step()), two_devices()
  assert one.keys() == two.keys()
  for name, b in one.items():
    error = np.abs(two[name] - b)
    if name.startswith("0/params"):  # Adam's first step is a gradient's sign
      assert np.mean(error > 1e-5) < 0.02, name
    else:
      assert error.max() <= 1e-4 * max(np.abs(b).max(), 1e-5), name


def test_grid_and_scores():
  stage = labelled()
  state, frozen = devices.replicate((stage.state, stage.frozen))
  pictures = tiny.pictures(N, SIZE)
  batch = devices.split(Batch(pictures))
  columns = devices.join(devices.pmap(stage.grid)(state, frozen, batch))
  assert list(columns) == ["picture", "view 1", "view 2"]
  assert {x.shape for x in columns.values()} == {(N, SIZE, SIZE, 3)}
  batch = devices.split(Batch(pictures, LABEL))
  scores = devices.join(devices.pmap(stage.validate)(state, frozen, batch))
  assert scores.keys() == {
      "loss", "contrastive", "labels", "found", "error/smile",
      "accuracy/glasses", "accuracy/hair",
  }  # fmt: skip
  assert {x.shape for x in scores.values()} == {(N,)}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data__resolution": 48}, "power of two of at least 8, got 48"),
        ({"data__batch_size": 1}, "must be 2 or more .* got 1"),
        ({"compute__dtype": "float16"}, "compute.dtype must be .* 'float16'"),
        ({"path": "none.csv"}, "no such file of labels"),
    ],
)
def test_impossible_configs_are_refused(changes, message):
  with pytest.raises(UserError, match=message):
    build(**changes)


def test_two_and_two_steps_are_four(tmp_path):
  command = runs.Runs(tmp_path, tiny.pictures(12, SIZE))
  rows = "".join(f"{i:03}.png,{i % 2},{i / 7}\n" for i in range(12))
  (tmp_path / "pictures/labels.csv").write_text(f"file,odd,number\n{rows}")
  small = (
      "--config.data.validation_count=4",
      "--config.data.batch_size=4",
      "--config.checkpoint.deploy=last",
  )

  def train(name, *args):
    return command.start("toy_perception", name, *small, *args)

  whole, cut = train("whole"), train("cut", "--config.steps=2")
  whole, cut = command.finish(whole), command.finish(cut)
  cut += command.finish(train("cut"))
  assert "going on from step 2" in cut
  assert list(runs.losses(whole)) == [1, 2, 3, 4]
  assert runs.losses(cut) == runs.losses(whole)
  states = [
      checkpoints.read_state(tmp_path / name, names=("params", "opt_state"))
      for name in ("whole", "cut")
  ]
  jax.tree.map(np.testing.assert_array_equal, *states)
  path = tmp_path / "whole/weights/perception"
  network, found = weight_files.read(path, Perception)
  assert (network.resolution, network.outputs) == (SIZE, 2)
  jax.tree.map(
      np.testing.assert_array_equal, dict(found["params"]), states[0]["params"]
  )
  kept = weight_files.describe(path)["info"]["labels"]
  want = labels.read(tmp_path / "pictures/labels.csv").schema
  assert labels.from_json(kept) == want


@functools.cache
def drawn(start, count):
  """Faces of another seed than those in folders, and their pictures."""
  found = [drawn_faces.sample(1, i) for i in range(start, start + count)]
  pictures = np.stack([drawn_faces.draw(face, 32) for face in found])
  return found, jnp.float32(pictures) / 127.5 - 1


def test_a_short_training_learns(tmp_path):
  """On 200 faces it learns their skin, and which are alike."""
  command = runs.Runs(tmp_path, tiny.pictures(12, 32))
  domain_folder.write(tmp_path / "faces", 200, 32)
  command.finish(
      command.start(
          "toy_perception",
          "out",
          f"--config.data.path={tmp_path / 'faces'}",
          "--config.data.resolution=32",
          "--config.data.batch_size=24",
          "--config.model.width=8",
          "--config.model.max_width=32",
          "--config.optimizer.learning_rate=3e-3",
          "--config.steps=60",
          "--config.log.every=20",
          "--config.log.validate_every=60",
          "--config.log.grid_every=60",
          "--config.checkpoint.every=60",
      )
  )
  path = tmp_path / "out/weights/perception"
  network, trained = weight_files.read(path, Perception)
  names = labels.outputs(
      labels.from_json(weight_files.describe(path)["info"]["labels"])
  )
  faces, pictures = drawn(0, 64)
  _, scores = network.apply(trained, pictures)
  skin = [face.skin for face in faces]
  assert np.corrcoef(scores[:, names.index("skin")], skin)[0, 1] > 0.7
  # A face, moved, faded and partly hidden, is nearest to itself.
  changed = jnp.roll(pictures, (2, -2), (1, 2)) * 0.9 + 0.05
  changed = changed.at[:, 8:16, 8:16].set(0.0)
  a, b = (
      network.apply(trained, x, method="embed") for x in (pictures, changed)
  )
  found = np.argmax(a @ b.T, 1) == np.arange(64)
  assert found.mean() > 0.6
  # A little blur changes less than another face does.
  features = network.apply(trained, pictures, method="features")

  def distance(other):
    other = network.apply(trained, other, method="features")
    return network.apply(trained, features, other, method="compare")

  blurred = (pictures + jnp.roll(pictures, 1, 2)) / 2
  assert (distance(blurred) < distance(jnp.roll(pictures, 1, 0))).mean() > 0.95


# In the phases.


def test_it_takes_the_place_of_lpips_and_identity():
  stage = tiny_phases.build(
      "phase1",
      loss__perceptual_network="perception",
      loss__identity_network="perception",
  )
  assert jax.tree.leaves(stage.frozen["perceptual"])
  assert jax.tree.leaves(stage.frozen["identity"])

  def one(state, frozen, batch, seed):
    plain = EncoderVariant(adversarial=False, penalty=False)
    return stage.step(plain, state, frozen, batch, jax.random.key(seed))

  state, metrics = devices.unreplicate(
      devices.pmap(one)(
          devices.replicate(stage.state),
          devices.replicate(stage.frozen),
          devices.split(Batch(tiny.pictures(2, 16))),
          devices.replicate(np.uint32(0)),
      )
  )
  assert all(np.isfinite(x).all() for x in named((state, metrics)).values())
  assert metrics["loss/lpips"] > 0 and metrics["loss/identity"] > 0


def test_unknown_networks_are_refused():
  settings = tiny_phases.config("phase1", loss__perceptual_network="vgg")
  with pytest.raises(UserError, match="lpips_vgg, perception, got 'vgg'"):
    networks.check(settings)


if __name__ == "__main__":
  main(sys.argv[1])
