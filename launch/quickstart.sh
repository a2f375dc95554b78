#!/usr/bin/env bash
# Installs sfe_jax into .venv and edits pictures:
#
#   bash launch/quickstart.sh                       drawn faces, our weights
#   bash launch/quickstart.sh photo.jpg weights     yours, with your weights
set -euo pipefail
if [ $# -eq 1 ] || [ $# -gt 2 ]; then
  echo "usage: bash launch/quickstart.sh [PHOTO WEIGHTS]" >&2
  exit 2
fi
picture=${1:+$(realpath -- "$1")}
weights=${2:-}
if [ -e "$weights" ]; then weights=$(realpath -- "$weights"); fi
source "$(dirname "$0")/environment.sh"
cd "$root"
python=${SFE_PYTHON:-.venv/bin/python}  # one that has sfe_jax installs nothing
if [ -z "${SFE_PYTHON:-}" ]; then ensure_environment ""; fi

out=out/quickstart
if [ -n "$weights" ]; then
  what=(--weights "$weights" --image "$picture" --edit age=5)
else
  # Of another seed than those that the weights were trained on.
  "$python" -m sfe_jax.drawn_faces --dst $out/faces --count 6 --size 32 \
    --seed 1 --processes 1
  what=(--weights toy --dir $out/faces/000 --batch_size 6 --format png
    --separately --edit smile=6 --edit glasses=3 --edit age=3 --edit skin=2
    --edit hair_light=4)
fi
"$python" -m sfe_jax.edit "${what[@]}" --inversion --grid --out $out
echo "look at $root/$out/grid.png"
