#!/usr/bin/env bash
# Trains on a TPU pod slice.  Each command acts on all workers of the slice:
#
#   export NAME=sfe ZONE=us-central2-b BUCKET=my-bucket
#   TYPE=v4-32 bash launch/tpu_pod.sh create
#   bash launch/tpu_pod.sh install           copies HEAD, mounts BUCKET
#   bash launch/tpu_pod.sh run --config=configs/ffhq_phase1.py \
#       --config.data.path=/bucket/ffhq --config.init.weights=/bucket/weights \
#       --config.data.batch_size=16 --workdir=/bucket/W1
#   bash launch/tpu_pod.sh delete
#
# --dry-run prints what would run.  All workers write into the workdir, so it
# must lie in BUCKET.  The bucket needs a hierarchical namespace, because a
# checkpoint is renamed when it is complete.  data.batch_size counts all devices
# together and must be a multiple of their number.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
parse_arguments "$@"
cd "$root"
action=${arguments[0]:-}
if [ -z "$action" ]; then
  echo "give an action: create, install, run or delete" >&2
  exit 2
fi
pod=("${NAME:?set it to the name of the slice}" "--zone=${ZONE:?set the zone}")
tpu=(gcloud compute tpus tpu-vm)
on_all() { run "${tpu[@]}" ssh "${pod[@]}" --worker=all "--command=$1"; }

case $action in
  create)
    run "${tpu[@]}" create "${pod[@]}" "--accelerator-type=${TYPE:?e.g. v4-32}" \
      "--version=${VERSION:-tpu-ubuntu2204-base}" ;;
  install)
    run mkdir -p out
    run git archive --prefix=sfe_jax/ -o out/sfe_jax.tar.gz HEAD
    run "${tpu[@]}" scp out/sfe_jax.tar.gz "${pod[0]}:" "${pod[1]}" --worker=all
    on_all "tar xzf sfe_jax.tar.gz && bash sfe_jax/launch/tpu_worker.sh ${BUCKET:?}" ;;
  run)
    on_all "cd sfe_jax && .venv/bin/python -m sfe_jax.train --distributed$(
      printf ' %q' "${arguments[@]:1}")" ;;
  delete) run "${tpu[@]}" delete "${pod[@]}" --quiet ;;
  *)
    echo "error: unknown action $action; give create, install, run or delete" >&2
    exit 2 ;;
esac
