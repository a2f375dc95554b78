"""e4e and pSp encoders, whose tensors have the same names."""

import functools

from convert.family import Family, State, count, dimension
from convert.mapping import CONV, LINEAR, Rule, Tensor
from convert.rules.irse import TRUNK, trunk_sizes
from sfe_jax.models.e4e import E4E

_RULES = (
    *TRUNK,
    Rule("latlayer1", "lateral_medium", CONV),
    Rule("latlayer2", "lateral_fine", CONV),
    Rule("styles.{i}.convs.{2j}", "head{i}/conv{j}", CONV),
    Rule("styles.{i}.linear", "head{i}/linear", LINEAR),
    Rule("latent_avg", "", (Tensor("", "buffers/w_avg"),)),
)


def _build(state: State, residual: bool) -> E4E:
  what = "e4e" if residual else "psp"
  depths, widths = trunk_sizes(state, what)
  w_dim, hidden = (
      dimension(state, "styles.0.linear.weight", axis, what) for axis in (0, 1)
  )
  return E4E(
      styles=count(state, "styles.{i}.linear.weight"),
      w_dim=w_dim,
      # The first head halves input_size / 16 down to one pixel.
      input_size=16 * 2 ** count(state, "styles.0.convs.{2j}.weight"),
      depths=depths,
      widths=widths,
      head_features=None if hidden == w_dim else hidden,
      residual=residual,
  )


_SIGNATURE = ("latlayer1.weight", "styles.0.convs.0.weight")

E4E_FAMILY = Family(
    name="e4e",
    rules=_RULES,
    signature=_SIGNATURE,
    build=functools.partial(_build, residual=True),
    container="state_dict/encoder.",
    with_w_avg=True,
)

# Recognised by the file's options, not by its tensors.
PSP_FAMILY = Family(
    name="psp",
    rules=_RULES,
    signature=_SIGNATURE,
    build=functools.partial(_build, residual=False),
    container="state_dict/encoder.",
    with_w_avg=True,
)
