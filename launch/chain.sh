# Sourced by own_domain.sh and toy_tables.sh, after environment.sh: stages of
# training in the folder $out at $size pixels by $python.

# Whether a stage has come to its last step, or was told to end before.
complete() {
  "$python" -c 'import json, os, sys
steps = json.load(open(f"{sys.argv[1]}/config.json"))["steps"]
sys.exit(not os.path.isdir(f"{sys.argv[1]}/checkpoints/{steps}"))' "$1"
}

# train NAME STAGE ARGUMENT...: trains $out/NAME by configs/toy_STAGE.py.
train() {
  local name=$1 stage=$2
  run "$python" -m sfe_jax.train "--config=configs/toy_$stage.py:$size" \
    "--workdir=$out/$name" "--config.data.path=$out/data/pictures" \
    "--config.data.validation_path=$out/data/held_out" "${@:3}"
  if [ -z "$dry_run" ] && ! complete "$out/$name"; then
    echo "$name was stopped; the same command goes on" >&2
    exit 143
  fi
}
