"""Draws examples/portrait.png, a picture free of rights.

A face in the framing of FFHQ with what inversion finds hard: a patterned hat,
an earring, freckles and lettering in the background.
"""

import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = 1024
_SCALE = 2  # drawn larger and reduced, for smooth edges
_SKIN, _SHADE, _HAIR = (232, 190, 160), (208, 158, 128), (92, 56, 38)


def _box(x: float, y: float, rx: float, ry: float) -> list[float]:
  """Bounding box of an ellipse."""
  return [_SCALE * v for v in (x - rx, y - ry, x + rx, y + ry)]


def _background() -> Image.Image:
  size = SIZE * _SCALE
  y, x = np.mgrid[0:size, 0:size] / size
  top, low = np.array([120, 165, 190]), np.array([225, 205, 170])
  rgb = top + (low - top) * y[..., None] + 14 * np.sin(9 * x + 4 * y)[..., None]
  return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def draw() -> Image.Image:
  """The portrait, RGB, SIZE x SIZE."""
  image = _background()
  d = ImageDraw.Draw(image)
  font = ImageFont.load_default(size=90 * _SCALE)
  d.text((40 * _SCALE, 60 * _SCALE), "SFE", fill=(250, 245, 235), font=font)
  d.ellipse(_box(512, 560, 330, 400), fill=_HAIR)
  d.ellipse(_box(512, 1130, 440, 270), fill=(62, 88, 120))
  d.rounded_rectangle(
      [v * _SCALE for v in (415, 780, 609, 960)], 60 * _SCALE, fill=_SHADE
  )
  d.ellipse(_box(512, 585, 255, 325), fill=_SKIN)
  for side in (-1, 1):
    d.ellipse(_box(512 + side * 258, 600, 34, 62), fill=_SHADE)
  d.ellipse(_box(254, 690, 15, 22), fill=(235, 200, 70))
  cheeks = Image.new("L", image.size)
  for side in (-1, 1):
    ImageDraw.Draw(cheeks).ellipse(_box(512 + side * 140, 690, 75, 55), fill=90)
  cheeks = cheeks.filter(ImageFilter.GaussianBlur(30 * _SCALE))
  image.paste((226, 120, 110), mask=cheeks)
  d = ImageDraw.Draw(image)
  for side in (-1, 1):
    x = 512 + side * 108
    d.ellipse(_box(x, 520, 58, 32), fill=(250, 248, 244))
    d.ellipse(_box(x + 4, 522, 28, 28), fill=(74, 110, 92))
    d.ellipse(_box(x + 4, 522, 13, 13), fill=(20, 20, 24))
    d.ellipse(_box(x + 13, 512, 6, 6), fill=(255, 255, 255))
    d.arc(_box(x, 524, 62, 42), 195, 345, fill=(60, 36, 28), width=7 * _SCALE)
    d.arc(_box(x, 475, 78, 42), 205, 335, fill=_HAIR, width=15 * _SCALE)
  d.arc(_box(512, 640, 44, 34), 30, 150, fill=_SHADE, width=9 * _SCALE)
  d.chord(_box(512, 745, 100, 62), 10, 170, fill=(178, 62, 66))
  d.chord(_box(512, 748, 84, 40), 10, 170, fill=(248, 244, 238))
  rng = np.random.default_rng(3)
  for x, y in rng.normal((512, 660), (110, 26), (60, 2)):
    d.ellipse(_box(x, y, 4, 3.5), fill=(196, 136, 104))
  d.chord(_box(512, 330, 335, 230), 180, 360, fill=(150, 42, 48))
  for i in range(-3, 4):
    x, y = 512 + 86 * i, 235 + 5 * i * i
    d.ellipse(_box(x, y, 24, 24), fill=(240, 215, 120))
  brim = [v * _SCALE for v in (150, 310, 874, 372)]
  d.rounded_rectangle(brim, 30 * _SCALE, fill=(112, 28, 36))
  return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
  draw().save(pathlib.Path(__file__).with_name("portrait.png"), optimize=True)
