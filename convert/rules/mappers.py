"""Text mappers: StyleCLIP's `styleclip_mappers/*.pt`, DeltaEdit's network."""

from convert.family import Family, State
from convert.mapping import LINEAR, Rule
from sfe_jax.models.mappers import DeltaMapper, LevelsMapper

# "course" is the official spelling.
_LEVELS = {
    "coarse": "course_mapping",
    "medium": "medium_mapping",
    "fine": "fine_mapping",
}


def _levels(state: State) -> tuple[str, ...]:
  """The levels that an official mapper file holds."""
  return tuple(
      level
      for level, source in _LEVELS.items()
      if any(key.startswith(source + ".") for key in state)
  )


def _build_levels(state: State) -> LevelsMapper:
  w_dim = next(iter(state.values())).shape[-1]
  return LevelsMapper(w_dim=w_dim, levels=_levels(state))


def _build_delta(state: State) -> DeltaMapper:
  token_width, clip_width = state["cm_coarse.mapping.1.weight"].shape
  fine_width, _ = state["cm_fine.mapping.1.weight"].shape
  return DeltaMapper(token_width, fine_width, clip_width)


class _LevelsFamily(Family):
  """Any one level identifies a mapper: each of them may be absent."""

  def recognises(self, state: State) -> bool:
    return bool(_levels(state))


STYLECLIP_FAMILY = _LevelsFamily(
    name="styleclip_mapper",
    rules=tuple(
        Rule(f"{source}.mapping.{{i+1}}", f"{level}/linear{{i}}", LINEAR)
        for level, source in _LEVELS.items()
    ),
    signature=(),
    build=_build_levels,
    container="state_dict/mapper.",
)

DELTA_FAMILY = Family(
    name="delta_mapper",
    rules=(
        Rule("sm_{*level}.mapping.{i+1}", "style_{*level}/linear{i}", LINEAR),
        Rule("cm_{*level}.mapping.{i+1}", "clip_{*level}/linear{i}", LINEAR),
        Rule("fm_{*level}.mapping.{i}", "fusion_{*level}/linear{i}", LINEAR),
    ),
    signature=("cm_coarse.mapping.1.weight", "cm_fine.mapping.1.weight"),
    build=_build_delta,
)
