#!/usr/bin/env bash
# Runs the quick tests with other versions of Python and JAX:
#
#   bash launch/test_versions.sh                          oldest and newest
#   bash launch/test_versions.sh 3.11=oldest 3.13=newest  others
#
# Each PYTHON=JAX gets an environment of its own in out/versions.  "oldest" is
# the first release that setup.py allows, "newest" the last one; any version of
# JAX may be named instead.  pythonX.Y must be on the PATH.
set -euo pipefail
case ${1:-} in
  --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" && exit ;;
esac
cd "$(dirname "$0")/.."
tests=(tests/test_editor.py tests/test_edit_cli.py tests/test_formulations.py
  tests/test_phases.py tests/test_optim.py tests/test_checkpoint.py
  tests/test_loop.py tests/test_data.py tests/test_directions.py
  tests/test_registry.py)
range=$(sed -n 's/.*"jax\(>=.*\)",/\1/p' setup.py)
oldest=$(sed -n 's/.*"jax>=\([0-9.]*\).*/\1/p' setup.py)
if [ $# -eq 0 ]; then set -- 3.11=oldest 3.13=newest; fi

for pair in "$@"; do
  python=python${pair%%=*} jax=${pair#*=}
  case $jax in
    oldest) jax="jax==$oldest" jaxlib="jaxlib==$oldest" ;;
    newest) jax="jax$range" jaxlib=jaxlib ;;
    *) jax="jax==$jax" jaxlib=jaxlib ;;
  esac
  folder=out/versions/$pair
  echo "== $python, $jax"
  if [ ! -e "$folder/installed" ]; then
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install -q -e '.[train]' "$jax" "$jaxlib" \
      'pytest>=8' portpicker
    touch "$folder/installed"
  fi
  "$folder/bin/python" -c 'import jax, sys; print(sys.version.split()[0], "JAX", jax.__version__)'
  "$folder/bin/python" -m pytest -q "${tests[@]}"
done
