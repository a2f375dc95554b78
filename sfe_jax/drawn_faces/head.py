"""Measures and pose of a head: face coordinates to picture coordinates.

For a face seen from the front, face coordinates are picture coordinates: the
eyes are near y = -0.03, the mouth near y = 0.37, the chin near y = 0.65.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from sfe_jax.drawn_faces import colours, shapes
from sfe_jax.drawn_faces.dice import Dice
from sfe_jax.drawn_faces.faces import Face, smoothstep

_WIDE, _HIGH, _DEEP = 0.53, 0.74, 0.46
_MAX_YAW, _MAX_PITCH = 0.56, 0.24


@dataclasses.dataclass(frozen=True)
class Head:
  """Measures, colours and pose that follow from a face's attributes.

  Attributes:
    face: the face.
    dice: random numbers of each part.
    skin: skin colour.
    hair: hair colour, with grey.
    old: signs of age, 0 to 1.
    width: factor on the width of the face.
    turn: sine of the yaw angle.
    nod: sine of the pitch angle.
    drop: displacement of the chin by an open mouth.
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
    """Derives all measures from a face and its random numbers."""
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

  def front(self, points: ArrayLike, lift: ArrayLike = 0.0) -> np.ndarray:
    """Maps points (..., 2) on the front of the face; lift is added depth."""
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

  def side(self, points: ArrayLike) -> np.ndarray:
    """Maps points (..., 2) of the silhouette: skull, jaw, edge of the hair."""
    points = np.asarray(points, float)
    u, v = points[..., 0], points[..., 1]
    t = np.minimum(np.maximum((v + 0.62) / 1.27, 0), 1)
    out = np.empty_like(points)
    out[..., 0] = u * self.width + self.turn * (0.44 * t - 0.24)
    out[..., 1] = v + self.nod * (0.1 - 0.2 * t)
    return out

  def both(self, points: ArrayLike, lift: ArrayLike = 0.0) -> np.ndarray:
    """Maps points with `front` above the cheeks and with `side` below them."""
    share = np.clip((np.asarray(points, float)[..., 1:] - 0.05) / 0.35, 0, 1)
    a, b = self.front(points, lift), self.side(points)
    return a + (b - a) * share

  @property
  def hatted(self) -> bool:
    """Whether a hat presses the hair down."""
    face = self.face
    return face.hat not in ("none", "headband") or face.extra == "odd_hat"

  def outline(self) -> np.ndarray:
    """Outline of the face, from the top of the forehead."""
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


def whole(half: ArrayLike) -> np.ndarray:
  """Closed outline from its right half, whose ends lie on the middle line."""
  half = np.asarray(half, float)
  return np.concatenate([half, half[-2:0:-1] * (-1.0, 1.0)])


def arch(half: ArrayLike) -> np.ndarray:
  """Line from left to right from its right half, which starts in the middle."""
  half = np.asarray(half, float)
  return np.concatenate([half[:0:-1] * (-1.0, 1.0), half])
