"""Batches: order, mirroring, processes, resuming, what is held out."""

import collections

import grain
import numpy as np
import orbax.checkpoint as ocp
import pytest

from sfe_jax import data
from sfe_jax.data.sources import Folder
from sfe_jax.errors import UserError
from tests.drawn_data import (
  SIZE,
  Drawn,
  drawn,
  drawn_folder,
  load,
  mirrored,
  number,
  save,
  validate,
)

# Training batches.


def test_batches_repeat_per_seed_only():
  source = Drawn(10)
  first = load(source, 6)
  assert first.shape == (1, 6, 4, SIZE, SIZE, 3) and first.dtype == np.uint8
  np.testing.assert_array_equal(first, load(source, 6))
  assert (first != load(source, 6, seed=2)).any()


@pytest.mark.parametrize("threads", (1, 3))
def test_threads_do_not_matter(threads):
  np.testing.assert_array_equal(
      load(Drawn(10), 6), load(Drawn(10), 6, threads=threads)
  )


def test_processes_share_the_same_batches_in_the_same_order():
  one = load(Drawn(10), 6)[0]
  two = load(Drawn(10), 6, processes=2)
  four = load(Drawn(10), 6, processes=4)
  assert two.shape == (2, 6, 2, SIZE, SIZE, 3)
  np.testing.assert_array_equal(one, np.concatenate(two, axis=1))
  np.testing.assert_array_equal(one, np.concatenate(four, axis=1))


def test_an_epoch_is_every_picture_once_in_a_new_order():
  numbers = [number(x) for x in load(Drawn(10), 10)[0].reshape(-1, 16, 16, 3)]
  epochs = [numbers[i : i + 10] for i in range(0, 40, 10)]
  for epoch in epochs:
    assert sorted(epoch) == list(range(10))
  assert len({tuple(epoch) for epoch in epochs}) == 4


def test_flips_are_half_and_independent_of_picture_and_position():
  flat = load(Drawn(8), 100)[0].reshape(-1, SIZE, SIZE, 3)
  flips = np.array([mirrored(x) for x in flat])
  assert 0.43 < flips.mean() < 0.57
  for i in range(8):
    own = flips[[number(x) == i for x in flat]]
    assert 0.2 < own.mean() < 0.8
  for i in range(4):
    assert 0.3 < flips[i::4].mean() < 0.7
  for image, flip in zip(flat[:20], flips):
    want = drawn(number(image))
    np.testing.assert_array_equal(image, want[:, ::-1] if flip else want)
  unflipped = load(Drawn(8), 20, flip=False)[0].reshape(-1, SIZE, SIZE, 3)
  assert not any(mirrored(x) for x in unflipped)


@pytest.mark.parametrize("done", (0, 1, 4, 7))
def test_resumes_to_the_bit(tmp_path, done):
  def new(process=0, processes=1, threads=2):
    return data.loader(
        Drawn(10),
        batch_size=4,
        seed=3,
        threads=threads,
        process=process,
        processes=processes,
    )

  iterator = new()
  for _ in range(done):
    next(iterator)
  with ocp.CheckpointManager(tmp_path / "checkpoint") as manager:
    manager.save(
        done,
        args=ocp.args.Composite(data=grain.checkpoint.CheckpointSave(iterator)),
    )
    want = [next(iterator).image for _ in range(5)]
    manager.wait_until_finished()
    resumed = new(threads=1)
    manager.restore(
        done,
        args=ocp.args.Composite(
            data=grain.checkpoint.CheckpointRestore(resumed)
        ),
    )
  np.testing.assert_array_equal(want, [next(resumed).image for _ in range(5)])
  # Another number of processes goes on at the batch.
  parts = []
  for process in range(2):
    part = new(process, 2)
    part.set_state({"next_index": done * 4 // 2})
    parts.append([next(part).image for _ in range(5)])
  np.testing.assert_array_equal(want, np.concatenate(parts, axis=1))


def test_a_set_smaller_than_a_batch_repeats():
  numbers = [number(x) for x in load(Drawn(3), 2)[0].reshape(-1, 16, 16, 3)]
  assert sorted(numbers[:3]) == sorted(numbers[3:6]) == [0, 1, 2]
  assert {number(x) for x in load(Drawn(1), 1)[0, 0]} == {0}


def test_few_pictures_wait_in_memory():
  source = Drawn(1000)
  iterator = data.loader(
      source, batch_size=8, seed=0, threads=4, process=1, processes=2
  )
  for _ in range(3):
    assert next(iterator).image.shape == (4, SIZE, SIZE, 3)
  iterator.close()
  assert source.reads.total() <= 3 * 4 + 2 * 4


def test_unreadable_pictures_are_replaced_with_one_warning(caplog):
  source = Drawn(10, broken=(2, 3, 9))
  batches = load(source, 20)
  np.testing.assert_array_equal(batches, load(source, 20, threads=2))
  seen = collections.Counter(
      number(x) for x in batches[0].reshape(-1, SIZE, SIZE, 3)
  )
  assert set(seen) == set(range(10)) - {2, 3, 9}
  assert seen[4] == 24 and seen[0] == 16 and seen[1] == 8
  mine = [m for m in caplog.messages if "picture 3 is broken" in m]
  assert len(mine) == 2  # One for each of the two loaders.
  assert "another picture takes its place" in mine[0]


@pytest.mark.parametrize("count", (3, 100))
def test_a_lost_disk_stops_training(count):
  with pytest.raises(UserError, match="in a row cannot be read; is their disk"):
    load(Drawn(count, broken=range(count)), 1)


def test_truncated_files_are_replaced(tmp_path, caplog):
  drawn_folder(tmp_path, 4)
  path = save(
      tmp_path / "zz.jpg",
      np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
  )
  path.write_bytes(path.read_bytes()[:700])
  source = Folder(tmp_path, SIZE)
  assert len(source) == 5
  batches = load(source, 5)[0].reshape(-1, SIZE, SIZE, 3)
  assert {number(x) for x in batches} == {0, 1, 2, 3}
  assert sum("zz.jpg: not a readable image" in m for m in caplog.messages) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"batch_size": 6, "processes": 4}, "6 cannot be split evenly over 4"),
        ({"batch_size": 0}, "batch_size 0 cannot"),
        ({"threads": -1}, "data.threads must be 0 or more, got -1"),
        ({"seed": -1}, r"seed must be from 0 to 2\*\*32 - 1, got -1"),
        ({"seed": 2**32}, "seed must be from 0 to"),
    ),
)
def test_loader_messages(options, message):
  with pytest.raises(UserError, match=message):
    load(Drawn(3), 1, **options)


# Validation.


@pytest.mark.parametrize("processes", (1, 2, 4))
@pytest.mark.parametrize("count", (0, 1, 8, 10))
def test_validation_counts_every_picture_once(count, processes):
  parts = validate(Drawn(count), 4, processes)
  assert {len(part) for part in parts} == {-(-count // 4)}
  counted = [
      n
      for step in zip(*parts)
      for numbers, mask in step
      for n, m in zip(numbers, mask)
      if m
  ]
  assert counted == list(range(count))
  assert all(len(n) == 4 // processes for part in parts for n, _ in part)


def test_validation_starts_anew_and_is_never_mirrored():
  batches = data.validation_batches(
      Drawn(40), batch_size=5, process=0, processes=1
  )
  for _ in range(2):
    pictures = [x for batch, _ in batches for x in batch.image]
    assert [number(x) for x in pictures] == list(range(40))
    assert not any(mirrored(x) for x in pictures)


def test_validation_goes_on_without_unreadable_pictures(caplog):
  parts = validate(Drawn(6, broken=(1,)), 4)
  assert [mask for _, mask in parts[0]] == [
      [True, False, True, True],
      [True, True, False, False],
  ]
  assert sum("picture 1 is broken" in m for m in caplog.messages) == 1


def test_validation_messages():
  with pytest.raises(UserError, match="batch_size 0 cannot be split"):
    validate(Drawn(4), 0)


def test_held_out_pictures_are_never_trained_on(tmp_path):
  drawn_folder(tmp_path, 20)
  train, held_out = data.open_sets("folder", tmp_path, SIZE, validation_count=6)
  assert len(train) == 14 and len(held_out) == 6
  numbers = {n for part in validate(held_out, 4)[0] for n in part[0]}
  trained = {
      number(x)
      for seed in range(3)
      for x in load(train, 14, seed=seed)[0].reshape(-1, SIZE, SIZE, 3)
  }
  assert trained | numbers == set(range(20)) and not trained & numbers
  again = data.open_sets("folder", tmp_path, SIZE, validation_count=6)[1]
  np.testing.assert_array_equal(held_out.indices, again.indices)
  assert list(held_out.indices) == [16, 11, 3, 0, 15, 12]


def test_replacements_are_not_held_out_pictures():
  train, held_out = data.hold_out(Drawn(20, broken=range(0, 20, 3)), 10)
  seen = {
      number(x) for x in load(train, 40)[0].reshape(-1, SIZE, SIZE, 3)
  }
  assert not seen & set(held_out.indices)


def test_hold_out_messages():
  with pytest.raises(UserError, match="64: at most half of the 100 pictures"):
    data.hold_out(Drawn(100), 64)
  with pytest.raises(UserError, match="-1: at most half"):
    data.hold_out(Drawn(100), -1)
  assert len(data.hold_out(Drawn(100), 0)[1]) == 0


def test_validation_path_is_used_whole_and_may_not_overlap(tmp_path):
  a, b = tmp_path / "a", tmp_path / "b"
  drawn_folder(a, 12)
  drawn_folder(b, 3)
  train, held_out = data.open_sets("folder", a, SIZE, validation_path=str(b))
  assert len(train) == 12 and len(held_out) == 3
  for path in (a, a / "00", tmp_path):
    with pytest.raises(UserError, match="overlaps with the training pictures"):
      data.open_sets("folder", a, SIZE, validation_path=str(path))


