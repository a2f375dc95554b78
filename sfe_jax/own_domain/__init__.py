"""Trains an editor for the pictures in a folder, and reports on it.

`python -m sfe_jax.own_domain FOLDER OUT` runs everything; the modules are
`steps` (what is run), `chain` (runs it and resumes), `children` (child
processes), `summary`, `page` and `report` (the report), and `ablations` (the
paper's table 3).
"""

# Packages of the extra `train` that training and the report import.  They are
# checked at the start, because the report is made hours later.
PACKAGES = ("clu", "grain", "jinja2", "matplotlib", "ml_collections", "optax")
