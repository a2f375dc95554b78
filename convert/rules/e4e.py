"""e4e and pSp encoders, whose tensors have the same names."""

import functools
from collections.abc import Iterator

from sfe_jax.models.e4e import E4E

from ..family import Family, count, dimension
from ..mapping import Entry, State, Tensor, conv, linear
from .irse import trunk, trunk_sizes


def _tensors(net: E4E) -> Iterator[Entry]:
  yield from trunk(net.depths, net.widths)
  yield from conv("latlayer1", "lateral_medium", bias=True)
  yield from conv("latlayer2", "lateral_fine", bias=True)
  for i in range(net.styles):
    for j in range(_halvings(net.input_size, i)):
      theirs, ours = f"styles.{i}.convs.{2 * j}", f"head{i}/conv{j}"
      yield from conv(theirs, ours, bias=True)
    yield from linear(f"styles.{i}.linear", f"head{i}/linear")
  yield Tensor("latent_avg", "buffers/w_avg")


def _halvings(input_size: int, style: int) -> int:
  """Convolutions of a head, each of which halves its feature map.

  Heads 0 to 2 read the coarse map of input_size / 16 pixels, heads 3 to 6 the
  medium and the others the fine map, each of twice that size.
  """
  level = 0 if style < 3 else 1 if style < 7 else 2
  return (input_size // 16 << level).bit_length() - 1


def _build(state: State, residual: bool) -> E4E:
  what = "e4e" if residual else "psp"
  depths, widths = trunk_sizes(state, what)
  w_dim, hidden = (
      dimension(state, "styles.0.linear.weight", axis, what) for axis in (0, 1)
  )
  # The first head halves input_size / 16 down to one pixel.
  halvings = count(state, "styles.0.convs.{}.weight")
  return E4E(
      styles=count(state, "styles.{}.linear.weight"),
      w_dim=w_dim,
      input_size=16 << halvings,
      depths=depths,
      widths=widths,
      head_features=None if hidden == w_dim else hidden,
      residual=residual,
  )


E4E_FAMILY = Family(
    name="e4e",
    signature=("latlayer1.weight", "styles.0.convs.0.weight"),
    build=functools.partial(_build, residual=True),
    tensors=_tensors,
    container="state_dict/encoder.",
    with_w_avg=True,
)

# The file's options tell it from e4e, not its tensors.
PSP_FAMILY = Family(
    name="psp",
    signature=E4E_FAMILY.signature,
    build=functools.partial(_build, residual=False),
    tensors=_tensors,
    container="state_dict/encoder.",
    with_w_avg=True,
)
