#!/usr/bin/env bash
# README's tables of the drawn faces: trains the ablations, measures everything.
#
#   bash launch/own_domain.sh data/faces out/toy --labels data/faces/labels.csv
#   bash launch/toy_tables.sh out/toy
#
# Leaves OUT/tables/*.json and OUT/tables/tables.md.  The same command goes on
# after an interruption.  --dry-run prints what would run.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
source "$(dirname "$0")/chain.sh"
parse_dry_run "$@"
set -- ${arguments[@]+"${arguments[@]}"}
if [ $# -ne 1 ] || [ ! -d "$1/editor" ]; then
  echo "usage: bash launch/toy_tables.sh OUT, of launch/own_domain.sh" >&2
  exit 2
fi
out=$(realpath -- "$1")
cd "$root"
python=${SFE_PYTHON:-.venv/bin/python}
pictures=2000 pairs=300 seed=1  # the pairs are of the next seed
size=$("$python" -c 'import json, sys
print(json.load(open(sys.argv[1]))["size"])' "$out/data/about.json")
test=$out/test tables=$out/tables

# ablation NAME STAGE ARGUMENT...
ablation() {
  if [ -e "$out/$1/done" ]; then return; fi
  train "$@" "--config.init.weights=$out/weights"
  if [ -z "$dry_run" ]; then touch "$out/$1/done"; fi
}

# report FILE NAME WEIGHTS ARGUMENT...: measures, unless that was done with the
# same weights.
report() {
  local file=$tables/$1.json name=$2 weights=$3
  if [ -e "$file" ] && [ -z "$(find "$weights" -newer "$file" -print -quit)" ]
  then return; fi
  run "$python" -m sfe_jax.evaluate --out "$file" --name "$name" \
    --weights "$weights" --networks "$out/weights" --batch_size 32 "${@:4}"
}

# The strength at which e4e alone changes an attribute as the truth does: all
# methods are compared at it, as in the paper.
strength() {
  if [ -n "$dry_run" ]; then echo 1; return; fi
  "$python" -c 'import json, sys
found = json.load(open(sys.argv[1]))["results"][sys.argv[2]]
print("%.2f" % found["strength"])' "$tables/e4e.truth.json" "$1"
}

# measure NAME WEIGHTS ARGUMENT...
measured=()
measure() {
  local name=$1 file=${1// /_}
  measured+=("$file")
  report "$file.truth" "$@" --protocol truth --count $pairs --seed $((seed + 1))
  report "$file.inversion" "$@" --protocol inversion --dir "$test"
  local labels=(--protocol editing --dir "$test" --labels "$test/labels.csv")
  report "$file.smile" "$@" "${labels[@]}" --attribute 'smile>0.5' \
    --edit "smile=-$(strength smile)"
  report "$file.glasses" "$@" "${labels[@]}" --edit "glasses=$(strength glasses)"
  report "$file.age" "$@" "${labels[@]}" --attribute 'age>50' \
    --edit "age=$(strength age)"
}

run "$python" -m sfe_jax.drawn_faces --dst "$test" --count $pictures \
  --size "$size" --seed $seed
measure "e4e" "$out/editor" --method e4e
measure "SFE" "$out/editor"
measure "without H" "$out/editor" --without feature_editor --without e4e

inverter="--config.init.inverter=$out/phase1"
ablation no_inversion_loss phase2 "$inverter" --config.edits.inversion=False
measure "without inversion loss" "$out/no_inversion_loss/weights"

ablation no_e4e phase2 "$inverter" --config.edits.encoder=False
measure "without E" "$out/no_e4e/weights" --without e4e

ablation few_edits phase2 "$inverter" --config.edits.user='"smile","age","skin"'
measure "few edits" "$out/few_edits/weights"

ablation no_fuser1 phase1 --config.model.fuser=False
ablation no_fuser phase2 "--config.init.inverter=$out/no_fuser1" \
  --config.model.fuser=False
measure "without Fuser" "$out/no_fuser/weights"

lower=$("$python" -c "from configs import toy_phase1
print(toy_phase1.get_config('$size').model.k - 2)")
k=("--config.model.k=$lower" "--config.model.delta_k=$lower")
ablation lower_f1 phase1 "${k[@]}"
ablation lower_f phase2 "--config.init.inverter=$out/lower_f1" "${k[@]}"
measure "lower F" "$out/lower_f/weights"

files=()
for kind in inversion smile glasses age truth; do
  for file in "${measured[@]}"; do files+=("$tables/$file.$kind.json"); done
done
if [ -z "$dry_run" ]; then
  "$python" -m sfe_jax.metrics.tables "${files[@]}" | tee "$tables/tables.md"
fi
