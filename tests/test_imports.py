"""Imports between the rooms of sfe_jax point one way."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
# A room imports rooms of the lines above its own only.
ORDER = (
    {"errors"},
    {"devices", "measures", "models"},
    {"architecture", "command_line"},
    {"pipeline", "storage"},
    {"data", "directions", "drawn_faces"},
    {"editor", "training"},
    {"metrics", "photos"},
    {"own_domain"},
    {"__main__", "ablations", "edit", "evaluate", "pack", "train"},
)
LEVEL = {room: i for i, rooms in enumerate(ORDER) for room in rooms}
# The only rooms that import these; torch is for convert/ alone.
IMPORTERS = {"training": {"train"}, "convert": set(), "torch": set()}


def imports(path):
  """Rooms and other packages that a file imports, anywhere in it."""
  for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path}: relative import"
      names = [f"{node.module}.{alias.name}" for alias in node.names]
    for name in names:
      package, _, rest = name.partition(".")
      yield rest.partition(".")[0] if package == "sfe_jax" else package


def test_imports_point_one_way():
  wrong = []
  for path in sorted((ROOT / "sfe_jax").rglob("*.py")):
    room = path.relative_to(ROOT / "sfe_jax").with_suffix("").parts[0]
    if room in ("__init__", "configs", "convert"):  # the last two are links
      continue
    for other in set(imports(path)) - {room}:
      upward = LEVEL.get(other, -1) >= LEVEL[room]
      if other == "command_line":  # for programs, not for the API
        upward |= "\ndef main(" not in path.read_text(encoding="utf-8")
      if upward or room not in IMPORTERS.get(other, {room}):
        wrong.append(f"{path.relative_to(ROOT)} imports {other}")
  assert not wrong
