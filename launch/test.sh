#!/usr/bin/env bash
# Installs what the tests need into .venv and runs them:
#
#   bash launch/test.sh              ruff, mypy and the quick tests
#   bash launch/test.sh --all        ruff, mypy and all tests
#   bash launch/test.sh -k editor    only these tests; arguments go to pytest
#
# The tests marked `big` run alone: they need up to 17 GB of memory.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
if [ $# -eq 1 ]; then parse_arguments "$1"; fi
cd "$root"
ensure_environment dev,train
run_tests() { .venv/bin/python -m pytest -q "$@"; }
if [ $# -gt 0 ] && [ "$*" != --all ]; then
  run_tests "$@"
  exit
fi
.venv/bin/ruff check .
.venv/bin/mypy
if [ $# -eq 0 ]; then
  run_tests -n 2 --dist loadfile -m "not big and not slow"
else
  run_tests -n 2 --dist loadfile -m "not big"
  run_tests -m big
fi
