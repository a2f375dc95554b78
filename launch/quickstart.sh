#!/usr/bin/env bash
# Installs sfe_jax into .venv and edits pictures:
#
#   bash launch/quickstart.sh                    drawn faces, the shipped weights
#   bash launch/quickstart.sh photo.jpg weights  your photo, your weights
#   bash launch/quickstart.sh --out FOLDER ...   writes there; default
#                                                out/quickstart in the project
#
# Installs nothing if SFE_PYTHON names a Python that has sfe_jax.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
parse_arguments "$@"
set -- ${arguments[@]+"${arguments[@]}"}
out=$root/out/quickstart
case ${1:-} in
  --out=*) out=${1#--out=} && shift ;;
  --out) out=${2:-} && shift $(($# > 1 ? 2 : 1)) ;;
esac
if [ $# -eq 1 ] && [[ $1 != -* ]]; then
  echo "name the weights too: bash launch/quickstart.sh $1 WEIGHTS" >&2
  exit 2
fi
if [ $# -eq 1 ] || [ $# -gt 2 ] || [ -z "$out" ] || [[ ${1:-} = -* ]]; then
  echo "usage: bash launch/quickstart.sh [--out FOLDER] [PHOTO WEIGHTS]" >&2
  exit 2
fi
python=${SFE_PYTHON:-$root/.venv/bin/python}
if [ -z "${SFE_PYTHON:-}" ]; then (run ensure_environment ""); fi

if [ $# -eq 2 ]; then
  what=(--image "$1" --weights "$2" --edit age=3)
else
  # Seed 1: the weights were trained on faces of seed 0.
  run "$python" -m sfe_jax.drawn_faces --dst "$out/faces" --count 6 --size 32 \
    --seed 1 --processes 1
  what=(--weights toy --dir "$out/faces/000" --batch_size 6 --format png
    --separately --edit smile=6 --edit glasses=3 --edit age=3 --edit skin=2
    --edit hair_light=4)
fi
run "$python" -m sfe_jax.edit "${what[@]}" --inversion --grid --out "$out"
if [ -z "$dry_run" ]; then echo "look at $out/grid.png"; fi
