#!/usr/bin/env bash
# Trains on this machine, on all its devices:
#
#   bash launch/local.sh --config=configs/ffhq_phase1.py --workdir=W1
#   bash launch/local.sh --dry-run --config=...      prints what would run
#
# Installs into .venv what is needed first.  ACCELERATOR is cuda12 or cuda13
# (the default where an NVIDIA driver is found), tpu or cpu.  The same command
# goes on after an interruption.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
parse_dry_run "$@"
if [ -z "${ACCELERATOR:-}" ]; then
  ACCELERATOR=cpu
  if command -v nvidia-smi >/dev/null; then ACCELERATOR=cuda13; fi
fi

cd "$root"
run ensure_environment train
if [ "$ACCELERATOR" != cpu ]; then run ensure_accelerator "$ACCELERATOR"; fi
run .venv/bin/python -m sfe_jax.train "${arguments[@]}"
