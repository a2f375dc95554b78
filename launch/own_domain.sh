#!/usr/bin/env bash
# From a folder of pictures to an editor for pictures like them:
#
#   bash launch/own_domain.sh photos out/mine
#   bash launch/own_domain.sh photos out/mine --labels photos/labels.csv
#
#   --labels FILE  a CSV file with a row per picture, see sfe_jax/storage/labels.py: its
#                  columns become edits; without, edits are found unnamed
#   --size N       pixels, 16, 32, 64, ... 1024; default 32 on a CPU, else 64
#   --steps N      at most N steps per stage: tries the chain in minutes
#   --dry-run      prints what would run
#
# Leaves OUT/editor and OUT/report.html.  The same command goes on after an
# interruption.  Installs into .venv what is needed first, unless SFE_PYTHON
# names a Python that has it.  ACCELERATOR is cuda12 or cuda13 (the default
# where an NVIDIA driver is found), tpu or cpu.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
source "$(dirname "$0")/chain.sh"

fail() { echo "error: $1" >&2; exit 2; }
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

parse_dry_run "$@"
set -- ${arguments[@]+"${arguments[@]}"}
labels= size= steps= places=()
while [ $# -gt 0 ]; do
  case $1 in
    --labels=* | --size=* | --steps=*)
      name=${1%%=*} && printf -v "${name#--}" %s "${1#*=}" ;;
    --labels | --size | --steps)
      [ $# -gt 1 ] || fail "$1 needs a value"
      printf -v "${1#--}" %s "$2" && shift ;;
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" && exit ;;
    -*) fail "unknown option $1; --help lists them" ;;
    *) places+=("$1") ;;
  esac
  shift
done
[ ${#places[@]} -eq 2 ] || fail "usage: bash launch/own_domain.sh FOLDER OUT"
folder=$(absolute "${places[0]%/}") out=$(absolute "${places[1]%/}")
labels=${labels:+$(absolute "$labels")}
if [ "$folder" -ef "$out" ]; then fail "OUT must be another folder: $out"; fi
if [ -z "${ACCELERATOR:-}" ]; then
  ACCELERATOR=cpu
  if command -v nvidia-smi >/dev/null; then ACCELERATOR=cuda13; fi
fi
if [ -z "$size" ]; then
  size=64
  if [ "$ACCELERATOR" = cpu ]; then size=32; fi
fi
case $size in
  16 | 32 | 64 | 128 | 256 | 512 | 1024) ;;
  *) fail "--size must be 16, 32, 64, ... or 1024, got $size" ;;
esac
case $steps in *[!0-9]* | 0) fail "--steps must be 1 or more, got $steps" ;; esac
[ -d "$folder" ] || fail "$folder: no such folder of pictures"
if [ -z "$labels" ] && [ -e "$folder/labels.csv" ]; then
  echo "labels.csv in $folder is not used; --labels $folder/labels.csv would"
fi

cd "$root"
python=${SFE_PYTHON:-.venv/bin/python}
if [ -z "${SFE_PYTHON:-}" ]; then
  run ensure_environment train
  if [ "$ACCELERATOR" != cpu ]; then run ensure_accelerator "$ACCELERATOR"; fi
fi

settings="pictures $folder, labels ${labels:-none}, size $size, steps ${steps:-all}"
if [ -e "$out/data" ]; then
  before=$(cat "$out/settings.txt" 2>/dev/null || echo "something else")
  [ "$before" = "$settings" ] ||
    fail "$out was made of $before, not of $settings; name another OUT"
elif [ -z "$dry_run" ]; then
  mkdir -p "$out"
  echo "$settings" >"$out/settings.txt"
fi

# Prints the heading of the next step; fails where $1, what it leaves, is there.
number=0
begin() {
  number=$((number + 1))
  if [ -e "$out/$1" ]; then echo "[$number/8] $2: done" && return 1; fi
  echo "[$number/8] $2"
}

# Copies networks of a stage to OUT/weights, each whole or not at all.
collect() {
  local weights=$out/weights network
  mkdir -p "$weights"
  for network in "${@:2}"; do
    rm -rf "$weights/.$network"
    cp -R "$out/$1/weights/$network" "$weights/.$network"
    rm -rf "${weights:?}/$network"
    mv "$weights/.$network" "$weights/$network"
  done
}

# The steps of a config, at most $steps.
steps_of() {
  command -v "$python" >/dev/null || { echo "$steps"; return; }  # in a dry run
  "$python" -c "from configs import $1 as c
print(min(c.get_config().steps, $steps))"
}

# stage NAME "NETWORKS" ARGUMENT...: trains a stage, collects networks.
stage() {
  local name=$1 networks=$2 free=
  if [ -n "$steps" ]; then free="--config.steps=$(steps_of "toy_$name")"; fi
  if [ "$ACCELERATOR" != cpu ]; then free+=" --config.data.threads=8"; fi
  train "$name" "$name" $free "${@:3}"
  if [ -n "$dry_run" ]; then return; fi
  collect "$name" $networks
  touch "$out/$name/done"
}

trap 'echo "stopped; the same command goes on" >&2; exit 130' INT

# A function, so that bash has read all of it before the hours begin.
chain() {
  if begin data "pictures: $size px, a tenth held out"; then
    run "$python" -m sfe_jax.data.prepare --to folders "--src=$folder" \
      "--dst=$out/data" "--size=$size" ${labels:+"--labels=$labels"} ||
      { [ $? -eq 1 ] && [ -e "$out/data" ] || exit 2; }  # 1: some were skipped
  fi

  local augment= search= given="--config.init.weights=$out/weights" count method
  count=$(find "$out" -path "$out/data/pictures/*.png" 2>/dev/null | wc -l) || true
  if [ "$count" -lt 10000 ]; then augment=--config.augment.target=0.6; fi
  if begin generator/done "generator: StyleGAN2"; then
    stage generator "generator discriminator" $augment
  fi
  if begin perception/done "perception: what is alike, and the labels"; then
    stage perception perception "--config.data.labels=${labels:+../labels.csv}"
  fi
  if begin e4e/done "e4e: pictures to latents"; then
    stage e4e e4e "$given"
  fi
  if begin weights/directions/report.json "directions: what can be edited"; then
    if [ -n "$steps" ] && [ "$steps" -lt 200 ]; then
      search="--samples=$((100 * steps)) --components=2 --sefa=0"
    fi
    run "$python" -m sfe_jax.directions "--weights=$out/weights" $search \
      ${labels:+"--data=$out/data/pictures" "--labels=$out/data/labels.csv"}
  fi
  if begin phase1/done "phase 1: the Inverter"; then
    stage phase1 "" "$given"
  fi
  if begin phase2/done "phase 2: the Feature Editor"; then
    stage phase2 "" "$given" "--config.init.inverter=$out/phase1"
  fi
  if begin report.html "report: held-out pictures, edits, numbers"; then
    run rm -rf "$out/editor"
    run cp -R "$out/phase2/weights" "$out/editor"
    for method in e4e sfe; do
      run "$python" -m sfe_jax.evaluate --protocol=inversion "--method=$method" \
        "--weights=$out/editor" "--networks=$out/weights" \
        "--dir=$out/data/held_out" "--out=$out/evaluation/$method.json"
    done
    run "$python" -m sfe_jax.report "--out=$out"
  fi
  if [ -n "$dry_run" ]; then return; fi
  echo "look at $out/report.html; edit pictures of yours as one held out, here:"
  echo "  $(cat "$out/next.txt")"
}
chain
exit
