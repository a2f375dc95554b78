# Sourced by the other launch scripts: makes .venv in the project's root and
# installs the package into it.  PYTHON chooses the interpreter of a new .venv.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Installs the package with the extras named in $1, separated by commas; returns
# at once if that was done before.
ensure_environment() {
  local extras=$1 python=${PYTHON:-python3} stamp
  cd "$root" || return
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    command -v "$python" >/dev/null || {
      echo "error: $python: no such program; set PYTHON to a Python 3.11, 3.12" \
        "or 3.13" >&2
      return 2
    }
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
      echo "error: sfe_jax needs Python 3.11, 3.12 or 3.13;" \
        "choose one with PYTHON=python3.12 bash $0" >&2
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
  # Without `compat` a clone named sfe_jax would hide the package inside it from
  # programs that run in the folder above the clone.
  .venv/bin/python -m pip install -q --config-settings editable_mode=compat \
    -e ".${extras:+[$extras]}" && touch "$stamp"
}

# PyTorch reads official files, and tests compare with it.  Its default package
# for Linux would bring gigabytes of CUDA.
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

# Prints ACCELERATOR; if it is not set, cuda13 where an NVIDIA driver is found,
# else cpu.
accelerator() {
  if [ -n "${ACCELERATOR:-}" ]; then
    echo "$ACCELERATOR"
  elif command -v nvidia-smi >/dev/null; then
    echo cuda13
  else
    echo cpu
  fi
}

# Installs JAX's plugin for an accelerator: cuda12, cuda13 or tpu.
ensure_accelerator() {
  [ -e "$root/.venv/installed-$1" ] && return
  cd "$root" || return
  echo "installing jax[$1] into .venv ..."
  .venv/bin/python -m pip install -q "jax[$1]" && touch ".venv/installed-$1"
}

# Installs what training on this machine needs.
ensure_training() {
  local plugin
  plugin=$(accelerator)
  run ensure_environment train || return
  if [ "$plugin" != cpu ]; then run ensure_accelerator "$plugin"; fi
}

# Runs a command; if dry_run is set, only prints it.
run() {
  if [ -n "${dry_run:-}" ]; then
    printf '%q ' "$@" && echo
  else
    "$@"
  fi
}

# Sets dry_run if --dry-run (or --dry_run, as Python programs write it) is among
# the arguments; leaves the others in the array `arguments`.  --help prints the
# comment at the head of the script and ends it.
parse_arguments() {
  local argument
  arguments=()
  dry_run=
  for argument in "$@"; do
    case $argument in
      --dry-run | --dry_run) dry_run=1 ;;
      --help | -h) print_help && exit ;;
      *) arguments+=("$argument") ;;
    esac
  done
}

print_help() {
  awk 'NR > 1 && !/^#/ { exit } NR > 1 && !/^#SBATCH/ { sub(/^# ?/, ""); print }' "${script:-$0}"
}

# Runs the module $1 with `arguments` in the caller's folder, after installing
# what training needs; SFE_PYTHON is a Python that has it already.
run_in_environment() {
  local python=${SFE_PYTHON:-$root/.venv/bin/python}
  if [ -z "${SFE_PYTHON:-}" ]; then
    (ensure_training)  # changes the folder
    if [ -n "$dry_run" ] && [ ! -x "$python" ]; then  # nothing to ask yet
      run "$python" -m "$1" ${arguments[@]+"${arguments[@]}"}
      return
    fi
  fi
  exec "$python" -m "$1" ${arguments[@]+"${arguments[@]}"} ${dry_run:+--dry_run}
}
