"""Letters and digits, drawn as straight strokes on a grid of 4 x 6."""

import functools

import numpy as np

# Each word is a polyline; two digits are the x and y of a point.
_STROKES = {
    "A": "062046 1434",
    "B": "0006 003041423303 3344453606",
    "C": "4130100105163645",
    "D": "0006 002042442606",
    "E": "40000646 0333",
    "F": "400006 0333",
    "G": "41301001051636454323",
    "H": "0006 4046 0343",
    "I": "2026 1030 1636",
    "J": "4045361605",
    "K": "0006 400346",
    "L": "000646",
    "M": "0600234046",
    "N": "06004640",
    "O": "100105163645413010",
    "P": "06003041423303",
    "Q": "100105163645413010 2446",
    "R": "06003041423303 2346",
    "S": "413010010213334445361605",
    "T": "0040 2026",
    "U": "000516364540",
    "V": "002640",
    "W": "0016233640",
    "X": "0046 4006",
    "Y": "002340 2326",
    "Z": "00400646",
    "2": "01103041420646",
    "3": "01103041423313 334445361605",
    "4": "36300444",
    "5": "400003334445361605",
    "6": "4130100105163645443303",
    "7": "004016",
    "8": "103041423313020110 133344453616050413",
    "9": "4233130201103041453616",
}
CHARACTERS = "".join(_STROKES)


@functools.cache
def _segments(character: str) -> np.ndarray:
  """Segments (k, 2, 2), start and end, of a character in the unit square."""
  pieces = []
  for word in _STROKES[character].split():
    points = np.array([int(d) for d in word], float).reshape(-1, 2)
    pieces += list(zip(points[:-1], points[1:]))
  return np.array(pieces) / (4, 6)


def outlines(
    text: str, x: float, y: float, height: float, weight: float = 0.16
) -> np.ndarray:
  """Outlines (k, 4, 2) of a text.

  Args:
    text: made of CHARACTERS.
    x: centre of the text.
    y: centre of the text.
    height: height of a character.
    weight: width of the strokes divided by `height`.
  """
  width = 0.62 * height
  step = width + 1.6 * weight * height
  left = x - (len(text) * step - (step - width)) / 2
  lines = np.concatenate([
      _segments(c) * (width, height) + (left + i * step, y - height / 2)
      for i, c in enumerate(text)
  ])
  along = lines[:, 1] - lines[:, 0]
  along /= np.hypot(along[:, :1], along[:, 1:])
  half = weight * height / 2
  across = np.stack([-along[:, 1], along[:, 0]], -1) * half
  a, b = lines[:, 0] - along * half * 0.8, lines[:, 1] + along * half * 0.8
  return np.stack([a + across, b + across, b - across, a - across], 1)


def word(numbers: np.ndarray) -> str:
  """A random word with one character per number in [0, 1)."""
  return "".join(CHARACTERS[int(n * len(CHARACTERS))] for n in numbers)
