"""What a drawn face is: exact attribute values and a seed for its details."""

import dataclasses
import types
from collections.abc import Mapping, Sequence

import numpy as np

HAIR_STYLES = (
    "bald", "buzz", "short", "side_part", "quiff", "curly", "afro", "bob",
    "fringe", "long", "wavy", "bun", "ponytail", "braids", "mohawk",
)
HATS = ("none", "cap", "beanie", "headband", "straw", "bandana")
EXTRAS = (
    "none", "face_paint", "mask", "sunglasses", "odd_hat", "hand", "object",
    "stickers",
)
_FEMININE = (0, 1, 1, 2, 1, 6, 4, 10, 9, 16, 14, 9, 10, 6, 1)
_MASCULINE = (5, 9, 20, 16, 11, 8, 5, 0, 1, 3, 2, 2, 1, 0, 3)


@dataclasses.dataclass(frozen=True)
class Attribute:
  """What an attribute may be.

  Attributes:
    kind: "continuous", "binary" (0 or 1) or "categorical".
    description: what its ends mean.
    low: smallest value; of a number.
    high: largest value; of a number.
    choices: of a category.
  """

  kind: str
  description: str
  low: float = 0.0
  high: float = 1.0
  choices: tuple[str, ...] = ()

  def check(self, name: str, value: float | str) -> None:
    """Raises ValueError unless the value is one of the attribute's."""
    if self.kind == "categorical":
      if value not in self.choices:
        raise ValueError(
            f"{name} is one of {', '.join(self.choices)}, not {value!r}"
        )
      return
    if not isinstance(value, (int, float, np.number)):
      raise ValueError(f"{name} is a number, not {value!r}")
    if self.kind == "binary" and value not in (0, 1):
      raise ValueError(f"{name} is 0 or 1, not {value!r}")
    if not self.low <= value <= self.high:
      raise ValueError(
          f"{name} is from {self.low:g} to {self.high:g}, not {value!r}"
      )


def _number(low: float, high: float, description: str) -> Attribute:
  return Attribute("continuous", description, low, high)


ATTRIBUTES: Mapping[str, Attribute] = types.MappingProxyType({
    "yaw": _number(-1, 1, "Head turned to the picture's left .. right."),
    "pitch": _number(-1, 1, "Looks down .. up."),
    "smile": _number(0, 1, "Corners of the mouth down .. a broad smile."),
    "mouth_open": _number(0, 1, "Closed .. wide open."),
    "age": _number(15, 85, "Years: wrinkles, grey hair, hairline, jowls."),
    "gender": _number(
        0, 1, "Masculine .. feminine brows, lashes, lips, jaw and neck."
    ),
    "glasses": Attribute("binary", "Wears glasses."),
    "hair_style": Attribute(
        "categorical", "Cut of the hair.", choices=HAIR_STYLES
    ),
    "hair_light": _number(0, 1, "Black .. brown .. light blond."),
    "hair_red": _number(0, 1, "Neutral .. red."),
    "skin": _number(0, 1, "Light .. dark."),
    "face_width": _number(-1, 1, "Narrow .. wide face."),
    "jaw": _number(-1, 1, "Pointed chin .. square jaw."),
    "beard": _number(0, 1, "None .. stubble .. full beard."),
    "eye_colour": _number(0, 1, "Brown .. hazel .. green .. blue."),
    "makeup": _number(0, 1, "None .. lipstick and eye shadow."),
    "freckles": _number(0, 1, "None .. many."),
    "light": _number(-1, 1, "Light from the picture's left .. right."),
    "earrings": Attribute("binary", "Wears earrings."),
    "hat": Attribute("categorical", "Ordinary hats.", choices=HATS),
    "extra": Attribute(
        "categorical", "What takes a face out of the domain.", choices=EXTRAS
    ),
})


@dataclasses.dataclass(frozen=True)
class Face:
  """A face: its attributes (see ATTRIBUTES) and the seed of all the rest.

  Attributes:
    detail: seed of what has no attribute: features' shapes, background,
      clothes, patterns, lettering, places of freckles, ...
  """

  detail: int
  yaw: float = 0.0
  pitch: float = 0.0
  smile: float = 0.3
  mouth_open: float = 0.0
  age: float = 30.0
  gender: float = 0.5
  glasses: int = 0
  hair_style: str = "short"
  hair_light: float = 0.3
  hair_red: float = 0.0
  skin: float = 0.3
  face_width: float = 0.0
  jaw: float = 0.0
  beard: float = 0.0
  eye_colour: float = 0.5
  makeup: float = 0.0
  freckles: float = 0.0
  light: float = 0.0
  earrings: int = 0
  hat: str = "none"
  extra: str = "none"

  def __post_init__(self):
    if self.detail < 0:
      raise ValueError(f"detail is a seed of 0 or more, not {self.detail}")
    for name, attribute in ATTRIBUTES.items():
      attribute.check(name, getattr(self, name))

  @property
  def attributes(self) -> dict[str, float | str]:
    """All attributes' values by name."""
    return {name: getattr(self, name) for name in ATTRIBUTES}

  @property
  def out_of_domain(self) -> bool:
    """Whether something hides or changes the face as most faces never show."""
    return self.extra != "none"

  def replace(self, **changes: float | str) -> "Face":
    """The same face with other values of some attributes.

    Raises:
      ValueError: no such attribute, or not one of its values.
    """
    unknown = sorted(changes.keys() - ATTRIBUTES.keys())
    if unknown:
      raise ValueError(
          f"no attribute {', '.join(unknown)}; there are"
          f" {', '.join(ATTRIBUTES)}"
      )
    return dataclasses.replace(self, **changes)


def sample(seed: int, index: int) -> Face:
  """A random face, always the same for the same two numbers (0 or more).

  Attributes are correlated as in life, but less: the old are more often grey
  or bald and wear glasses, beards and make-up go with gender, dark hair and
  eyes with dark skin.  About 8 % are out of the domain.
  """
  rng = np.random.default_rng((seed, index))
  detail = int(rng.integers(2**63))
  feminine = rng.random() < 0.5
  gender = _clip(rng.normal(0.83 if feminine else 0.17, 0.13))
  age = 15 + 70 * rng.beta(1.1, 1.7)
  old = (age - 15) / 70
  skin = rng.beta(1.0, 1.5)
  smile = rng.beta(0.9, 0.9)
  opened = _clip(rng.normal(-0.15, 0.35))
  weights = np.where(
      rng.random() < gender, np.array(_FEMININE), np.array(_MASCULINE)
  ).astype(float)
  weights[0] *= 0.3 + 3 * old
  style = rng.choice(len(HAIR_STYLES), p=weights / weights.sum())
  bearded = rng.random() < 0.7 * (1 - gender) ** 2
  painted = rng.random() < (0.6 if gender > 0.5 else 0.03)
  freckled = rng.random() < 0.3 - 0.2 * skin
  return Face(
      detail=detail,
      yaw=_clip(rng.normal(0, 0.45), -1),
      pitch=_clip(rng.normal(0, 0.35), -1),
      smile=smile,
      mouth_open=opened,
      age=age,
      gender=gender,
      glasses=int(rng.random() < 0.2 + 0.25 * old),
      hair_style=HAIR_STYLES[style],
      hair_light=_clip(rng.random() * (1.05 - 0.75 * skin)),
      hair_red=_clip(rng.normal(0.08, 0.3) * (1.0 - 0.6 * skin)),
      skin=skin,
      face_width=_clip(rng.normal(0, 0.45), -1),
      jaw=_clip(rng.normal(0.15 - 0.3 * gender, 0.4), -1),
      beard=bearded * rng.uniform(0.25, 1),
      eye_colour=_clip(rng.random() * (1.1 - 0.8 * skin)),
      makeup=painted * rng.uniform(0.25, 1),
      freckles=freckled * rng.uniform(0.2, 1),
      light=rng.uniform(-1, 1),
      earrings=int(rng.random() < 0.08 + 0.45 * gender),
      hat=_rarely(rng, HATS, 0.28),
      extra=_rarely(rng, EXTRAS, 0.08),
  )


def _clip(value: float, low: float = 0.0, high: float = 1.0) -> float:
  return min(max(float(value), low), high)


def _rarely(
    rng: np.random.Generator, choices: Sequence[str], share: float
) -> str:
  """The first choice, but for a share."""
  other = choices[1 + int(rng.integers(len(choices) - 1))]
  return other if rng.random() < share else choices[0]


def smoothstep(value: float, low: float, high: float) -> float:
  """0 below low, 1 above high, smooth in between."""
  t = _clip((value - low) / (high - low))
  return t * t * (3 - 2 * t)

