#!/usr/bin/env bash
# Trains an editor for the pictures in a folder:
#
#   bash launch/own_domain.sh FOLDER OUT
#   bash launch/own_domain.sh FOLDER OUT --labels FOLDER/labels.csv
#
#   --labels FILE  CSV file with a row for every picture; its columns become
#                  edits by name.  Without it, edits are found without names.
#   --size N       pixels: 16, 32, 64, ... 1024; default 32 on a CPU, else 64
#   --steps N      at most N training steps per stage, to try the chain
#   --dry-run      prints what would run
#
# Leaves OUT/editor and OUT/report.html.  After an interruption the same command
# goes on.  Installs into .venv what is needed first, unless SFE_PYTHON names a
# Python that has sfe_jax.  ACCELERATOR is cuda12, cuda13 (the default if there
# is an NVIDIA driver), tpu or cpu.  The rest: python -m sfe_jax.own_domain --help
set -euo pipefail
source "$(dirname "$0")/environment.sh"
parse_arguments "$@"
run_in_environment sfe_jax.own_domain
