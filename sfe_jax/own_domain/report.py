r"""Writes the report of a chain again.

  python -m sfe_jax.own_domain.report OUT

OUT is a folder that `python -m sfe_jax.own_domain FOLDER OUT` filled.  Writes
OUT/report.html, one file with everything in it, OUT/report.png, its pictures
on one sheet, and OUT/next.txt, a command that edits a held-out picture.  Exit
code: 0 done, 2 wrong usage or a result of the chain is missing.
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import logging

from sfe_jax import command_line
from sfe_jax.errors import UserError
from sfe_jax.own_domain import page, steps, summary
from sfe_jax.storage import atomic, images

SHEET = "report.png"


def write(
    folder: str | os.PathLike[str], found: summary.Summary
) -> pathlib.Path:
  """Writes the report, its pictures and a command to try into OUT.

  Args:
    folder: OUT of the chain.
    found: what `summary.gather` found there.

  Returns:
    Path of the page, which is written last.
  """
  out = pathlib.Path(folder)
  strips = (found.inverted, *found.edited, found.samples)
  images.write(out / SHEET, stack([strip.sheet() for strip in strips]))
  atomic.write_text(out / steps.NEXT, found.command + "\n")
  atomic.write_text(out / steps.REPORT, page.render(found))
  return out / steps.REPORT


def stack(sheets: Sequence[np.ndarray], gap: int = 12) -> np.ndarray:
  """Sheets on a white one, beside each other where they fit.

  Args:
    sheets: uint8 (h, w, 3) of any sizes.
    gap: pixels between them.

  Returns:
    uint8 (h, w, 3), `gap` wider than the widest sheet.
  """
  width = max(sheet.shape[1] for sheet in sheets) + gap
  x = y = height = 0
  places = []
  for sheet in sheets:
    h, w, _ = sheet.shape
    if x + w > width:
      x, y, height = 0, y + height + gap, 0
    places.append((slice(y, y + h), slice(x, x + w)))
    x, height = x + w + gap, max(height, h)
  canvas = np.full((y + height, width, 3), 255, np.uint8)
  for place, sheet in zip(places, sheets):
    canvas[place] = sheet
  return canvas


def define_flags() -> None:
  """Defines no flags."""


def main(argv: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  if len(argv) != 2:
    raise UserError("give OUT: python -m sfe_jax.own_domain.report OUT")
  out = pathlib.Path(argv[1]).absolute()
  logging.info("wrote %s", write(out, summary.gather(out)))
  return 0


if __name__ == "__main__":
  command_line.run(main, define_flags, positional=True)
