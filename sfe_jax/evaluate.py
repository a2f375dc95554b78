r"""Measures how well pictures are inverted and edited; writes one JSON file.

  python -m sfe_jax.evaluate --weights weights --protocol inversion \
      --dir test --out sfe_inversion.json
  python -m sfe_jax.evaluate --weights weights --protocol editing --dir test \
      --labels test/labels.csv --edit smile=-3 --out sfe_smile.json
  python -m sfe_jax.evaluate --weights weights --protocol truth \
      --out sfe_truth.json

inversion: L2, perceptual distance, MS-SSIM, identity and FID of inversions.
editing: FID of edited pictures to pictures that have the attribute by nature.
truth: errors of edits against the true edited picture, on drawn faces.
`python -m sfe_jax.metrics.tables *.json` makes tables.  Exit code: 0 done (what
could not be read is counted), 2 wrong usage.
"""

import collections
import dataclasses
import datetime
import hashlib
import importlib.metadata
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
from absl import flags, logging

from sfe_jax import command_line
from sfe_jax.architecture import Models
from sfe_jax.directions import Registry, parse_strengths
from sfe_jax.editor import OPTIONAL, Editor
from sfe_jax.errors import UserError
from sfe_jax.metrics import judge as judging
from sfe_jax.metrics import protocols, truth
from sfe_jax.metrics.judge import Judge
from sfe_jax.metrics.methods import EncoderAlone, Method, StyleFeatureEditor
from sfe_jax.models.e4e import E4E
from sfe_jax.models.stylegan2 import Generator
from sfe_jax.storage import atomic, images, labels, runs, weights
from sfe_jax.storage.images import Pictures

FLAGS = flags.FLAGS

_PAIRS = 500
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "pillow")
_HASH_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class Job:
  """One protocol, ready to run.

  Attributes:
    about: what is measured, for the report.
    directions: that it edits by.
    run: measures; adds what it finds out to the report.
  """

  about: dict[str, Any]
  directions: Sequence[str]
  run: Callable[[Method, Judge, Registry], dict[str, Any]]


def _inversion(size: int) -> Job:
  """Inversions of the pictures in --dir."""
  _refuse("edit", "attribute", "labels")
  files = _files()
  pictures = Pictures(files, size)

  def run(method: Method, judge: Judge, _: Registry) -> dict[str, Any]:
    found = protocols.inversion(method, judge, pictures, FLAGS.batch_size)
    return {"skipped": len(pictures.skipped), "results": found}

  return Job({"pictures": _about(files)}, (), run)


def _editing(size: int) -> Job:
  """Editing FID of --edit on the pictures in --dir."""
  edits = _edits()
  if len(edits) != 1 or len(FLAGS.attribute) > 1:
    raise UserError(
        "--protocol editing measures one edit: give one --edit NAME=STRENGTH"
        " and at most one --attribute"
    )
  ((name, strength),) = edits.items()
  attribute = (FLAGS.attribute or [name])[0]
  if not FLAGS.labels:
    raise UserError("--protocol editing needs --labels labels.csv")
  if not os.path.isfile(FLAGS.labels):
    raise UserError(f"--labels {FLAGS.labels}: no such file")
  files = _files()
  has = protocols.divide(labels.read(FLAGS.labels), files, attribute)
  with_it, without_it = (
      Pictures([f for f, h in zip(files, has) if h == side], size)
      for side in (True, False)
  )

  def run(method: Method, judge: Judge, _: Registry) -> dict[str, Any]:
    found = protocols.editing(
        method, judge, with_it, without_it, name, strength, FLAGS.batch_size
    )
    skipped = len(with_it.skipped) + len(without_it.skipped)
    return {"skipped": skipped, "results": found}

  edit = {"name": name, "strength": strength, "attribute": attribute}
  return Job({"pictures": _about(files), "edit": edit}, (name,), run)


def _truth(size: int) -> Job:
  """Errors against true edits of drawn faces."""
  _refuse("dir", "labels")
  edits, names = _edits(), FLAGS.attribute or list(truth.CHANGES)
  for name in (*names, *edits):
    if name not in truth.CHANGES:
      raise UserError(
          "--protocol truth knows the true edits of"
          f" {', '.join(truth.CHANGES)}, not {name!r}"
      )
  if unread := sorted(set(edits) - set(names)):
    raise UserError(
        f"--edit {unread[0]}: --attribute does not name it, so it is not"
        " measured"
    )
  truth.check_size(size)

  def run(
      method: Method, judge: Judge, directions: Registry
  ) -> dict[str, Any]:
    entries = {name: directions.entry(name) for name in names}
    found = truth.evaluate(
        method,
        judge,
        {name: edits.get(name) for name in names},
        {name: (e.low, e.high) for name, e in entries.items()},
        count=FLAGS.count or _PAIRS,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
    )
    return {"results": found}

  about = {"seed": FLAGS.seed, "count": FLAGS.count or _PAIRS}
  return Job(about, names, run)


def _refuse(*names: str) -> None:
  """Refuses flags that would not be read."""
  for name in names:
    if FLAGS[name].value:
      raise UserError(f"--protocol {FLAGS.protocol} does not read --{name}")


def _edits() -> dict[str, float]:
  """--edit by name."""
  edits = {}
  for name, strengths in parse_strengths(FLAGS.edit, "--edit").items():
    if len(strengths) > 1:
      raise UserError(f"--edit {name}: one strength is measured at a time")
    edits[name] = strengths[0]
  return edits


def _files() -> list[str]:
  """The pictures that are measured."""
  if not FLAGS.dir:
    raise UserError(f"--protocol {FLAGS.protocol} needs pictures: --dir FOLDER")
  return images.find_below(FLAGS.dir)[: FLAGS.count]


def _about(files: Sequence[str]) -> dict[str, Any]:
  """Folder, formats and a hash of names and sizes; warns of a mixture."""
  suffixes = (pathlib.Path(f).suffix.lower().lstrip(".") for f in files)
  formats = collections.Counter(s.replace("jpeg", "jpg") for s in suffixes)
  if len(formats) > 1:
    counts = ", ".join(f"{n} {name}" for name, n in formats.items())
    logging.warning(
        "%s mixes formats (%s): compression moves Frechet distances; compare"
        " only numbers of the same files",
        FLAGS.dir, counts,
    )
  digest = hashlib.sha256()
  for file in files:
    name = os.path.relpath(file, FLAGS.dir)
    digest.update(f"{name} {os.path.getsize(file)}\n".encode())
  return {
      "folder": FLAGS.dir,
      "formats": dict(formats),
      "files": digest.hexdigest()[:_HASH_DIGITS],
  }


def _load(folder: pathlib.Path, directions: Registry) -> Method:
  if FLAGS.method == "e4e":
    generator, g = weights.read(folder / "generator", Generator)
    e4e, e = weights.read(folder / "e4e", E4E)
    models = Models(generator, None, None, e4e)
    return EncoderAlone(
        models, {"generator": g, "e4e": e}, directions
    )
  editor = Editor.load(
      folder,
      without=tuple(FLAGS.without),
      domain=FLAGS.domain,
      batch_size=FLAGS.batch_size,
  )
  return StyleFeatureEditor(editor)


def _networks() -> list[str]:
  """Of the method."""
  if FLAGS.method == "e4e":
    return ["generator", "e4e"]
  return [
      name
      for name in ("generator", "inverter", "feature_editor", "e4e")
      if name not in FLAGS.without
  ]


def _hashes(folder: pathlib.Path, names: Iterable[str]) -> dict[str, str]:
  """First digits of the SHA-256 of files, or of all files in a folder."""
  hashes = {}
  for name in names:
    digest = hashlib.sha256()
    for path in sorted([folder / name, *(folder / name).rglob("*")]):
      if path.is_file():
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
        hashes[name] = digest.hexdigest()[:_HASH_DIGITS]
  return hashes


def define_flags() -> None:
  """The flags of this command line."""
  flags.DEFINE_string("weights", None, "Weight folder of the method.")
  flags.DEFINE_enum(
      "method", "sfe", ["sfe", "e4e"], "The editor, or the encoder E alone."
  )
  flags.DEFINE_multi_enum(
      "without",
      [],
      OPTIONAL,
      "Network that sfe does without, as in the paper's ablations; repeatable.",
  )
  flags.DEFINE_enum(
      "protocol", None, ["inversion", "editing", "truth"], "What is measured."
  )
  flags.DEFINE_string("out", None, "JSON file to write.")
  flags.DEFINE_string("name", None, "Of the method in tables.")
  flags.DEFINE_string("dir", None, "Folder of pictures, also below it.")
  flags.DEFINE_integer(
      "count", None, "Pictures (default: all) or drawn pairs (default: 500).", 1
  )
  flags.DEFINE_string("labels", None, "CSV file of labels, see sfe_jax.labels.")
  flags.DEFINE_multi_string(
      "edit",
      [],
      "NAME=STRENGTH. editing: the edit. truth: a strength that is not to be"
      " found but given; repeatable.",
  )
  flags.DEFINE_multi_string(
      "attribute",
      [],
      "editing: the label that a positive strength adds (default: the edit's"
      " name), a column of 0 and 1, 'age>50', 'Young<0.5' or 'hat=cap'. truth:"
      " which attributes (default: all); repeatable.",
  )
  flags.DEFINE_integer("seed", 1, "Of the drawn faces.", 0)
  flags.DEFINE_string(
      "networks", None, "Weight folder of what measures (default: --weights)."
  )
  flags.DEFINE_enum(
      "perceptual", None, judging.PERCEPTUAL, "Network of the distance."
  )
  flags.DEFINE_enum(
      "identity", None, judging.IDENTITIES, "Network of the identity."
  )
  flags.DEFINE_enum("features", None, judging.FEATURES, "Network of the FID.")
  flags.DEFINE_enum(
      "domain",
      None,
      ["faces", "cars", "none"],
      "Table of edits; guessed by default. none: the folder's own alone.",
  )
  flags.DEFINE_integer("batch_size", 8, "Pictures that run together.", 1)


def main(_: Sequence[str]) -> int:
  """Runs the command line; returns the exit code."""
  for flag in ("weights", "protocol", "out"):
    if not FLAGS[flag].value:
      raise UserError(f"--{flag} is missing; --help lists the flags")
  if FLAGS.method == "e4e" and FLAGS.without:
    raise UserError("--without is for --method sfe")
  if os.path.isdir(FLAGS.out):
    raise UserError(f"--out {FLAGS.out} is a folder; name a JSON file")
  folder = runs.weight_folder(FLAGS.weights)
  networks = runs.weight_folder(FLAGS.networks or folder)
  generator = weights.module(folder / "generator", Generator)
  job = _JOBS[FLAGS.protocol](generator.resolution)
  directions = Registry.of_weights(folder, generator, FLAGS.domain)
  for name in job.directions:
    directions.get(name)
  # Accelerators round products by default.
  with jax.default_matmul_precision("highest"):
    judge = Judge.load(
        networks,
        generator.resolution,
        FLAGS.perceptual,
        FLAGS.identity,
        FLAGS.features,
    )
    method = _load(folder, directions)
    pathlib.Path(FLAGS.out).parent.mkdir(parents=True, exist_ok=True)
    found = job.run(method, judge, directions)
  without = sorted(set(FLAGS.without))
  files = [f"directions/{directions.entry(n).name}.npz" for n in job.directions]
  report = {
      "protocol": FLAGS.protocol,
      "name": FLAGS.name or " without ".join([FLAGS.method, *without]),
      "method": FLAGS.method,
      "without": without,
      "size": generator.resolution,
      **job.about,
      "measures": {**judge.names, "ms_ssim_scales": judge.scales},
      **found,
      "weights": _hashes(folder, _networks()),
      "directions": _hashes(folder, files),
      "networks": _hashes(networks, judge.networks),
      **_circumstances(),
  }
  atomic.write_json(FLAGS.out, report)
  logging.info("wrote %s", FLAGS.out)
  return 0


def _circumstances() -> dict[str, Any]:
  now = datetime.datetime.now(datetime.UTC)
  return {
      "time": now.isoformat(timespec="seconds"),
      "command": sys.argv,
      "versions": {p: importlib.metadata.version(p) for p in _PACKAGES},
      "device": jax.devices()[0].device_kind,
  }


_JOBS = {"inversion": _inversion, "editing": _editing, "truth": _truth}

if __name__ == "__main__":
  command_line.run(main, define_flags)
