"""Text mappers: StyleCLIP's `styleclip_mappers/*.pt`, DeltaEdit's network."""

from collections.abc import Iterator

from sfe_jax.models.mappers import LEVELS, DeltaMapper, LevelsMapper

from ..family import Family
from ..mapping import Entry, State, linear

_DEPTH = 4  # linear layers of a mapping
# "course" is the official spelling.
_OFFICIAL = {
    "coarse": "course_mapping",
    "medium": "medium_mapping",
    "fine": "fine_mapping",
}


def _levels(state: State) -> tuple[str, ...]:
  """The levels that an official mapper file holds."""
  return tuple(
      level
      for level, official in _OFFICIAL.items()
      if any(key.startswith(f"{official}.") for key in state)
  )


def _mapping(official: str, ours: str, first: int) -> Iterator[Entry]:
  """Entries of one mapping, whose layers the file numbers from `first`."""
  for i in range(_DEPTH):
    yield from linear(f"{official}.mapping.{first + i}", f"{ours}/linear{i}")


def _styleclip(net: LevelsMapper) -> Iterator[Entry]:
  for level in net.levels:
    yield from _mapping(_OFFICIAL[level], level, first=1)


def _delta(net: DeltaMapper) -> Iterator[Entry]:
  del net  # All sizes have the same layers.
  for level in LEVELS:
    yield from _mapping(f"sm_{level}", f"style_{level}", first=1)
    yield from _mapping(f"cm_{level}", f"clip_{level}", first=1)
    yield from _mapping(f"fm_{level}", f"fusion_{level}", first=0)


def _build_styleclip(state: State) -> LevelsMapper:
  w_dim = next(iter(state.values())).shape[-1]
  return LevelsMapper(w_dim=w_dim, levels=_levels(state))


def _build_delta(state: State) -> DeltaMapper:
  token_width, clip_width = state["cm_coarse.mapping.1.weight"].shape
  fine_width, _ = state["cm_fine.mapping.1.weight"].shape
  return DeltaMapper(token_width, fine_width, clip_width)


class _LevelsFamily(Family):
  """A mapper may lack levels, so any one of them identifies it."""

  def recognises(self, state: State) -> bool:
    return bool(_levels(state))


STYLECLIP_FAMILY = _LevelsFamily(
    name="styleclip_mapper",
    signature=(),
    build=_build_styleclip,
    tensors=_styleclip,
    container="state_dict/mapper.",
)

DELTA_FAMILY = Family(
    name="delta_mapper",
    signature=("cm_coarse.mapping.1.weight", "cm_fine.mapping.1.weight"),
    build=_build_delta,
    tensors=_delta,
)
