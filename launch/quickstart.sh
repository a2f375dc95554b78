#!/usr/bin/env bash
# Installs sfe_jax into .venv and edits a picture:
#
#   bash launch/quickstart.sh                       the example, random weights
#   bash launch/quickstart.sh photo.jpg weights     yours, with your weights
set -euo pipefail
if [ $# -eq 1 ] || [ $# -gt 2 ]; then
  echo "usage: bash launch/quickstart.sh [PHOTO WEIGHTS]" >&2
  exit 2
fi
picture=${1:+$(realpath -- "$1")}
weights=${2:+$(realpath -- "$2")}
source "$(dirname "$0")/environment.sh"
ensure_environment ""

if [ -n "$weights" ]; then
  networks=(--weights "$weights" --edit age=5)
else
  networks=(--random_weights --edit gender=5)
fi
.venv/bin/python -m sfe_jax.edit "${networks[@]}" --inversion --grid \
  --image "${picture:-examples/portrait.png}" --out out/quickstart
echo "look at out/quickstart/grid.png"
