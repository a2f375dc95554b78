"""Faces drawn by code, with known attributes: the default data set.

  face = drawn_faces.sample(seed=0, index=7)
  before = drawn_faces.draw(face, 256)
  after = drawn_faces.draw(face.replace(smile=1), 256)

`python -m sfe_jax.drawn_faces` writes a folder of them.  The same seed and
index always give the same picture: the weights in sfe_jax/pretrained were
trained on them.
"""

from sfe_jax.drawn_faces.effects import EFFECTS
from sfe_jax.drawn_faces.faces import ATTRIBUTES, Attribute, Face, sample
from sfe_jax.drawn_faces.portrait import draw

__all__ = ["ATTRIBUTES", "EFFECTS", "Attribute", "Face", "draw", "sample"]
