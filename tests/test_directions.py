"""Directions as data, and the mappers' shapes."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.rules import directions as rules
from convert.rules import mappers as mapper_rules
from sfe_jax.directions import (
    apply,
    families,
    with_zero_mapper,
)
from sfe_jax.errors import UserError
from sfe_jax.models.mappers import DeltaMapper, LevelsMapper
from sfe_jax.storage import weights
from tests.tiny_directions import SMALL, mapper_params, normal


def small_directions():
  pca = {
      "mean": normal(1, 8),
      "comp": normal(3, 1, 8),
      "std": np.array([1.0, 2.0, 3.0], np.float32),
  }
  return {
      "interfacegan": families.interfacegan(normal(1, 8), SMALL),
      "boundary": families.boundary(normal(1, 80), SMALL),
      "ganspace": families.ganspace(pca, 1, 2, 5, SMALL),
      "stylespace": families.stylespace(((3, 2), (0, 7)), SMALL),
      "user": families.user(normal(8), SMALL),
  }


def test_any_direction_uses_the_same_program():
  traces = []

  @jax.jit
  def run(data):
    traces.append(1)
    return apply(data, normal(2, 10, 8), normal(2))

  for data in small_directions().values():
    run(data)
  assert len(traces) == 1
  run(families.mapper(mapper_params(), SMALL))
  assert len(traces) == 2
  for data in small_directions().values():
    run(with_zero_mapper(data))
  run(families.mapper(mapper_params(("coarse",)), SMALL))
  assert len(traces) == 2


def test_zero_mapper_moves_nothing_and_is_shared():
  w_plus, strength = normal(2, 10, 8), normal(2)
  filled = []
  for data in small_directions().values():
    want = apply(data, w_plus, strength)
    filled.append(with_zero_mapper(data))
    got = apply(filled[-1], w_plus, strength)
    jax.tree.map(np.testing.assert_array_equal, got, want)
  for a, b in zip(*map(jax.tree.leaves, [d.mapper for d in filled[:2]])):
    assert a is b


def test_strength_is_per_image():
  w_plus = normal(3, 10, 8)
  strength = np.array([0.0, 2.0, -1.0], np.float32)
  data = families.mapper(mapper_params(("coarse", "fine")), SMALL)
  batch = apply(data, w_plus, strength)
  for i in range(3):
    one = apply(data, w_plus[i : i + 1], strength[i : i + 1])
    np.testing.assert_allclose(
        batch.w_offset[i], one.w_offset[0], rtol=1e-5, atol=1e-6
    )
  assert not np.any(batch.w_offset[0])
  assert not np.any(batch.w_offset[:, 4:8]), "the medium level is absent"
  assert np.abs(batch.w_offset[1, :4]).max() > 0.1


def test_ganspace_sets_a_coordinate():
  pca = {
      "mean": normal(1, 8),
      "comp": np.eye(3, 8, dtype=np.float32)[:, None],
      "std": np.array([1.0, 2.0, 3.0], np.float32),
  }
  data = families.ganspace(pca, 2, 0, 5, SMALL)
  w_plus = normal(2, 10, 8)
  edited = w_plus + apply(data, w_plus, jnp.full(2, 4.0)).w_offset
  reached = (edited[:, 0] - pca["mean"]) @ pca["comp"][2, 0] / 3
  np.testing.assert_allclose(reached, 4, rtol=1e-5)
  np.testing.assert_array_equal(edited[:, 5:], w_plus[:, 5:])


@pytest.mark.parametrize("shape", [(8,), (1, 8), (10, 8), (1, 80)])
def test_user_shapes(shape):
  direction = normal(*shape)
  got = families.user(direction, SMALL).linear
  rows = direction if direction.size == 80 else np.tile(direction, 10)
  np.testing.assert_array_equal(got, rows.reshape(10, 8))


@pytest.mark.parametrize("shape", [(9,), (2, 8), (8, 1), (1, 72), (1, 10, 8)])
def test_user_refuses_other_shapes(shape):
  with pytest.raises(UserError, match=r"\(8,\) or \(1, 8\).*\(10, 8\)"):
    families.user(normal(*shape), SMALL)


def test_user_refuses_bad_values():
  with pytest.raises(UserError, match="NaN"):
    families.user(np.full(8, np.nan), SMALL)
  with pytest.raises(UserError, match="dtype <U1"):
    families.user(np.array(["a"] * 8), SMALL)


def test_styleclip_global_needs_a_response():
  std = [np.ones(4, np.float32)] * 2
  with pytest.raises(UserError, match="beta 5 .* choose a smaller beta"):
    families.styleclip_global(np.eye(4), np.ones(4) / 2, std, 5.0)
  with pytest.raises(UserError, match="another generator"):
    families.styleclip_text(np.eye(4), np.ones(4) / 2, std, 0.1, SMALL)


def test_recognise_refuses():
  bad = normal(1, 512)
  bad[0, 3] = np.inf
  with pytest.raises(UserError, match="NaN or infinite"):
    rules.recognise(bad, "age")
  for shape in [(1, 500), (40, 512), (2, 1024), (1, 18, 512), ()]:
    with pytest.raises(UserError, match="no direction"):
      rules.recognise(normal(*shape) if shape else np.float32(1), "age")
  with pytest.raises(UserError, match="dtype object"):
    rules.recognise(np.array([{}], object), "pnet")
  pca = {"mean": normal(1, 512), "comp": normal(4, 1, 512), "std": normal(3)}
  with pytest.raises(UserError, match=r"comp has shape .* \(3, 1, 512\)"):
    rules.recognise(pca, "x_pca")
  with pytest.raises(UserError, match="not positive"):
    rules.recognise(pca | {"std": np.zeros(4, np.float32)}, "x_pca")
  with pytest.raises(UserError, match="two lists"):
    rules.recognise([[normal(3)], [normal(4)]], "S_mean_std")


def test_recognise_leaves_other_files_alone():
  for contents in ({"state_dict": {}}, [normal(3)], ([], []), "text", None):
    assert rules.recognise(contents, "any") is None


@pytest.mark.parametrize("stem", ["delta_i_c", "fs3"])
def test_text_matrices(stem):
  matrix = normal(20, 512)
  arrays = rules.recognise(matrix, stem)
  assert list(arrays) == ["matrix"]
  np.testing.assert_array_equal(rules.to_official(arrays), matrix)


def test_a_mapper_may_lack_any_level():
  state = {
      f"medium_mapping.mapping.{i}.{name}": normal(*shape)
      for i in range(1, 5)
      for name, shape in (("weight", (8, 8)), ("bias", (8,)))
  }
  module, _ = mapper_rules.STYLECLIP_FAMILY.convert(state)
  assert (module.w_dim, module.levels) == (8, ("medium",))
  del state["medium_mapping.mapping.3.bias"]
  with pytest.raises(UserError, match="medium_mapping.mapping.3.bias"):
    mapper_rules.STYLECLIP_FAMILY.convert(state)


def test_delta_mapper_treats_each_sample_alone():
  module = DeltaMapper(token_width=8, fine_width=12, clip_width=6)
  variables = weights.init(module, jax.random.key(0))
  style, clip = normal(3, 7 * 8 + 12), normal(3, 6, seed=1)
  run = jax.jit(module.apply)
  batch = run(variables, style, clip)
  assert batch.shape == style.shape
  for i in range(3):
    one = run(variables, style[i : i + 1], clip[i : i + 1])
    np.testing.assert_allclose(batch[i], one[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("cls", [LevelsMapper, DeltaMapper])
def test_published_sizes(cls, dtype):
  module = cls(dtype=dtype)
  variables = weights.abstract(module)
  inputs = module.example_inputs()
  out = jax.eval_shape(module.apply, variables, *inputs)
  assert (out.shape, out.dtype) == (inputs[0].shape, dtype)
  leaves = jax.tree.leaves(variables)
  assert all(leaf.dtype == jnp.float32 for leaf in leaves)
