"""Finds directions of a generator, measures them and writes the useful ones."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import logging

from sfe_jax.directions import (
    candidates,
    effects,
    files,
    ranges,
    samples,
    sheet,
)
from sfe_jax.directions.candidates import Candidate
from sfe_jax.directions.effects import Words
from sfe_jax.directions.ranges import Effect, Probe
from sfe_jax.directions.samples import LabelledPictures, Samples
from sfe_jax.errors import UserError
from sfe_jax.models.e4e import E4E
from sfe_jax.models.perception import Perception
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import atomic, images, labels, origins, weights

REPORT, SHEET = "report.json", "sheet.png"
_MEASURED = 96  # samples that ranges are measured on
_SHOWN = 3  # of these on the sheet
_LOOK = f"no labels: compare low and high in its row of directions/{SHEET}"
_NETWORKS = {
    "generator": Generator,
    "perception": Perception,
    "e4e": E4E,
}


@dataclasses.dataclass(frozen=True)
class SearchSettings:
  """The settings of one search.

  Attributes:
    samples: number of pictures that attributes are fitted to.
    seed: random seed of the samples.
    components: number of GANSpace directions.
    sefa: number of SeFa directions.
    method: one of candidates.METHODS.  None: "regression" for true labels,
      "boundary" for scores; each measured better there.
    conditioning: one of candidates.CONDITIONING.
    data: folder of pictures with true labels; empty to use the scores of the
      perception network.
    labels: the CSV file of the labels.
  """

  samples: int = 20_000
  seed: int = 0
  components: int = 8
  sefa: int = 4
  method: str | None = None
  conditioning: str = "projection"
  data: str = ""
  labels: str = ""


@dataclasses.dataclass(frozen=True)
class Measured:
  """A direction with its measured effect and its useful range."""

  candidate: Candidate
  effect: Effect
  low: float
  high: float

  def at_end(self) -> np.ndarray:
    """Changes (outputs,) of the scores per sign at the end of the range.

    The end is the upper one, or the lower one of a range without positive
    strengths.
    """
    end = self.high or self.low
    return self.effect.changes[ranges.STRENGTHS.index(end)] * np.sign(end)


def find(
    folder: pathlib.Path, out: pathlib.Path, settings: SearchSettings
) -> list[str]:
  """Finds directions; writes OUT/NAME.npz of each useful one, REPORT and SHEET.

  Fitted directions that are already in OUT are replaced.  The report is written
  last.

  Args:
    folder: weight folder with generator and perception, and with e4e if
      `settings` name labelled pictures.
    out: folder to write.
    settings: what to look for.

  Returns:
    Names of the directions.

  Raises:
    UserError: a network is missing or does not fit, there is nothing to look
      for or nothing useful, or a file that this program did not write would be
      replaced.
  """
  probe = load(folder, settings)
  source = _labelled_pictures(folder, probe, settings)
  given = labels.read_effects(settings.labels) if source else {}
  schema = source.table.schema if source else probe.schema
  old = _replaceable(out, schema, settings)
  if source:
    drawn = samples.labelled(probe, source, settings.samples, settings.seed)
  else:
    drawn = samples.classified(probe, settings.samples, settings.seed)
  found, left_out = _fit(probe, drawn, given, settings)
  shown, measured, useless = _measure(probe, drawn, found, settings.seed)
  left_out |= useless
  for name, reason in left_out.items():
    logging.info("%s is left out: %s", name, reason)
  if not measured:
    raise UserError(
        "no direction is useful; is the generator trained?  The lines above say"
        " why each is left out"
    )
  for path in [*old, out / REPORT]:
    path.unlink(missing_ok=True)
  _write(out, probe, shown, measured, effects.of_schema(probe.schema, given))
  outputs = labels.outputs(probe.schema)
  report = {
      "settings": dataclasses.asdict(settings),
      "samples": len(drawn.latents),
      "strengths": ranges.STRENGTHS,
      "directions": {m.candidate.name: _entry(m, outputs) for m in measured},
      "left_out": left_out,
  }
  atomic.write_json(out / REPORT, report)
  return [item.candidate.name for item in measured]


def load(folder: pathlib.Path, settings: SearchSettings) -> Probe:
  """Reads the generator and the perception network of a weight folder.

  Raises:
    UserError: a network is missing or damaged, or there is nothing to look
      for.
  """
  generator, generator_variables = _read(folder, "generator")
  perception, perception_variables = _read(folder, "perception")
  schema = weights.label_schema(folder / "perception")
  if len(labels.outputs(schema)) != perception.outputs:
    raise UserError(
        f"{folder / 'perception'} scores {perception.outputs} labels and names"
        f" {len(labels.outputs(schema))}; copy or train it again"
    )
  if not (schema or settings.labels or settings.components or settings.sefa):
    raise UserError(
        f"nothing to look for: {folder / 'perception'} was trained without"
        " labels; give --components, --sefa, or --data and --labels"
    )
  for name in ("components", "sefa"):
    if getattr(settings, name) > generator.w_dim:
      raise UserError(
          f"--{name} is {getattr(settings, name)}, latents have only"
          f" {generator.w_dim} numbers"
      )
  variables = {
      "generator": generator_variables,
      "perception": perception_variables,
  }
  return Probe(generator, perception, variables, schema)


def _read(folder: pathlib.Path, name: str) -> tuple[Any, Any]:
  """A network of a weight folder and its variables."""
  if not (folder / name).is_dir():
    raise UserError(
        f"{weights.shown(folder)} holds no {name}; {origins.way_to(name)}"
    )
  return weights.read(folder / name, _NETWORKS[name])


def _labelled_pictures(
    folder: pathlib.Path, probe: Probe, settings: SearchSettings
) -> LabelledPictures | None:
  """The labelled pictures that the settings name, if they name any."""
  if bool(settings.data) != bool(settings.labels):
    raise UserError(
        "--data and --labels go together: a folder of pictures and the CSV"
        " file of their labels"
    )
  if not settings.data:
    return None
  e4e, variables = _read(folder, "e4e")
  g = probe.generator
  if (e4e.styles, e4e.w_dim) != (g.styles, g.w_dim):
    raise UserError(
        f"{folder}: e4e gives latents ({e4e.styles}, {e4e.w_dim}), the"
        f" generator takes ({g.styles}, {g.w_dim})"
    )
  table = labels.read(settings.labels)
  return LabelledPictures(e4e, variables, settings.data, table)


def _replaceable(
    out: pathlib.Path, schema: labels.Schema, settings: SearchSettings
) -> list[pathlib.Path]:
  """Fitted directions in OUT; UserError if other files would be replaced."""
  names = labels.label_names(schema)
  names += [f"pca{i + 1}" for i in range(settings.components)]
  names += [f"sefa{i + 1}" for i in range(settings.sefa)]
  old = list(files.fitted(out))
  for name in names:
    path = out / f"{name}.npz"
    if path.exists() and path not in old:
      raise UserError(
          f"{path} already exists and was not written by this program;"
          " rename it, or write to another --out"
      )
  return old


def _fit(
    probe: Probe,
    drawn: Samples,
    given: Mapping[str, tuple[str, str]],
    settings: SearchSettings,
) -> tuple[list[Candidate], dict[str, str]]:
  """All directions, and by name the reason why others are left out."""
  found: list[Candidate] = []
  left_out: dict[str, str] = {}
  if drawn.scores is not None:
    method = settings.method or ("regression" if drawn.true else "boundary")
    found, left_out = candidates.attributes(
        drawn, method, settings.conditioning, given
    )
  found += candidates.unsupervised(
      probe, settings.components, settings.sefa, settings.seed
  )
  return found, left_out


def _measure(
    probe: Probe, drawn: Samples, found: Sequence[Candidate], seed: int
) -> tuple[np.ndarray, list[Measured], dict[str, str]]:
  """Measures directions on the first samples.

  Returns:
    w+ (_SHOWN, styles, w_dim) for the sheet; useful directions; and by name the
    reason why others are left out.
  """
  w_plus = _w_plus(probe, drawn.latents[:_MEASURED])
  measured, useless = _measure_on(probe, w_plus, found)
  if not measured and drawn.true:
    logging.warning(
        "no direction is useful on the latents that e4e finds for the pictures:"
        " measuring on samples of the generator instead"
    )
    w_plus = _w_plus(probe, samples.codes(probe, _MEASURED, seed))
    measured, useless = _measure_on(probe, w_plus, found)
  return w_plus[:_SHOWN], measured, useless


def _w_plus(probe: Probe, latents: np.ndarray) -> np.ndarray:
  """w+ of latents of w or w+."""
  if latents.ndim == 3:
    return latents
  return np.repeat(latents[:, None], probe.generator.styles, 1)


def _measure_on(
    probe: Probe, w_plus: np.ndarray, found: Sequence[Candidate]
) -> tuple[list[Measured], dict[str, str]]:
  """Useful directions, and by name the reason why others are left out."""
  outputs = labels.outputs(probe.schema)
  meter = ranges.EffectMeter(probe, w_plus)
  measured, left_out = [], {}
  bar = tqdm.tqdm(found, unit="direction", desc="measuring", disable=None)
  for candidate in bar:
    effect = meter.effect(candidate.offset)
    output = (
        outputs.index(candidate.label) if candidate.label in outputs else None
    )
    low, high = ranges.useful(effect, output)
    if low < high:
      measured.append(Measured(candidate, effect, low, high))
    else:
      left_out[candidate.name] = "no strength is useful"
  return measured, left_out


def _write(
    out: pathlib.Path,
    probe: Probe,
    shown: np.ndarray,
    measured: Sequence[Measured],
    words: Mapping[str, Words],
) -> None:
  """Writes the directions' files and the sheet.

  Args:
    out: folder to write.
    probe: holds the generator.
    shown: (n, styles, w_dim) samples for the sheet.
    measured: the directions.
    words: effects of the labels that the perception network scores.
  """
  for item in measured:
    candidate = item.candidate
    about = files.About(
        family=candidate.family,
        effect=_effect(item, words),
        low=item.low,
        high=item.high,
        adds=(candidate.label,) if candidate.label else (),
    )
    files.write_fitted(
        out / f"{candidate.name}.npz", candidate.offset, about
    )
  rows = [
      (m.candidate.name, m.candidate.offset, m.low, m.high) for m in measured
  ]
  images.write(out / SHEET, sheet.draw(probe, shown, rows))


def _effect(item: Measured, words: Mapping[str, Words]) -> str:
  """What + and - do; for unsupervised directions, by the most changed score."""
  if item.candidate.effect:
    return item.candidate.effect.text()
  if not words:
    return _LOOK
  changes = item.at_end()
  largest = int(np.argmax(np.abs(changes)))
  return f"mostly: {list(words.values())[largest].text(changes[largest])}"


def _entry(item: Measured, outputs: Sequence[str]) -> dict[str, Any]:
  """A direction in the report, see `python -m sfe_jax.directions --help`."""
  candidate, effect = item.candidate, item.effect
  entry: dict[str, Any] = {
      "family": candidate.family,
      "low": item.low,
      "high": item.high,
      "accuracy": candidate.accuracy,
      "distances": effect.distances.round(4).tolist(),
  }
  if candidate.label not in outputs:
    return entry
  own = outputs.index(candidate.label)
  changes = item.at_end()
  group = candidate.label.partition("=")[0]
  others = {
      label: round(float(changes[i] / changes[own]), 4)
      for i, label in enumerate(outputs)
      if label.partition("=")[0] != group
  }
  return entry | {
      "score_changes": effect.changes[:, own].round(4).tolist(),
      "others": others,
      "others_mean": float(np.mean(np.abs([*others.values()] or [0.0]))),
  }
