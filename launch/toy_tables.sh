#!/usr/bin/env bash
# README's tables of the drawn faces: trains the ablations, measures everything.
#
#   bash launch/own_domain.sh data/faces out/toy --labels data/faces/labels.csv
#   bash launch/toy_tables.sh out/toy
#
# Leaves OUT/tables/*.json and OUT/tables/tables.md.  What is there already is
# not made again.
set -euo pipefail
[ $# -eq 1 ] && [ -d "$1/phase2/weights" ] || {
  echo "usage: bash launch/toy_tables.sh OUT, of launch/own_domain.sh" >&2
  exit 2
}
out=$(realpath -- "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
seed=1 pictures=2000 pairs=300

train() {  # NAME CONFIG ARGUMENT...
  local workdir=$out/$1
  if [ -e "$workdir/done" ]; then return; fi
  "$python" -m sfe_jax.train "--config=configs/$2.py" "--workdir=$workdir" \
    "--config.data.path=$out/data/pictures" \
    "--config.data.validation_path=$out/data/held_out" \
    "--config.init.weights=$out/weights" "${@:3}"
  touch "$workdir/done"
}

measure() {  # NAME WEIGHTS ARGUMENT...
  local name=$1 weights=$2 file
  file=$out/tables/${name// /_}
  report() {  # PROTOCOL SUFFIX ARGUMENT...
    if [ -e "$file.$2.json" ]; then return; fi
    "$python" -m sfe_jax.evaluate --protocol "$1" --out "$file.$2.json" \
      --name "$name" --weights "$weights" --networks "$out/weights" \
      --batch_size 32 "${@:3}"
  }
  report inversion inversion --dir "$test" "${@:3}"
  local labels=(--dir "$test" --labels "$test/labels.csv")
  report editing smile "${labels[@]}" --edit smile=-8 --attribute 'smile>0.5' "${@:3}"
  report editing glasses "${labels[@]}" --edit glasses=6 "${@:3}"
  report editing age "${labels[@]}" --edit age=4 --attribute 'age>50' "${@:3}"
  report truth truth --count "$pairs" --seed $((seed + 1)) "${@:3}"
}

test=$out/test
"$python" -m sfe_jax.domains --dst "$test" --count "$pictures" --size 32 --seed "$seed"

without_h=(--without feature_editor --without e4e)
measure "e4e" "$out/editor" --method e4e
measure "SFE" "$out/editor"
measure "without H" "$out/editor" "${without_h[@]}"

train no_inversion_loss toy_phase2 "--config.init.inverter=$out/phase1" \
  --config.edits.inversion=False
measure "without inversion loss" "$out/no_inversion_loss/weights"

train no_e4e toy_phase2 "--config.init.inverter=$out/phase1" \
  --config.edits.encoder=False
measure "without E" "$out/no_e4e/weights" --without e4e

train few_edits toy_phase2 "--config.init.inverter=$out/phase1" \
  --config.edits.user='"smile","age","skin"'
measure "few edits" "$out/few_edits/weights"

train no_fuser1 toy_phase1 --config.model.fuser=False
train no_fuser toy_phase2 "--config.init.inverter=$out/no_fuser1" \
  --config.model.fuser=False
measure "without Fuser" "$out/no_fuser/weights"

k3=(--config.model.k=3 --config.model.delta_k=3)
train f3_phase1 toy_phase1 "${k3[@]}"
train f3 toy_phase2 "--config.init.inverter=$out/f3_phase1" "${k3[@]}"
measure "F5 to F3" "$out/f3/weights"

"$python" -m sfe_jax.metrics.table "$out"/tables/*.json | tee "$out/tables/tables.md"
