"""Faces drawn with code, with exact attributes: a domain of one's own.

  face = domains.sample(seed=0, index=7)
  before, after = (domains.draw(f, 256) for f in (face, face.replace(smile=1)))

`python -m sfe_jax.drawn_faces` writes a folder of them.
"""

from sfe_jax.drawn_faces.faces import ATTRIBUTES, Attribute, Face, sample
from sfe_jax.drawn_faces.portrait import draw

__all__ = ["ATTRIBUTES", "Attribute", "Face", "draw", "sample"]
