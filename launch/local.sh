#!/usr/bin/env bash
# Trains on this machine, on all its devices:
#
#   bash launch/local.sh --config=configs/ffhq_phase1.py --workdir=W1
#   bash launch/local.sh --dry-run --config=...      prints what would run
#
# Arguments are those of python -m sfe_jax.train.  Installs into .venv what is
# needed first.  ACCELERATOR is cuda12, cuda13 (the default if there is an NVIDIA
# driver), tpu or cpu.  After an interruption the same command goes on.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
parse_arguments "$@"

cd "$root"
ensure_training
run .venv/bin/python -m sfe_jax.train ${arguments[@]+"${arguments[@]}"}
