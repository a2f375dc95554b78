"""The rule engine on rules made up here."""

import numpy as np
import pytest

from convert.mapping import (
    BATCH_NORM,
    CONV,
    LINEAR,
    Constant,
    Rule,
    Tensor,
    Unused,
    matches,
    relayout,
    to_official,
    to_ours,
    unflatten,
)
from sfe_jax.errors import UserError

FILTER = np.array([1, 3, 3, 1], np.float32)
RULES = (
    Unused("head.{*rest}", "serves training"),
    Rule("convs.{2i}", "conv{2i+1}", (*CONV, Constant("blur", FILTER))),
    Rule("convs.{2i+1}", "conv{2i+2}", CONV),
    Rule("style.{i+1}", "fc{i}", LINEAR),
    Rule("body.{i}.bn{j}", "block{i}/bn{j}", BATCH_NORM),
    Rule("table", "table", (Tensor("", "buffers/", "1 c h -> h c"),)),
    Rule("{*path}.fc", "{*path}/fc", LINEAR),
)
# {official name: (its shape, our name, our shape)}
NAMES = {
    "convs.0.weight": ((5, 2, 3, 4), "params/conv1/kernel", (3, 4, 2, 5)),
    "convs.1.weight": ((6, 5, 1, 1), "params/conv2/kernel", (1, 1, 5, 6)),
    "convs.1.bias": ((6,), "params/conv2/bias", (6,)),
    "convs.12.bias": ((7,), "params/conv13/bias", (7,)),
    "style.1.weight": ((3, 2), "params/fc0/kernel", (2, 3)),
    "body.3.bn2.weight": ((4,), "params/block3/bn2/scale", (4,)),
    "body.3.bn2.running_var": ((4,), "batch_stats/block3/bn2/var", (4,)),
    "table": ((1, 2, 3), "buffers/table", (3, 2)),
    "a.b.fc.bias": ((2,), "params/a/b/fc/bias", (2,)),
}


def official():
  rng = np.random.RandomState(0)
  return {
      name: rng.standard_normal(shape).astype(np.float32)
      for name, (shape, _, _) in NAMES.items()
  }


def convert(state, rules=RULES):
  abstract = unflatten(
      {ours: np.empty(shape, np.float32) for _, ours, shape in NAMES.values()}
  )
  return to_ours(rules, state, abstract, "net")


def at(tree, path):
  for part in path.split("/"):
    tree = tree[part]
  return tree


@pytest.mark.parametrize(
    "template, name, fits",
    (
        ("a.{i}", "a.0", True),
        ("a.{i}", "a.01", False),
        ("a.{i}", "a.x", False),
        ("a.{i}", "a.1.b", False),
        ("a.{i+1}", "a.0", False),
        ("a.{2i}", "a.4", True),
        ("a.{2i}", "a.3", False),
        ("a.{2i+1}", "a.3", True),
        ("a.{2i+1}", "a.0", False),
        ("a{i}.b{i}", "a2.b2", True),
        ("a{i}.b{i}", "a2.b3", False),
        ("{*p}.b", "x.y.b", True),
        ("{*p}.b", ".b", False),
        ("a.b", "axb", False),
    ),
)
def test_templates(template, name, fits):
  assert matches(template, name) == fits


def test_tensors_arrive_in_our_layout():
  state = official()
  variables = convert(state).variables
  for name, (_, ours, shape) in NAMES.items():
    value = at(variables, ours)
    assert value.shape == shape and value.dtype == np.float32, name
    assert value.flags.c_contiguous and value.flags.writeable
  kernel = variables["params"]["conv1"]["kernel"]
  want = state["convs.0.weight"].transpose(2, 3, 1, 0)
  np.testing.assert_array_equal(kernel, want)
  np.testing.assert_array_equal(
      variables["buffers"]["table"], state["table"][0].T
  )


def test_export_is_the_inverse():
  state = official() | {
      "convs.0.blur": FILTER,
      "convs.12.blur": FILTER,
      "body.3.bn2.num_batches_tracked": np.array(7),
  }
  converted = convert(state)
  back = to_official(RULES, converted.variables, converted.kept)
  assert back.keys() == state.keys()
  for key, value in state.items():
    np.testing.assert_array_equal(back[key], value, key)
    assert back[key].dtype == value.dtype


def test_export_writes_constants_that_were_not_kept():
  back = to_official(RULES, convert(official()).variables)
  assert back["body.3.bn2.num_batches_tracked"] == 0
  np.testing.assert_array_equal(back["convs.12.blur"], FILTER)


def test_unused_tensors_are_told():
  unused = convert(official() | {"head.fc.weight": np.ones(1)}).unused
  assert unused == {"head.fc.weight": "serves training"}


def test_first_rule_wins():
  first = Rule("a.b.fc", "other", LINEAR)
  with pytest.raises(UserError, match="unknown tensor.*: a.b.fc.bias"):
    convert(official(), (first, *RULES))


@pytest.mark.parametrize(
    "change, message",
    (
        ({"convs.1.scale": 1.0}, "1 unknown tensor.*: convs.1.scale"),
        ({"convs.3.bias": 1.0}, "1 unknown tensor.*: convs.3.bias"),
        ({"style.1.weight": None}, "1 .* missing .*: style.1.weight"),
        (
            {"a.b.fc.bias": None, "table": None},
            "2 .* missing .*: a.b.fc.bias, table",
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
            {"body.3.bn2.num_batches_tracked": np.ones(2)},
            r"num_batches_tracked has shape \(2,\), expected \(\)",
        ),
    ),
)
def test_what_does_not_fit_is_named(change, message):
  state = official() | change
  state = {key: value for key, value in state.items() if value is not None}
  with pytest.raises(UserError, match=f"net: .*{message}") as caught:
    convert(state)
  assert "\n" not in str(caught.value)


def test_no_variable_is_filled_twice():
  twice = (Rule("again", "conv2", CONV), *RULES)
  state = official() | {"again.bias": np.ones(6, np.float32)}
  with pytest.raises(UserError, match="again.bias fills .*conv2/bias a second"):
    convert(state, twice)


def test_a_variable_without_rule_cannot_be_exported():
  with pytest.raises(ValueError, match="no rule exports params/what/kernel"):
    to_official(RULES[:-1], {"params": {"what": {"kernel": np.ones(1)}}})


def test_relayout_there_and_back():
  x = np.arange(24.0).reshape(1, 2, 3, 4)
  y = relayout(x, "1 o i h -> h i o")
  assert y.shape == (4, 3, 2)
  back = relayout(y, "1 o i h -> h i o", inverse=True)
  np.testing.assert_array_equal(back, x)
