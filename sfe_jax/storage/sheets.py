"""Labelled sheets of pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MIN_TILE, _MAX_TILE = 128, 256
_FONT_SIZE = 11
_LINE = 14  # height of a line of text
_PADDING = 4  # height of a header or caption beyond its lines
_LEFT = 4
_MIN_ROOM = 60  # headings are not wrapped to less, even if they overlap
_BREAKS = " _/+,"  # a heading may be broken after these


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    tile: int | None = None,
    captions: Sequence[str] = (),
) -> np.ndarray:
  """Draws pictures in rows and columns.

  Args:
    rows: rows of uint8 pictures (h, w, 3), one picture per title.
    titles: headings of the columns, wrapped to the width of a column.
    tile: side of a cell in pixels; by default that of the first picture,
      brought into 128..256.
    captions: a line above each row, such as a file's name; empty for none.

  Returns:
    uint8 (height, tile * len(titles), 3).
  """
  if tile is None:
    tile = min(max(rows[0][0].shape[0], _MIN_TILE), _MAX_TILE)
  font = ImageFont.load_default(_FONT_SIZE)
  room = max(tile - 2 * _LEFT, _MIN_ROOM)
  headings = [_wrapped(title, room, font) for title in titles]
  header = _LINE * max(map(len, headings)) + _PADDING
  caption = _LINE + _PADDING if captions else 0
  width, height = tile * len(titles), header + (caption + tile) * len(rows)
  sheet = Image.new("RGB", (width, height), "white")
  draw = ImageDraw.Draw(sheet)
  for j, lines in enumerate(headings):
    for i, line in enumerate(lines):
      at = tile * j + _LEFT, _PADDING // 2 + _LINE * i
      draw.text(at, line, fill="black", font=font)
  for i, row in enumerate(rows):
    top = header + (caption + tile) * i
    if captions:
      text = _shortened(captions[i], width - 2 * _LEFT, font)
      draw.text((_LEFT, top + _PADDING // 2), text, fill="black", font=font)
    for j, picture in enumerate(row):
      scaled = Image.fromarray(picture).resize(
          (tile, tile), Image.Resampling.LANCZOS
      )
      sheet.paste(scaled, (tile * j, top + caption))
  return np.asarray(sheet)


def _wrapped(text: str, width: int, font: _Font) -> list[str]:
  """Lines of at most `width` pixels; breaks inside words only if needed."""
  lines = []
  while text and font.getlength(text) > width:
    fitting = 1
    while font.getlength(text[: fitting + 1]) <= width:
      fitting += 1
    breaks = [i for i in range(1, fitting + 1) if text[i - 1] in _BREAKS]
    end = max(breaks, default=fitting)
    lines.append(text[:end].rstrip())
    text = text[end:].lstrip()
  return lines + [text] * (bool(text) or not lines)


def _shortened(text: str, width: int, font: _Font) -> str:
  """The end of a text that is too long, which tells files of a set apart."""
  if font.getlength(text) <= width:
    return text
  while len(text) > 1 and font.getlength("..." + text) > width:
    text = text[1:]
  return "..." + text
