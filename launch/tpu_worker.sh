#!/usr/bin/env bash
# Prepares one worker of a TPU pod slice; launch/tpu_pod.sh install runs it on
# all of them.  Mounts BUCKET as /bucket and installs Python and .venv:
#
#   bash launch/tpu_worker.sh [--dry-run] BUCKET
set -euo pipefail
source "$(dirname "$0")/environment.sh"
parse_arguments "$@"
bucket=${arguments[0]:?give the name of a bucket}
cd "$root"

if ! command -v gcsfuse >/dev/null; then
  source /etc/os-release
  list="deb [signed-by=/etc/apt/keyrings/gcsfuse.asc]\
 https://packages.cloud.google.com/apt gcsfuse-${VERSION_CODENAME} main"
  run sudo curl -sSo /etc/apt/keyrings/gcsfuse.asc \
    https://packages.cloud.google.com/apt/doc/apt-key.gpg
  run sudo bash -c "echo '$list' > /etc/apt/sources.list.d/gcsfuse.list"
  run sudo apt-get -q update
  run sudo apt-get -qy install gcsfuse
fi
# The TPU image's own Python is older than 3.11.
run sudo apt-get -qy install python3.11-venv
run sudo install -d -o "$(id -un)" /bucket
mountpoint -q /bucket || run gcsfuse --implicit-dirs "$bucket" /bucket
export PYTHON=python3.11
run ensure_environment train
run ensure_accelerator tpu
