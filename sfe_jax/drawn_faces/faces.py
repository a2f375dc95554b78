"""The attributes of a drawn face, and how random faces are sampled."""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any

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
# Relative frequencies of HAIR_STYLES.
_FEMININE = (0, 1, 1, 2, 1, 6, 4, 10, 9, 16, 14, 9, 10, 6, 1)
_MASCULINE = (5, 9, 20, 16, 11, 8, 5, 0, 1, 3, 2, 2, 1, 0, 3)


@dataclasses.dataclass(frozen=True)
class Attribute:
  """Range of values of an attribute.

  Attributes:
    kind: "continuous", "binary" (0 or 1) or "categorical".
    description: what the values mean.
    low: smallest value of a continuous attribute.
    high: largest value of a continuous attribute.
    choices: values of a categorical attribute.
  """

  kind: str
  description: str
  low: float = 0.0
  high: float = 1.0
  choices: tuple[str, ...] = ()

  def check(self, name: str, value: float | str) -> None:
    """Checks a value of the attribute called `name`.

    Raises:
      ValueError: the value is not in the attribute's range.
    """
    if self.kind == "categorical":
      if value not in self.choices:
        raise ValueError(
            f"{name} must be one of {', '.join(self.choices)}, got {value!r}"
        )
      return
    if not isinstance(value, (int, float, np.number)):
      raise ValueError(f"{name} must be a number, got {value!r}")
    if self.kind == "binary" and value not in (0, 1):
      raise ValueError(f"{name} must be 0 or 1, got {value!r}")
    if not self.low <= value <= self.high:
      raise ValueError(
          f"{name} must be between {self.low:g} and {self.high:g}, got"
          f" {value!r}"
      )


def _number(low: float, high: float, description: str) -> Attribute:
  """A continuous attribute."""
  return Attribute("continuous", description, low, high)


ATTRIBUTES: Mapping[str, Attribute] = types.MappingProxyType({
    "yaw": _number(-1, 1, "Head turned to the picture's left to right."),
    "pitch": _number(-1, 1, "Looks down to up."),
    "smile": _number(0, 1, "Corners of the mouth down to a broad smile."),
    "mouth_open": _number(0, 1, "Closed to wide open."),
    "age": _number(15, 85, "Age in years."),
    "gender": _number(
        0, 1, "Masculine to feminine brows, lashes, lips, jaw and neck."
    ),
    "glasses": Attribute("binary", "Whether there are glasses."),
    "hair_style": Attribute(
        "categorical", "Hair style.", choices=HAIR_STYLES
    ),
    "hair_light": _number(0, 1, "Black over brown to light blond."),
    "hair_red": _number(0, 1, "Not red to red."),
    "skin": _number(0, 1, "Light to dark."),
    "face_width": _number(-1, 1, "Narrow to wide face."),
    "jaw": _number(-1, 1, "Pointed chin to square jaw."),
    "beard": _number(0, 1, "None over stubble to full beard."),
    "eye_colour": _number(0, 1, "Brown over hazel and green to blue."),
    "makeup": _number(0, 1, "None to strong lipstick and eye shadow."),
    "freckles": _number(0, 1, "None to many."),
    "light": _number(-1, 1, "Light from the picture's left to right."),
    "earrings": Attribute("binary", "Whether there are earrings."),
    "hat": Attribute("categorical", "Hat.", choices=HATS),
    "extra": Attribute(
        "categorical",
        "Unusual object or change; all but `none` are out of the domain.",
        choices=EXTRAS,
    ),
})


@dataclasses.dataclass(frozen=True)
class Face:
  """A face: its attributes, described by ATTRIBUTES, and a seed.

  Attributes:
    detail: random seed, 0 or more, of all that has no attribute, such as the
      shapes of eyes and nose, background, clothes and patterns.
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
      raise ValueError(f"detail must be a seed of 0 or more, got {self.detail}")
    for name, attribute in ATTRIBUTES.items():
      attribute.check(name, getattr(self, name))

  @property
  def attributes(self) -> dict[str, float | str]:
    """Values of all attributes, by name."""
    return {name: getattr(self, name) for name in ATTRIBUTES}

  @property
  def out_of_domain(self) -> bool:
    """Whether the face has an unusual `extra`, which few faces have."""
    return self.extra != "none"

  def replace(self, **changes: float | str) -> "Face":
    """Returns the same face with other values of some attributes.

    Raises:
      ValueError: there is no such attribute, or a value is not in its range.
    """
    unknown = sorted(changes.keys() - ATTRIBUTES.keys())
    if unknown:
      raise ValueError(
          f"there is no attribute {', '.join(unknown)}; choose from"
          f" {', '.join(ATTRIBUTES)}"
      )
    values: dict[str, Any] = {**changes}
    return dataclasses.replace(self, **values)


def sample(seed: int, index: int) -> Face:
  """Samples a random face.

  Some attributes are correlated: old faces are more often bald and have
  glasses, beards and make-up depend on gender, the colours of hair and eyes on
  that of the skin.  About 8 % of the faces are out of the domain.

  Args:
    seed: random seed, 0 or more.
    index: number of the face, 0 or more.

  Returns:
    A face, always the same for the same seed and index.
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
  """Another than the first choice with probability `share`."""
  other = choices[1 + int(rng.integers(len(choices) - 1))]
  return other if rng.random() < share else choices[0]


def smoothstep(value: float, low: float, high: float) -> float:
  """Rises smoothly from 0 at low to 1 at high; constant outside."""
  t = _clip((value - low) / (high - low))
  return t * t * (3 - 2 * t)

