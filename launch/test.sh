#!/usr/bin/env bash
# Installs what the tests need into .venv and runs them; arguments go to pytest:
#
#   bash launch/test.sh
#   bash launch/test.sh -k editor
set -euo pipefail
source "$(dirname "$0")/environment.sh"
ensure_environment dev,train
pytest() { .venv/bin/python -m pytest -q "$@"; }
if [ $# -gt 0 ]; then
  pytest "$@"
  exit
fi
.venv/bin/ruff check .
pytest -n 2 --dist loadfile -m "not big"
pytest -m big  # on its own: up to 17 GB
