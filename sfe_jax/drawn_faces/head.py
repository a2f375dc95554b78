"""The head's measures and its pose: from face coordinates to the picture.

Face coordinates are the picture's for a face seen from the front: eyes near
y = -.03, the mouth near y = .37, the chin near y = .65.
"""

import dataclasses
import math

import numpy as np

from sfe_jax.drawn_faces import colours, shapes
from sfe_jax.drawn_faces.dice import Dice
from sfe_jax.drawn_faces.faces import Face, smoothstep

_WIDE, _HIGH, _DEEP = 0.53, 0.74, 0.46
_MAX_YAW, _MAX_PITCH = 0.56, 0.24


@dataclasses.dataclass(frozen=True)
class Head:
  """A face's measures, colours and pose.

  Attributes:
    face: what it shows.
    dice: random details by part.
    skin: colour.
    hair: colour, greying included.
    old: 0 (young) .. 1.
    width: factor on the face's width.
    turn: sine of the yaw.
    nod: sine of the pitch.
    drop: how far the chin hangs for an open mouth.
  """

  face: Face
  dice: dict[str, Dice]
  skin: np.ndarray
  hair: np.ndarray
  old: float
  width: float
  turn: float
  nod: float
  drop: float

  @classmethod
  def of(cls, face: Face, dice: dict[str, Dice]) -> "Head":
    """Derives all measures from a face."""
    onset = dice["hair"].one(44, 66)
    grey = smoothstep(face.age, onset - 12, onset + 20)
    return cls(
        face=face,
        dice=dice,
        skin=colours.skin(face.skin, dice["skin"].one(-1, 1)),
        hair=colours.hair(face.hair_light, face.hair_red, grey),
        old=smoothstep(face.age, 28, 80),
        width=1 + 0.09 * face.face_width - 0.03 * face.gender,
        turn=float(np.sin(_MAX_YAW * face.yaw)),
        nod=float(np.sin(_MAX_PITCH * face.pitch)),
        drop=0.05 * face.mouth_open,
    )

  def front(self, points, lift: float = 0.0) -> np.ndarray:
    """Places points (..., 2) of the face's front; lift: depth added."""
    points = np.asarray(points, float)
    u, v = points[..., 0] * self.width, points[..., 1]
    bulge = 1 - u * u * _WIDE**-2 - v * v * (0.55 * _HIGH**-2)
    z = _DEEP * np.sqrt(np.maximum(bulge, 0.03)) + lift
    out = np.empty_like(points)
    out[..., 0] = (
        u * math.sqrt(1 - self.turn**2) + (z - 0.52 * _DEEP) * self.turn
    )
    out[..., 1] = (
        v * math.sqrt(1 - self.nod**2) - (z - 0.55 * _DEEP) * self.nod
    )
    return out

  def side(self, points) -> np.ndarray:
    """Places points (..., 2) of the silhouette: skull, jaw, hair's edge."""
    points = np.asarray(points, float)
    u, v = points[..., 0], points[..., 1]
    t = np.minimum(np.maximum((v + 0.62) / 1.27, 0), 1)
    out = np.empty_like(points)
    out[..., 0] = u * self.width + self.turn * (0.44 * t - 0.24)
    out[..., 1] = v + self.nod * (0.1 - 0.2 * t)
    return out

  def both(self, points, lift: float = 0.0) -> np.ndarray:
    """Front above, silhouette below the cheeks: hair that frames the face."""
    share = np.clip((np.asarray(points, float)[..., 1:] - 0.05) / 0.35, 0, 1)
    a, b = self.front(points, lift), self.side(points)
    return a + (b - a) * share

  @property
  def hatted(self) -> bool:
    """Whether a hat lies on the hair and presses it down."""
    face = self.face
    return face.hat not in ("none", "headband") or face.extra == "odd_hat"

  def outline(self) -> np.ndarray:
    """The face's edge, from the top of the forehead all round."""
    face, drop = self.face, self.drop
    jaw = 0.05 * face.jaw + 0.022 * (1 - 2 * face.gender)
    sag = 0.03 * self.old
    chin = 0.655 + 0.02 * (1 - face.gender) + 0.012 * abs(face.jaw)
    half = [
        (0.0, -0.62),
        (0.205, -0.575),
        (0.355, -0.435),
        (0.425, -0.19),
        (0.42, 0.08),
        (0.395 + 0.4 * jaw, 0.26),
        (0.318 + jaw + sag, 0.44 + 0.5 * drop),
        (0.165 + 0.85 * jaw + 0.3 * sag, 0.60 + drop),
        (0.0, chin + drop),
    ]
    return shapes.spline(self.side(whole(half)))


def whole(half) -> np.ndarray:
  """A closed outline from its right half; the ends lie on the middle line."""
  half = np.asarray(half, float)
  return np.concatenate([half, half[-2:0:-1] * (-1.0, 1.0)])


def arch(half) -> np.ndarray:
  """A line from left to right from its right half, first in the middle."""
  half = np.asarray(half, float)
  return np.concatenate([half[:0:-1] * (-1.0, 1.0), half])
