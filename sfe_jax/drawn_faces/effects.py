"""What edits of the drawn faces' attributes do, in words.

For each label there is one text for positive and one for negative strengths.
They are written beside labels.csv, where `python -m sfe_jax.directions` reads
them.
"""

import types
from collections.abc import Mapping

from sfe_jax.drawn_faces.faces import EXTRAS, HAIR_STYLES, HATS

_HATS = {
    "cap": "a cap",
    "beanie": "a beanie",
    "headband": "a headband",
    "straw": "a straw hat",
    "bandana": "a bandana",
}
_EXTRAS = {
    "face_paint": "face paint",
    "mask": "a mask over nose and mouth",
    "sunglasses": "sunglasses",
    "odd_hat": "an odd hat",
    "hand": "a hand before the face",
    "object": "an object before the face",
    "stickers": "stickers",
}
_UNUSUAL = "a mask, a hand, stickers etc."


def _hair(style: str) -> tuple[str, str]:
  if style == "bald":
    return "removes the hair", "adds hair"
  name = style.replace("_", " ")
  return f"hair style becomes {name}", "another hair style"


def _hat(hat: str) -> tuple[str, str]:
  if hat == "none":
    return "removes the hat", "adds a hat"
  return f"adds {_HATS[hat]}", f"removes {_HATS[hat]}"


def _extra(extra: str) -> tuple[str, str]:
  if extra == "none":
    return f"removes {_UNUSUAL}", f"adds {_UNUSUAL}"
  return f"adds {_EXTRAS[extra]}", f"removes {_EXTRAS[extra]}"


EFFECTS: Mapping[str, tuple[str, str]] = types.MappingProxyType({
    "yaw": (
        "head turns to the picture's right", "head turns to the picture's left",
    ),
    "pitch": ("looks up", "looks down"),
    "smile": ("broader smile", "corners of the mouth down"),
    "mouth_open": ("opens the mouth", "closes the mouth"),
    "age": ("older", "younger"),
    "gender": ("more feminine", "more masculine"),
    "glasses": ("adds glasses", "removes glasses"),
    "hair_light": ("lighter hair", "darker hair"),
    "hair_red": ("redder hair", "less red hair"),
    "skin": ("darker skin", "lighter skin"),
    "face_width": ("wider face", "narrower face"),
    "jaw": ("squarer jaw", "more pointed chin"),
    "beard": ("fuller beard", "less beard"),
    "eye_colour": ("bluer eyes", "browner eyes"),
    "makeup": ("more make-up", "less make-up"),
    "freckles": ("more freckles", "fewer freckles"),
    "light": (
        "light from the picture's right", "light from the picture's left",
    ),
    "earrings": ("adds earrings", "removes earrings"),
    "out_of_domain": (f"adds {_UNUSUAL}", f"removes {_UNUSUAL}"),
} | {f"hair_style={style}": _hair(style) for style in HAIR_STYLES}
  | {f"hat={hat}": _hat(hat) for hat in HATS}
  | {f"extra={extra}": _extra(extra) for extra in EXTRAS}
)  # fmt: skip
