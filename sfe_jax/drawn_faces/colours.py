"""Colours: sRGB float arrays (3,) in [0, 1]."""

import colorsys

import numpy as np

Colour = np.ndarray


def rgb(text: str) -> Colour:
  """Converts hexadecimal colours, "ffe0c8" or several separated by spaces.

  Returns:
    (3,), or (n, 3) for several.
  """
  rows = [
      [int(word[i:i + 2], 16) / 255 for i in (0, 2, 4)]
      for word in text.split()
  ]
  return np.array(rows if len(rows) > 1 else rows[0], np.float32)


def hsv(hue: float, saturation: float, value: float) -> Colour:
  """Colour of a hue (of period 1), a saturation and a value in [0, 1]."""
  return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def mix(
    a: Colour | float | np.float32, b: Colour | float, share: float
) -> Colour:
  """Linear interpolation from a (share 0) to b (share 1)."""
  return np.asarray(a + (b - a) * np.float32(share))


def ramp(stops: np.ndarray, position: float) -> Colour:
  """Interpolates evenly spaced stops (n, 3) at a position in [0, 1]."""
  place = min(max(position, 0.0), 1.0) * (len(stops) - 1)
  i = min(int(place), len(stops) - 2)
  return mix(stops[i], stops[i + 1], place - i)


def brightness(colour: Colour) -> float:
  """Luma of a colour, in [0, 1]."""
  return float(colour @ _LUMA)


_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SKIN = rgb("ffe3cf f8cfae eab88f d29a6c ab7449 7d5034 54352a")
_HAIR = rgb("221b20 382720 5a3a28 80563a aa7b48 d2a766 ead08e f3e4bd")
_GREY = rgb("9a9aa0 d9d9da")
_IRIS = rgb("4a2c1c 6b4526 857040 6a8a50 4f8f86 4b86b8 6fa4d4")
_LIP = rgb("b5564f c2304f 8e2340 e0526e d8432f a8324a")


def skin(tone: float, warmth: float) -> Colour:
  """Skin colour.

  Args:
    tone: 0 (light) to 1 (dark).
    warmth: -1 (pink) to 1 (golden).
  """
  return ramp(_SKIN, tone) * (
      1 + np.float32(0.025 * warmth) * np.array([0, 1, -1], np.float32)
  )


def hair(light: float, red: float, grey: float) -> Colour:
  """Hair colour from lightness, redness and share of grey, all in [0, 1]."""
  base = ramp(_HAIR, light)
  copper = ramp(rgb("4a1712 8a3415 c4602a e09a5a"), light)
  base = mix(base, copper, 0.85 * red)
  return mix(base, ramp(_GREY, 0.35 + 0.65 * light), 0.92 * grey)


def iris(position: float) -> Colour:
  """Eye colour from 0 (brown) over hazel and green to 1 (blue)."""
  return ramp(_IRIS, position)


def lip(base: Colour, rosy: float, makeup: float, shade: float) -> Colour:
  """Lip colour.

  Args:
    base: skin colour.
    rosy: redness of lips without lipstick, in [0, 1].
    makeup: amount of lipstick, in [0, 1].
    shade: colour of the lipstick, in [0, 1].
  """
  natural = mix(base * (0.92, 0.72, 0.69), rgb("bc4a50"), 0.10 + 0.34 * rosy)
  return mix(natural, ramp(_LIP, shade), 0.9 * makeup).astype(np.float32)


def cloth(hue: float, depth: float) -> Colour:
  """Colour of cloth or paint, never very bright and saturated.

  Args:
    hue: hue, with period 1.
    depth: 0 (dark) to 1 (light).
  """
  value = 0.35 + 0.55 * depth
  vivid = 0.62 - 0.30 * depth + 0.08 * np.cos(2 * np.pi * (hue - 0.02))
  return hsv(hue, float(vivid), value)
