"""Trains an editor for the pictures in a folder, and reports on it.

`python -m sfe_jax.own_domain FOLDER OUT` runs everything; the modules are
`steps` (what is run), `chain` (runs it and resumes), `children` (child
processes), `summary`, `page` and `report` (the report), and `ablations` (the
paper's table 3).
"""

import importlib.util

from sfe_jax.errors import UserError

_PACKAGES = ("clu", "grain", "jinja2", "matplotlib", "ml_collections", "optax")


def require_packages() -> None:
  """Makes sure that training and the report can be imported.

  Raises:
    UserError: packages of the extra `train` are missing.  Checked at the
      start, because the report is made hours later.
  """
  missing = [p for p in _PACKAGES if importlib.util.find_spec(p) is None]
  if missing:
    raise UserError(
        f"training needs the packages {', '.join(missing)}; install the extra"
        " `train`: pip install 'sfe_jax[train]', or in a checkout pip install"
        " -e '.[train]'"
    )
