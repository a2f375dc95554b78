#!/usr/bin/env bash
# Installs what the tests need into .venv and runs them; arguments go to pytest:
#
#   bash launch/test.sh
#   bash launch/test.sh -k editor
set -euo pipefail
source "$(dirname "$0")/environment.sh"
ensure_environment dev,train
[ $# -gt 0 ] || .venv/bin/ruff check .
exec .venv/bin/python -m pytest -q "$@"
