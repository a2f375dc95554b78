# Sourced by the launch scripts: makes .venv in the project's root and installs
# the package with the extras named in $1; quick when that was done before.
# PYTHON chooses the interpreter of a new .venv.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

ensure_environment() {
  local extras=$1 python=${PYTHON:-python3} stamp
  cd "$root" || return
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    command -v "$python" >/dev/null || {
      echo "$python: no such program; set PYTHON to a Python 3.11 or 3.12" >&2
      return 2
    }
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || {
      echo "sfe_jax needs Python 3.11 or 3.12; PYTHON=python3.12 bash $0" >&2
      return 2
    }
    rm -rf .venv
    "$python" -m venv .venv || return
  fi
  stamp=".venv/installed-$(echo "$extras" | cat - setup.py | cksum | cut -d' ' -f1)"
  [ -e "$stamp" ] && return
  case ",$extras," in
    *,dev,* | *,convert,*) install_cpu_torch || return ;;
  esac
  echo "installing sfe_jax into .venv ..."
  # compat: a clone named sfe_jax would otherwise hide the package inside it
  # from scripts in the folder above.
  .venv/bin/python -m pip install -q --config-settings editable_mode=compat \
    -e ".${extras:+[$extras]}" && touch "$stamp"
}

# PyTorch reads official files and checks parity; its default Linux package
# would bring gigabytes of CUDA.
install_cpu_torch() {
  .venv/bin/python -c 'import torch' 2>/dev/null && return
  echo "installing the CPU build of PyTorch into .venv ..."
  if [ "$(uname -s)" = Linux ]; then
    .venv/bin/python -m pip install -q --retries 1 "torch==2.13.0+cpu" \
      --extra-index-url https://download.pytorch.org/whl/cpu
  else
    .venv/bin/python -m pip install -q "torch==2.13.0"
  fi
}

# JAX's plugin for an accelerator: cuda12, cuda13 or tpu.
ensure_accelerator() {
  [ -e ".venv/installed-$1" ] && return
  echo "installing jax[$1] into .venv ..."
  .venv/bin/python -m pip install -q "jax[$1]" && touch ".venv/installed-$1"
}

# Runs a command, or only prints it where dry_run is set.
run() {
  if [ -n "${dry_run:-}" ]; then
    printf '%q ' "$@" && echo
  else
    "$@"
  fi
}

# Moves --dry-run, wherever it stands, from the arguments into dry_run; the
# others are left in the array `arguments`.
parse_dry_run() {
  arguments=()
  dry_run=
  for argument in "$@"; do
    if [ "$argument" = --dry-run ]; then dry_run=1; else arguments+=("$argument"); fi
  done
}
