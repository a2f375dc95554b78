"""Parts of a web page that needs no other file: pictures, tables, curves."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

Curve = Mapping[int, float]  # value by step

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 1170px; margin: 2em auto; padding: 0 1em; }
h1, h2 { font-weight: 600; line-height: 1.2; }
h2 { margin-top: 2em; border-bottom: 1px solid #ddd; padding-bottom: .2em; }
h3 { font-size: 1em; margin: 1.5em 0 .3em; }
p, figcaption, summary { color: #555; margin: .3em 0 .8em; }
figure { margin: 0 0 1em; }
img { max-width: 100%; height: auto; display: block; }
.flow { display: flex; flex-wrap: wrap; gap: 4px 12px; }
table { border-collapse: collapse; }
th, td { padding: .3em 1em; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
pre { background: #f5f5f5; padding: .8em; overflow-x: auto; }
svg text { font: 10px system-ui, sans-serif; fill: #777; }
svg .name { font-size: 11px; fill: #222; }
"""
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 270, 120, 18, 14  # of a plot, in pixels
_COLOURS = ("#4477aa", "#ee7733")
_MOST_POINTS = 200
_LOG_FROM = 30.0  # largest value / smallest one


def document(title: str, *parts: str) -> str:
  """The page; parts are HTML."""
  body = "\n".join(parts)
  return (
      '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
      f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style></head>\n"
      f"<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
  )


def heading(text: str, level: int = 2) -> str:
  """A heading."""
  return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str) -> str:
  """A paragraph of plain text."""
  return f"<p>{html.escape(text)}</p>"


def code(text: str) -> str:
  """Lines to copy."""
  return f"<pre>{html.escape(text)}</pre>"


def flow(*parts: str) -> str:
  """Parts beside each other, where they fit."""
  return f'<div class="flow">{"".join(parts)}</div>'


def details(summary: str, *parts: str) -> str:
  """Parts that open on a click."""
  inner = "\n".join(parts)
  return (
      f"<details><summary>{html.escape(summary)}</summary>{inner}</details>"
  )


def picture(image: np.ndarray, caption: str = "") -> str:
  """uint8 (h, w, 3) with a caption below it."""
  out = io.BytesIO()
  Image.fromarray(image).save(out, "PNG")
  data = base64.b64encode(out.getvalue()).decode("ascii")
  text = html.escape(caption)
  return (
      f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
      f"<figcaption>{text}</figcaption></figure>"
  )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A table of plain text; its first column is aligned left."""
  lines = [_row(header, "th"), *(_row(row, "td") for row in rows)]
  return f"<table>{''.join(lines)}</table>"


def _row(cells: Sequence[str], tag: str) -> str:
  inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
  return f"<tr>{inner}</tr>"


def plot(name: str, training: Curve, held_out: Curve) -> str:
  """A curve of training and one of held-out pictures; either may be empty.

  Positive values that differ much are drawn on a logarithmic scale.
  """
  curves = [_thin(curve) for curve in (training, held_out)]
  values = [v for curve in curves for v in curve.values()]
  low, high = min(values), max(values)
  is_log = low > 0 and high > _LOG_FROM * low
  scale = math.log if is_log else float
  bottom, span = scale(low), (scale(high) - scale(low)) or 1.0
  last = max(max(curve, default=1) for curve in curves) or 1
  inner = _HEIGHT - _TOP - _BOTTOM - 2  # the lines are wide

  def point(step: int, value: float) -> str:
    x = step / last * _WIDTH
    y = _TOP + inner * (1 - (scale(value) - bottom) / span)
    return f"{x:.1f},{y:.1f}"

  floor = _HEIGHT - _BOTTOM
  parts = [
      f'<text class="name" x="0" y="10">{html.escape(name)}</text>',
      f'<path d="M0,{floor}H{_WIDTH}" stroke="#ddd"/>',
  ]
  for colour, curve in zip(_COLOURS, curves):
    points = [point(step, value) for step, value in curve.items()]
    if len(points) == 1:
      x, y = points[0].split(",")
      parts.append(f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}"/>')
    elif points:
      parts.append(
          f'<polyline fill="none" stroke="{colour}" stroke-width="1.5"'
          f' points="{" ".join(points)}"/>'
      )
  ends = f"{low:.3g} to {high:.3g}{', logarithmic' if is_log else ''}"
  bottom_line = _HEIGHT - 2
  parts += [
      f'<text x="0" y="{bottom_line}">{ends}</text>',
      f'<text x="{_WIDTH}" y="{bottom_line}" text-anchor="end">{last}</text>',
  ]
  return (
      f'<svg width="{_WIDTH}" height="{_HEIGHT}"'
      f' viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(parts)}</svg>'
  )


def _thin(curve: Curve) -> Curve:
  """Means of neighbours, where there are more points than can be seen."""
  items = list(curve.items())
  size = -(-len(items) // _MOST_POINTS)
  if size <= 1:
    return curve
  chunks = [items[i : i + size] for i in range(0, len(items), size)]
  return {
      chunk[-1][0]: sum(value for _, value in chunk) / len(chunk)
      for chunk in chunks
  }
