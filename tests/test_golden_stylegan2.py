"""The generator against the official code, in both official layouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert.rules import stylegan2 as rules
from sfe_jax.models.stylegan2 import Generator, default_channels
from tests import golden_data as golden

SIZES = (32, 256, 1024)
TOLERANCE = 1e-4


def load(name, family=rules.FAMILY):
  """(module, variables, official state) of a golden generator."""
  state = golden.state(name)
  state.pop("mapping.w_avg", None)
  module = family.build(state)
  state["latent_avg"] = np.zeros((module.styles, module.w_dim), np.float32)
  module, converted = family.convert(state)
  return module, converted, state


def apply(module, variables, method, *args, **kwargs):
  static = {k: kwargs.pop(k) for k in ("k",) if k in kwargs}

  @jax.jit
  def run(variables, args, kwargs):
    return module.apply(variables, *args, method=method, **kwargs, **static)

  return run(variables, args, kwargs)


@pytest.mark.parametrize("size", SIZES)
def test_generator(size):
  want = golden.expected(f"stylegan2_g_{size}")
  module, converted, _ = load(f"stylegan2_g_{size}")
  assert module == Generator(size, default_channels(size))
  variables = converted.variables

  def check(name, got, key=None):
    golden.check(
        f"stylegan2_g_{size} {name}", got, want[key or name], TOLERANCE
    )

  def sliced(x):
    return golden.like(x, want["image"])

  w = apply(module, variables, "mapping", want["z"])
  check("w", w)
  w_plus = jnp.asarray(want["w_plus"])
  k = int(want["k"])

  def everything(module, w_plus):
    styles = module.affine(w_plus)
    half = module.lower(styles, module.convs)
    return styles, half.features, half.skip

  styles, features, image = apply(module, variables, everything, w_plus)
  check("image", sliced(image))
  check("image_stats", golden.stats(image))
  assert len(features) == int(want["n_feats"])
  for i, feature in enumerate(features):
    check(f"feat{i}_stats", golden.stats(feature))
  check("F_k", golden.like(features[k], want["F_k"]))
  for name, vectors in (("stylespace", styles.conv), ("rgb", styles.rgb)):
    sums = [[np.sum(v), np.sum(np.square(v))] for v in vectors]
    check(f"{name}_sums", sums)
  check("stylespace_3", styles.conv[3])

  offset = np.zeros((2, sum(module.style_widths)), np.float32)
  offset[:, sum(module.style_widths[:4]) + 7] = 5
  got = apply(module, variables, "synthesize", w_plus, offset)
  check("image_from_stylespace", sliced(got))

  half = apply(
      module, variables, lambda m, w, k: m.lower(m.affine(w), k), w_plus, k=k
  )
  check("early_stop_skip", golden.like(half.skip, want["early_stop_skip"]))
  assert len(half.features) == int(want["early_stop_n"])
  c, r = module.width_of(k), module.size_of(k)
  f_new = golden.normal(want["inserted_feature_seed"], 2, c, r, r)
  f_new = f_new.transpose(0, 2, 3, 1)
  blends = {"image_inserted": 1.0, "image_inserted_scale025": 0.25}
  for key, blend in blends.items():
    got = apply(
        module, variables, "synthesize", w_plus, f_new=f_new, blend=blend, k=k
    )
    check(key, sliced(got))
  got = apply(
      module,
      variables,
      lambda m, w, half, f, k: m.upper(m.affine(w), f, half.skip, k),
      w_plus, half, f_new, k=k,
  )
  check("upper half alone", sliced(got), "image_inserted")

  mean = np.broadcast_to(np.mean(w, 0), (module.styles, module.w_dim))
  variables = {**variables, "buffers": {**variables["buffers"], "w_avg": mean}}
  got = apply(
      module, variables, lambda m, w: m.synthesize(m.truncate(w, 0.7)), w
  )
  check("image_trunc07", sliced(got))


@pytest.mark.parametrize("size", (32, 256))
def test_nvidia_generator(size):
  name = f"stylegan2_ada_g_{size}"
  want = golden.expected(name)
  module, converted, _ = load(name, rules.NVIDIA_FAMILY)
  w = apply(module, converted.variables, "mapping", want["z"])
  golden.check(f"{name} w", w, want["w"], TOLERANCE)
  for key, latent in (("image", want["w"]), ("image_w_plus", want["w_plus"])):
    got = apply(
        module,
        converted.variables,
        lambda m, w: m.synthesize(m.truncate(w)),
        latent,
    )
    got = golden.like(got, want[key])
    golden.check(f"{name} {key}", got, want[key], TOLERANCE)


def test_export_is_bit_exact():
  module, converted, state = load("stylegan2_g_512")
  exported = rules.FAMILY.export(module, converted.variables, converted.kept)
  assert exported.keys() == state.keys()
  for key, value in state.items():
    np.testing.assert_array_equal(exported[key], value, key)
