"""The sets of directions D that phase 2 learns edits from, by name.

Phase 2 draws a direction of the set and one of its strengths ("powers") for
every batch (paper, section 3.4).
"""

from collections.abc import Iterable

from sfe_jax.directions import files
from sfe_jax.directions.entries import parse_strengths
from sfe_jax.errors import UserError
from sfe_jax.storage import weights

Powers = dict[str, tuple[float, ...]]

# The set that the official release trains with.  It differs from the paper's
# text: it has bowlcut, fs_smiling and the StyleSpace glasses, and no smile,
# fs_glasses or gender.
RELEASE: Powers = {
    "age": (-7, -5, 5, 7, 10),
    "fs_makeup": (5, 8, 12),
    "afro": (0.03, 0.07),
    "angry": (0.06, 0.1),
    "purple_hair": (0.07, 0.1, 0.12),
    "glasses": (-10, -7),
    "face_roundness": (-13, -7, 7, 13),
    "rotation": (-5, -3, -1, 1, 3, 5),
    "bobcut": (0.07, 0.12, 0.18),
    "bowlcut": (0.07, 0.14),
    "mohawk": (0.07, 0.10),
    "blond hair": (-8, -4, 4, 8),
    "fs_smiling": (-6, -3, 3, 6, 9),
}

# The ablation's small set D (table 3), with the release's powers.
SMALL: Powers = {
    name: RELEASE[name]
    for name in (
        "age", "afro", "angry", "face_roundness", "bowlcut", "blond hair",
    )
}  # fmt: skip

# The directions that the paper's text names (section 7).  The paper gives no
# powers: they are the release's for directions that the release trains with.
# For the other three (smile, fs_glasses, gender) we take about 0.3 and 0.6 of
# both ends of the useful range, as the release does for fs_smiling.
PAPER: Powers = {
    "age": RELEASE["age"],
    "smile": (-3, -1.5, 1.5, 3),
    "rotation": RELEASE["rotation"],
    "fs_glasses": (-12, -6, 9, 18),
    "fs_makeup": RELEASE["fs_makeup"],
    "face_roundness": RELEASE["face_roundness"],
    "afro": RELEASE["afro"],
    "angry": RELEASE["angry"],
    "bobcut": RELEASE["bobcut"],
    "mohawk": RELEASE["mohawk"],
    "purple_hair": RELEASE["purple_hair"],
    "blond hair": RELEASE["blond hair"],
    "gender": (-6, -3, 2, 4),
}

# The paper's set for cars (section 7), which gives no powers either: GANSpace
# directions have the only strength that the release names; -10 and 10 of the
# StyleSpace directions are our choice.
CARS_PAPER: Powers = {
    "cube": (25,),
    "grass": (-18,),
    "color": (-8,),
    "trees": (-10, 10),
    "headlights": (-10, 10),
}

PUBLISHED: dict[tuple[str, str], Powers] = {
    ("faces", "release"): RELEASE,
    ("faces", "paper"): PAPER,
    ("faces", "small"): SMALL,
    ("cars", "paper"): CARS_PAPER,
}


def powers(
    domain: str, name: str, user: Iterable[str], folder: str
) -> Powers:
  """The directions and powers of a training set.

  Args:
    domain: table of published directions, "faces" or "cars".
    name: "release", "paper" or "small" for faces, "paper" for cars, "fitted"
      for the directions that `python -m sfe_jax.directions` found, or "user".
    user: for "user" the set itself, one text NAME=POWER,POWER,... per
      direction; for "fitted" the names of the directions to use, or nothing to
      use all.
    folder: the weight folder that holds fitted directions.

  Returns:
    Powers by direction name.

  Raises:
    UserError: there is no such set, or it names no or unknown directions.
  """
  if (domain, name) in PUBLISHED:
    return PUBLISHED[domain, name]
  if name == "fitted":
    return _fitted(folder, list(user))
  if name != "user":
    raise UserError(
        "edits.set must be release, paper or small (faces), paper (cars),"
        f" fitted or user, got {name!r} with edits.domain {domain!r}"
    )
  found = parse_strengths(user, "edits.user")
  if not found:
    raise UserError("edits.set is user, so edits.user must name directions")
  return found


def _fitted(folder: str, names: list[str]) -> Powers:
  """Ends and middles of the useful ranges of fitted directions."""
  paths = files.fitted(weights.locate(folder) / "directions")
  found = {path.stem: about for path, about in paths.items()}
  if not found:
    raise UserError(
        f"edits.set is fitted, but {folder} has no fitted directions; python -m"
        f" sfe_jax.directions --weights {folder} finds some"
    )
  if unknown := sorted(set(names) - set(found)):
    raise UserError(
        f"edits.user names {', '.join(unknown)}; fitted are"
        f" {', '.join(found)}"
    )
  return {
      name: tuple(
          power
          for power in (about.low, about.low / 2, about.high / 2, about.high)
          if power
      )
      for name, about in found.items()
      if name in names or not names
  }
