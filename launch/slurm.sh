#!/usr/bin/env bash
# Trains on a SLURM cluster with one process per GPU.  Submit it from the
# project's root; all nodes must see this folder, the pictures and the workdir:
#
#   sbatch launch/slurm.sh --config=configs/ffhq_phase1.py --workdir=W1
#   sbatch --nodes=4 --time=2-0 launch/slurm.sh --config=... \
#       --config.data.batch_size=32      a multiple of the number of all GPUs
#   bash launch/slurm.sh --dry-run --config=...      prints what would run
#
# If the nodes do not have 8 GPUs, give both --gpus-per-node and
# --ntasks-per-node.  ACCELERATOR is cuda12 or cuda13 (the default).  Two minutes
# before its time limit the job saves; the same command goes on.
#SBATCH --job-name=sfe_jax
#SBATCH --output=sfe_jax-%j.log
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=6
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail
script=$(realpath -- "$0")  # for --help
# SLURM runs a copy of this file, which does not lie in launch/.
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}"
source launch/environment.sh
parse_arguments "$@"

run ensure_environment train
run ensure_accelerator "${ACCELERATOR:-cuda13}"
run srun .venv/bin/python -m sfe_jax.train --distributed \
  ${arguments[@]+"${arguments[@]}"}
