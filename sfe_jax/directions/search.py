"""Finds directions, measures them and writes the useful ones."""

import dataclasses
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import tqdm
from absl import logging
from PIL import Image, ImageDraw

from sfe_jax.directions import candidates, files, ranges
from sfe_jax.directions.candidates import Candidate
from sfe_jax.directions.names import label_names
from sfe_jax.directions.ranges import Effect, Networks
from sfe_jax.errors import UserError
from sfe_jax.models.e4e import E4E
from sfe_jax.models.perception import Perception
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import atomic, images, labels, weights

REPORT, SHEET = "report.json", "sheet.png"
_MEASURED = 96  # samples that ranges are measured on
_SHOWN = 3  # of these on the sheet
_TILE = 72
_STAGES = {
    "generator": Generator,
    "perception": Perception,
    "e4e": E4E,
}


@dataclasses.dataclass(frozen=True)
class Settings:
  """What to look for.

  Attributes:
    samples: pictures that attributes are fitted to.
    seed: of the samples.
    components: how many of GANSpace.
    sefa: how many of SeFa.
    method: one of candidates.METHODS; None takes "regression" for true labels
      and "boundary" for scores, each of which is then the better one.
    conditioning: one of candidates.CONDITIONING.
    data: folder of pictures with true labels; empty takes the scores of the
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
  """A direction, what it does, and its useful range."""

  candidate: Candidate
  effect: Effect
  low: float
  high: float


def find(
    folder: pathlib.Path, out: pathlib.Path, settings: Settings
) -> list[str]:
  """Writes OUT/NAME.npz of every useful direction, a report and a sheet.

  Fitted directions that are in OUT already are replaced, the report is written
  last.

  Args:
    folder: of weights: generator, perception, and e4e where `settings` name
      labelled pictures.
    out: folder to write.
    settings: what to look for.

  Returns:
    Names of the directions.

  Raises:
    UserError: a network is missing or does not fit, nothing to look for, or a
      file that is in the way.
  """
  networks = load(folder, settings)
  source = _labelled_pictures(folder, networks, settings)
  schema = source[-1].schema if source else networks.schema
  names = label_names(schema)
  names += [f"pca{i + 1}" for i in range(settings.components)]
  names += [f"sefa{i + 1}" for i in range(settings.sefa)]
  old = files.fitted(out)
  for name in names:
    path = out / f"{name}.npz"
    if path.exists() and path not in old:
      raise UserError(
          f"{path} is in the way: it is no direction that this program wrote;"
          " rename it, or write to another --out"
      )
  count, seed = settings.samples, settings.seed
  if source:
    samples = candidates.labelled(networks, *source, count, seed)
  else:
    samples = candidates.classified(networks, count, seed)
  found, left_out = [], {}
  if samples.scores is not None:
    method = settings.method or ("regression" if samples.true else "boundary")
    found, left_out = candidates.attributes(
        samples, method, settings.conditioning
    )
  found += candidates.unsupervised(
      networks, settings.components, settings.sefa, seed
  )
  w_plus = _w_plus(networks, samples.latents[:_MEASURED])
  measured, useless = _measure(networks, w_plus, found)
  if not measured and source:
    logging.warning("E tells pictures apart too little: measuring on samples")
    w_plus = _w_plus(networks, candidates.codes(networks, _MEASURED, seed))
    measured, useless = _measure(networks, w_plus, found)
  left_out |= useless
  for name, reason in left_out.items():
    logging.info("%s is left out: %s", name, reason)
  if not measured:
    raise UserError(
        "no direction is useful; is the generator trained?  See the lines above"
    )
  for path in [*old, out / REPORT]:
    path.unlink(missing_ok=True)
  outputs = labels.outputs(networks.schema)
  for item in measured:
    files.write_fitted(
        out / f"{item.candidate.name}.npz",
        item.candidate.offset,
        files.About(
            item.candidate.family,
            _effect(item, outputs),
            item.low,
            item.high,
        ),
    )
  images.write(out / SHEET, sheet(networks, w_plus[:_SHOWN], measured))
  report = {
      "settings": dataclasses.asdict(settings),
      "samples": len(samples.latents),
      "strengths": ranges.STRENGTHS,
      "directions": {m.candidate.name: _entry(m, outputs) for m in measured},
      "left_out": left_out,
  }
  atomic.write_json(out / REPORT, report)
  return [item.candidate.name for item in measured]


def load(folder: pathlib.Path, settings: Settings) -> Networks:
  """The generator and the perception network.

  Raises:
    UserError: one is missing or damaged, or there is nothing to look for.
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
  variables = generator_variables, perception_variables
  return Networks(generator, perception, variables, schema)


def _read(folder: pathlib.Path, name: str) -> tuple[Any, Any]:
  if not (folder / name).is_dir():
    raise UserError(
        f"{weights.shown(folder)} holds no {name}; train it with"
        f" configs/toy_{name}.py and copy WORKDIR/weights/{name} there"
    )
  return weights.read(folder / name, _STAGES[name])


def _labelled_pictures(
    folder: pathlib.Path, networks: Networks, settings: Settings
) -> tuple[E4E, Any, str, labels.Table] | None:
  """E, folder and labels, if there are any; see `candidates.labelled`."""
  if bool(settings.data) != bool(settings.labels):
    raise UserError(
        "--data and --labels go together: a folder of pictures and the CSV"
        " file of their labels"
    )
  if not settings.data:
    return None
  e4e, variables = _read(folder, "e4e")
  g = networks.generator
  if (e4e.styles, e4e.w_dim) != (g.styles, g.w_dim):
    raise UserError(
        f"{folder}: e4e gives latents ({e4e.styles}, {e4e.w_dim}), the"
        f" generator takes ({g.styles}, {g.w_dim})"
    )
  table = labels.read(settings.labels)
  return e4e, variables, settings.data, table


def _w_plus(networks: Networks, latents: np.ndarray) -> np.ndarray:
  if latents.ndim == 3:
    return latents
  return np.repeat(latents[:, None], networks.generator.styles, 1)


def _measure(
    networks: Networks, w_plus: np.ndarray, found: Sequence[Candidate]
) -> tuple[list[Measured], dict[str, str]]:
  """Useful directions, and why others are left out by name."""
  outputs = labels.outputs(networks.schema)
  meter = ranges.Meter(networks, w_plus)
  measured, left_out = [], {}
  for candidate in tqdm.tqdm(found, unit="direction", desc="measuring"):
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


def _at_end(item: Measured) -> np.ndarray:
  """Changes of the scores at the range's upper end, or its lower."""
  end = item.high or item.low
  return item.effect.changes[ranges.STRENGTHS.index(end)] * np.sign(end)


def _effect(item: Measured, outputs: Sequence[str]) -> str:
  """What + and - do, in a user's words."""
  if item.candidate.effect or not outputs:
    return item.candidate.effect or f"see {SHEET}"
  changes = _at_end(item)
  largest = np.argmax(np.abs(changes))
  more, less = ("more", "less") if changes[largest] > 0 else ("less", "more")
  text = candidates.words(outputs[largest])
  return f"mostly: + {more} {text}, - {less}"


def _entry(item: Measured, outputs: Sequence[str]) -> dict[str, Any]:
  """A direction in the report, see `python -m sfe_jax.directions --help`."""
  candidate, effect = item.candidate, item.effect
  entry = {
      "family": candidate.family,
      "low": item.low,
      "high": item.high,
      "accuracy": candidate.accuracy,
      "distances": effect.distances.round(4).tolist(),
  }
  if candidate.label not in outputs:
    return entry
  own = outputs.index(candidate.label)
  changes = _at_end(item)
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


def sheet(
    networks: Networks, w_plus: np.ndarray, measured: Sequence[Measured]
) -> np.ndarray:
  """A row per direction: its name, then every sample from low to high."""
  rows = []
  for item in measured:
    low, high = item.low, item.high
    strengths = (low, low / 2, 0.0, high / 2, high)
    made = jax.device_get([
        ranges.pictures(
            networks.generator,
            networks.variables[0],
            np.float32(w_plus + s * item.candidate.offset),
        )
        for s in strengths
    ])
    tiles = images.to_uint8(np.stack(made, 1)).reshape(-1, *made[0].shape[1:])
    text = f"{item.candidate.name.replace('_', ' ')} {low:g} to {high:g}"
    rows.append([_tile(text), *tiles])
  titles = ["low", "", "0", "", "high"] * len(w_plus)
  return images.grid(rows, ["", *titles], _TILE)


def _tile(text: str) -> np.ndarray:
  """A white tile with words on it."""
  image = Image.new("RGB", (_TILE, _TILE), "white")
  lines = "\n".join(textwrap.wrap(text, _TILE // 6 - 1))
  ImageDraw.Draw(image).text((3, 3), lines, fill="black")
  return np.asarray(image)
