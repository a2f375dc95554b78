"""The mapping of tensors, on a correspondence made up here."""

import numpy as np
import pytest
from flax import traverse_util

from convert.mapping import (
    Constant,
    Tensor,
    Unused,
    batch_norm,
    conv,
    linear,
    prelu,
    relayout,
    to_official,
    to_ours,
)
from sfe_jax.errors import UserError

FILTER = np.array([1, 3, 3, 1], np.float32)
ENTRIES = (
    *conv("convs.0", "conv1"),
    Constant("convs.0.blur", FILTER),
    *conv("convs.1", "conv2", bias=True),
    *linear("style.1", "fc0"),
    *batch_norm("body.bn", "block/bn"),
    *batch_norm("bare.bn", "bare/bn", affine=False),
    *prelu("body.prelu", "block/prelu"),
    Tensor("table", "buffers/table", "1 c h -> h c"),
    Tensor("strength", "params/strength", "1 ->"),
    Unused("head.", "used in training only"),
)
# {official name: (its shape, our path, our shape)}
NAMES = {
    "convs.0.weight": ((5, 2, 3, 4), "params/conv1/kernel", (3, 4, 2, 5)),
    "convs.1.weight": ((6, 5, 1, 1), "params/conv2/kernel", (1, 1, 5, 6)),
    "convs.1.bias": ((6,), "params/conv2/bias", (6,)),
    "style.1.weight": ((3, 2), "params/fc0/kernel", (2, 3)),
    "style.1.bias": ((3,), "params/fc0/bias", (3,)),
    "body.bn.weight": ((4,), "params/block/bn/scale", (4,)),
    "body.bn.bias": ((4,), "params/block/bn/bias", (4,)),
    "body.bn.running_mean": ((4,), "batch_stats/block/bn/mean", (4,)),
    "body.bn.running_var": ((4,), "batch_stats/block/bn/var", (4,)),
    "bare.bn.running_mean": ((4,), "batch_stats/bare/bn/mean", (4,)),
    "bare.bn.running_var": ((4,), "batch_stats/bare/bn/var", (4,)),
    "body.prelu.weight": ((4,), "params/block/prelu/alpha", (4,)),
    "table": ((1, 2, 3), "buffers/table", (3, 2)),
    "strength": ((1,), "params/strength", ()),
}
COUNTERS = ("body.bn.num_batches_tracked", "bare.bn.num_batches_tracked")


def official():
  rng = np.random.RandomState(0)
  return {
      name: rng.standard_normal(shape).astype(np.float32)
      for name, (shape, _, _) in NAMES.items()
  }


def convert(state, entries=ENTRIES):
  shapes = {
      ours: np.empty(shape, np.float32) for _, ours, shape in NAMES.values()
  }
  abstract = traverse_util.unflatten_dict(shapes, sep="/")
  return to_ours(entries, state, abstract, "net")


def test_tensors_arrive_in_our_layout():
  state = official()
  got = traverse_util.flatten_dict(convert(state).variables, sep="/")
  assert len(got) == len(NAMES)
  for name, (_, ours, shape) in NAMES.items():
    assert got[ours].shape == shape and got[ours].dtype == np.float32, name
    assert got[ours].flags.c_contiguous and got[ours].flags.writeable
  kernel = state["convs.0.weight"].transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(got["params/conv1/kernel"], kernel)
  table = state["table"][0].T
  np.testing.assert_array_equal(got["buffers/table"], table)
  np.testing.assert_array_equal(got["params/strength"], state["strength"][0])


def test_export_is_the_inverse():
  state = official() | {"convs.0.blur": FILTER}
  state |= {name: np.array(7) for name in COUNTERS}
  converted = convert(state)
  back = to_official(ENTRIES, converted.variables, converted.kept)
  assert back.keys() == state.keys()
  for key, value in state.items():
    np.testing.assert_array_equal(back[key], value, key)
    assert back[key].dtype == value.dtype


def test_export_writes_what_the_file_lacked():
  back = to_official(ENTRIES, convert(official()).variables)
  assert back.keys() == official().keys() | {*COUNTERS, "convs.0.blur"}
  assert [back[name] for name in COUNTERS] == [0, 0]
  np.testing.assert_array_equal(back["convs.0.blur"], FILTER)


def test_export_of_parameters_alone():
  variables = convert(official()).variables
  back = to_official(ENTRIES, {"params": variables["params"]})
  assert "body.bn.weight" in back and "body.bn.running_var" not in back


def test_unused_tensors_are_told():
  unused = convert(official() | {"head.fc.weight": np.ones(1)}).unused
  assert unused == {"head.fc.weight": "used in training only"}


@pytest.mark.parametrize(
    "change, message",
    (
        ({"convs.1.scale": 1.0}, r"1 unknown tensor\(s\): convs.1.scale;"),
        ({"convs.01.bias": 1.0}, r"1 unknown tensor\(s\): convs.01.bias;"),
        ({"style.1.weight": None}, r"1 missing tensor\(s\): style.1.weight;"),
        (
            {"convs.1.bias": None, "table": None, "body.extra": 1.0},
            r"1 unknown tensor\(s\): body.extra; 2 missing tensor\(s\):"
            " convs.1.bias, table; the file is damaged or",
        ),
        (
            {f"a.{i}": 1.0 for i in range(5)},
            r"5 unknown tensor\(s\): a.0, a.1, a.2 and 2 more;",
        ),
        (
            {"convs.0.weight": np.ones((5, 2, 3, 3))},
            r"convs.0.weight has shape \(5, 2, 3, 3\), expected"
            r" \(5, 2, 3, 4\)",
        ),
        (
            {"table": np.ones((2, 2, 3))},
            r"table has shape \(2, 2, 3\), expected \(1, 2, 3\)",
        ),
        (
            {"convs.1.bias": np.ones((6, 1))},
            r"has shape \(6, 1\), expected \(6,\)",
        ),
        (
            {"convs.1.bias": np.ones(6, np.int64)},
            "convs.1.bias has dtype int64, expected a float",
        ),
        (
            {"convs.0.blur": FILTER / 8},
            "convs.0.blur is not the fixed filter",
        ),
        ({"convs.0.blur": FILTER[:3]}, r"shape \(3,\), expected \(4,\)"),
        (
            {"body.bn.num_batches_tracked": np.ones(2)},
            r"num_batches_tracked has shape \(2,\) and .* whole number",
        ),
        (
            {"body.bn.num_batches_tracked": np.array(0.5)},
            "num_batches_tracked has .* dtype float64, expected a whole number",
        ),
    ),
)
def test_what_does_not_fit_is_named(change, message):
  state = official() | change
  state = {key: value for key, value in state.items() if value is not None}
  with pytest.raises(UserError, match=f"net: .*{message}") as caught:
    convert(state)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "entries, wrong",
    (
        (ENTRIES[1:], "params/conv1/kernel"),
        ((*ENTRIES, *prelu("body.more", "more")), "params/more/alpha"),
        ((*ENTRIES, Tensor("again", "buffers/table")), "buffers/table"),
        ((*ENTRIES, Constant("table", FILTER)), "table"),
    ),
    ids=("a variable lacks", "not ours", "filled twice", "used twice"),
)
def test_a_correspondence_covers_everything_once(entries, wrong):
  state = official()
  variables = convert(state).variables
  with pytest.raises(ValueError, match=f"exactly once: {wrong}"):
    convert(state, entries)
  with pytest.raises(ValueError, match=f"exactly once: {wrong}"):
    to_official(entries, variables)


def test_relayout_there_and_back():
  x = np.arange(24.0).reshape(1, 2, 3, 4)
  y = relayout(x, "1 o i h -> h i o")
  assert y.shape == (4, 3, 2)
  back = relayout(y, "1 o i h -> h i o", inverse=True)
  np.testing.assert_array_equal(back, x)
  with pytest.raises(ValueError, match="not of the form"):
    relayout(x, "o 1 i h -> h i o")
