#!/usr/bin/env bash
# Trains on a SLURM cluster, a process for every GPU; submit it from the
# project's root, which all nodes must see, as they must data and workdir:
#
#   sbatch launch/slurm.sh --config=configs/ffhq_phase1.py --workdir=W1
#   sbatch --nodes=4 --time=2-0 launch/slurm.sh --config=... \
#       --config.data.batch_size=32      a multiple of all GPUs together
#   bash launch/slurm.sh --dry-run --config=...      prints what would run
#
# For other than 8 GPUs a node give both --gpus-per-node and --ntasks-per-node.
# ACCELERATOR is cuda12 or cuda13.  Two minutes before its time ends the job
# saves; the same command goes on.
#SBATCH --job-name=sfe_jax
#SBATCH --output=sfe_jax-%j.log
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=6
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail
# SLURM runs a copy of this file, so its own folder says nothing.
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}"
source launch/environment.sh
parse_dry_run "$@"

run ensure_environment train
run ensure_accelerator "${ACCELERATOR:-cuda13}"
run srun .venv/bin/python -m sfe_jax.train --distributed "${arguments[@]}"
