#!/usr/bin/env bash
# Trains the ablations of table 3 on drawn faces and measures them:
#
#   bash launch/own_domain.sh data/faces out/toy --labels data/faces/labels.csv
#   bash launch/toy_tables.sh out/toy
#   bash launch/toy_tables.sh out/toy --dry-run      prints what would run
#
# Leaves OUT/tables/*.json and OUT/tables/tables.md.  After an interruption the
# same command goes on.  Installs into .venv what is needed first, unless
# SFE_PYTHON names a Python that has sfe_jax.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
parse_arguments "$@"
run_in_environment sfe_jax.ablations
