"""The forms of an operation agree; each platform compiles only its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sfe_jax.models import formulations

pytestmark = pytest.mark.usefixtures("quick_compilation")

KERNEL = (3, 3, 5, 4)
X_SIZES = ((1, 2), (7, 4))  # height and width before any padding


def fir(form, **options):
  return functools.partial(getattr(formulations, form), **options)


def fir_case(padding, **options):
  options["padding"] = padding
  return (
      fir("fir_filter", **options),
      fir("fir_filter_by_conv", **options),
      fir("fir_filter_by_adds", **options),
  )


# Name: (operation, direct form, the other form), whether it takes a kernel,
# input height and width from those of X_SIZES.
CASES = {
    "fir_filter gain 4": (fir_case((1, 1), gain=4.0), False, lambda h: h + 1),
    "fir_filter stride 2": (fir_case((1, 1), stride=2), False, lambda h: h + 1),
    "upsample2x": (
        (
            formulations.upsample2x,
            formulations.upsample2x_by_conv,
            formulations.upsample2x_by_polyphase,
        ),
        False,
        lambda h: h,
    ),
    "transposed_conv2x": (
        (
            formulations.transposed_conv2x,
            formulations.transposed_conv2x_by_conv,
            formulations.transposed_conv2x_by_taps,
        ),
        True,
        lambda h: h,
    ),
    "conv_down2x": (
        (
            formulations.conv_down2x,
            formulations.conv_down2x_by_conv,
            formulations.conv_down2x_by_patches,
        ),
        True,
        lambda h: 2 * h + 1,
    ),
}


def inputs(name, size, dtype=jnp.float32):
  """An operation's random arguments for one of X_SIZES."""
  _, has_kernel, input_size = CASES[name]
  rng = np.random.default_rng(0)
  height, width = map(input_size, size)
  shapes = [(2, height, width, KERNEL[2])]
  if has_kernel:
    shapes.append(KERNEL)
  return [
      jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes
  ]


def derivatives(operation, args):
  """The value, first gradients, and R1's second gradients of an operation."""
  value = operation(*args)
  cotangent = jnp.cos(jnp.arange(value.size, dtype=jnp.float32))
  cotangent = cotangent.reshape(value.shape).astype(value.dtype)

  def loss(*args):
    # The cube makes second derivatives depend on the value too.
    return jnp.sum(cotangent * operation(*args) ** 3)

  def r1(*args):
    return jnp.sum(jnp.square(jax.grad(loss)(*args)))

  everything = tuple(range(len(args)))
  return (
      value,
      jax.grad(loss, everything)(*args),
      jax.grad(r1, everything)(*args),
  )


def close(got, want, tolerance):
  def check(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype
    a, b = (np.asarray(v, np.float32) for v in (a, b))
    np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max() + 1e-7)

  jax.tree.map(check, got, want)


@pytest.mark.parametrize("size", X_SIZES)
@pytest.mark.parametrize("name", CASES)
def test_forms_agree(name, size):
  (_, direct, other), _, _ = CASES[name]
  run = jax.jit(derivatives, static_argnums=0)
  args = inputs(name, size)
  close(run(other, args), run(direct, args), 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_forms_agree_in_bfloat16(name):
  (_, direct, other), _, _ = CASES[name]
  args = inputs(name, X_SIZES[-1], jnp.bfloat16)
  want = direct(*args)
  assert want.dtype == jnp.bfloat16
  close(other(*args), want, 2**-6)


@pytest.mark.parametrize("name", ("fir_filter stride 2", "conv_down2x"))
def test_the_choice_of_form_survives_vmap_and_pmap(name):
  (operation, direct, _), _, _ = CASES[name]
  args = [jnp.stack([a, 2 * a]) for a in inputs(name, X_SIZES[0])]
  run = jax.pmap(
      jax.vmap(functools.partial(derivatives, operation)),
      devices=jax.devices()[:1],
  )
  got = run([a[None] for a in args])
  want = [derivatives(direct, [a[i] for a in args]) for i in range(2)]
  want = jax.tree.map(lambda *values: jnp.stack(values)[None], *want)
  close(got, want, 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_each_platform_compiles_only_its_own_form(name):
  (operation, _, _), _, _ = CASES[name]

  def convolutions(platform):
    traced = jax.jit(functools.partial(derivatives, operation)).trace(
        inputs(name, X_SIZES[0])
    )
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    return "stablehlo.convolution" in text, "stablehlo.dot_general" in text

  found = {p: convolutions(p) for p in ("cpu", "cuda", "tpu")}
  matrix_products = name in ("transposed_conv2x", "conv_down2x")
  assert found["cpu"] == (False, matrix_products)
  assert found["cuda"] == (True, False)
  assert found["tpu"] == (name != "upsample2x", False)
