"""The report as one HTML file that needs no other file."""

import base64
import io
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sfe_jax.own_domain import steps
from sfe_jax.own_domain.summary import Curve, StageSummary, Summary

_TEMPLATE = "page.html"
_PER_ROW = 4  # curves
_FIRST_CURVES = 8  # shown at once; the others open on a click
_WIDTH, _HEIGHT = 2.9, 1.6  # of a curve, in inches
_MOST_POINTS = 200
_LOG_FROM = 30.0  # largest value / smallest one
_COLOURS = ("#4477aa", "#ee7733")  # of training and of held-out pictures
# Text stays text, and the same curves give the same file.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 7}


def render(summary: Summary) -> str:
  """The page as HTML."""
  environment = jinja2.Environment(
      autoescape=True,
      loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
      trim_blocks=True,
      lstrip_blocks=True,
      undefined=jinja2.StrictUndefined,
  )
  environment.filters["png"] = png
  return environment.get_template(_TEMPLATE).render(
      s=summary,
      title=f"An editor for {pathlib.Path(summary.about['source']).name}",
      times=times(summary),
      curves={stage.name: stage_curves(stage) for stage in summary.stages},
  )


def png(picture: np.ndarray) -> str:
  """uint8 (h, w, 3) as a URL that holds the picture."""
  out = io.BytesIO()
  Image.fromarray(picture).save(out, "PNG")
  return _url("image/png", out.getvalue())


def _url(kind: str, content: bytes) -> str:
  return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def times(summary: Summary) -> list[tuple[str, str, str, str, str]]:
  """Rows (step, training steps, total time, steps per second, device)."""
  stages = {stage.name: stage for stage in summary.stages}
  rows = []
  for name in [step.name for step in steps.STEPS]:
    seconds, stage = summary.seconds.get(name), stages.get(name)
    spent = "" if seconds is None else _duration(seconds)
    if stage is not None:
      speed = "" if stage.speed is None else f"{stage.speed:.3g}"
      rows.append((name, f"{stage.steps:,}", spent, speed, stage.device))
    elif seconds is not None:
      rows.append((name, "", spent, "", ""))
  if summary.seconds:
    total = sum(summary.seconds.values())
    rows.append(("all", "", _duration(total), "", ""))
  return rows


def _duration(seconds: float) -> str:
  minutes = round(seconds / 60)
  return f"{minutes // 60} h {minutes % 60:02} min"


def stage_curves(stage: StageSummary) -> list[str]:
  """The curves of a stage as URLs: the most important, then the others."""
  pairs = paired(stage.curves)
  parts = [pairs[:_FIRST_CURVES], pairs[_FIRST_CURVES:]]
  return [_svg(figure(part)) for part in parts if part]


def paired(
    curves: Mapping[str, Curve],
) -> list[tuple[str, Curve, Curve]]:
  """Every number as (name, in training, on held-out pictures).

  The total loss comes first, and numbers named like "group/name" last.
  """
  pairs: dict[str, list[Curve]] = {}
  for key, curve in curves.items():
    name = key.removeprefix("validation/")
    held_out = name != key
    name = "total" if name == "loss" else name.removeprefix("loss/")
    pairs.setdefault(name, [{}, {}])[held_out] = curve
  order = sorted(pairs, key=lambda name: (name != "total", "/" in name))
  return [(name, pairs[name][0], pairs[name][1]) for name in order]


def figure(pairs: Sequence[tuple[str, Curve, Curve]]) -> Figure:
  """Plots of what `paired` returns, `_PER_ROW` beside each other.

  Positive values that differ much are drawn on a logarithmic scale.
  """
  rows = math.ceil(len(pairs) / _PER_ROW)
  with matplotlib.rc_context(_STYLE):
    drawn = Figure((_PER_ROW * _WIDTH, rows * _HEIGHT), layout="constrained")
    axes = drawn.subplots(rows, _PER_ROW, squeeze=False).ravel()
    for ax, (name, *both) in zip(axes, pairs):
      ax.set_title(name, loc="left")
      ax.spines[["top", "right"]].set_visible(False)
      for curve, colour in zip(both, _COLOURS):
        x, y = thinned(curve)
        ax.plot(x, y, ".-" if len(x) == 1 else "-", color=colour)
      values = [value for curve in both for value in curve.values()]
      if min(values) > 0 and max(values) > _LOG_FROM * min(values):
        ax.set_yscale("log")
    for ax in axes[len(pairs) :]:
      ax.set_axis_off()
  return drawn


def thinned(curve: Curve) -> tuple[list[float], list[float]]:
  """Steps and values; means of neighbours where there are many points."""
  chunks = min(len(curve), _MOST_POINTS)
  if not chunks:
    return [], []
  x = np.array_split(list(curve), chunks)
  y = np.array_split(list(curve.values()), chunks)
  return [float(part[-1]) for part in x], [float(part.mean()) for part in y]


def _svg(drawn: Figure) -> str:
  out = io.BytesIO()
  with matplotlib.rc_context(_STYLE):
    drawn.savefig(out, format="svg", metadata={"Date": None})
  return _url("image/svg+xml", out.getvalue())
