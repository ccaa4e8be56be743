#!/bin/sh
# The whole experiment: evaluate, select (with a warm-up), train on the chosen problems, on as many by
# lot and on all, evaluate each, compare. Stopped, the same command goes on.
#
#   sh recipes/gsm8k-qwen2.5-1.5b/run.sh
#   DRY_RUN=1 sh recipes/gsm8k-qwen2.5-1.5b/run.sh           # what would be done, and its cost
#   BUDGET="100 500 1000 2000" SEEDS="0 1 2" sh recipes/gsm8k-qwen2.5-1.5b/run.sh
#   TRAIN="--epochs 3" sh recipes/gsm8k-qwen2.5-1.5b/run.sh
#   sh recipes/gsm8k-qwen2.5-1.5b/run.sh --set model.device=cuda:1
#
# What follows the command goes to every verb: --set section.option=value.
set -eu

MODEL=${MODEL:-Qwen/Qwen2.5-1.5B-Instruct}    # folder or hub name
DATA=${DATA:-openai/gsm8k:main}               # what `learnalign select` reads
TEST=${TEST:-gsm8k}                           # what `learnalign evaluate` reads; gsm8k=test.jsonl
OUT=${OUT:-runs/gsm8k-qwen2.5-1.5b}           # everything is written here
BUDGET=${BUDGET:-1000}                        # problems to choose; several: "100 500 1000 2000"
SEEDS=${SEEDS:-0}                             # of warm-up, rollouts, lots and training; "0 1 2"
SUBSETS=${SUBSETS:-selected random all}       # what is trained on
TRAIN=${TRAIN:-}                              # options of the trainings alone, not of the warm-up
DRY_RUN=${DRY_RUN:-0}                         # 1: say what would be done, and do nothing

here=$(dirname "$0")
config=$here/select.yaml
number=0
costs=

dry() { [ "$DRY_RUN" = 1 ]; }

# Announce a step and its command, and run it unless this is a dry run.
step() {
  number=$((number + 1))
  printf '\n%d. %s\n' "$number" "$1"
  shift
  printf '   %s\n' "$*"
  dry || "$@"
}

# Print what a verb's --dry-run counts, and keep it for the sum.
told() {
  printf '%s\n' "$1" | sed -n '/^estimated work:/,$ s/^  /     /p'
  costs="$costs
$1"
}

train_and_evaluate() {
  subset=$1 place=$2 cost=$3
  shift 3
  # shellcheck disable=SC2086  # TRAIN is words
  step "train on $subset, seed $seed" learnalign train "$MODEL" "$selection" --subset "${subset%% *}" \
    --config "$config" --seed "$seed" --out "$place/training" $TRAIN "$@"
  dry && told "$cost"
  step "evaluate $subset, seed $seed" learnalign evaluate "$place/training/model" "$TEST" \
    --config "$config" --out "$place/evaluation" --against "$OUT/base" "$@"
  if dry; then told "$evaluation_cost"; fi
}

if dry; then
  evaluation_cost=$(learnalign evaluate "$MODEL" "$TEST" --config "$config" "$@" --dry-run)
  # shellcheck disable=SC2086
  all_cost=$(learnalign train "$MODEL" "$DATA" --config "$config" $TRAIN "$@" --dry-run)
fi

step "evaluate the model as it is" learnalign evaluate "$MODEL" "$TEST" --config "$config" \
  --out "$OUT/base" "$@"
if dry; then told "$evaluation_cost"; fi

for seed in $SEEDS; do
  selection=$OUT/seed-$seed/selection
  first=yes
  for budget in $BUDGET; do
    # Warm-up, rollouts and gradients are made once; another budget only ranks anew.
    step "select $budget problems, seed $seed" learnalign select "$MODEL" "$DATA" \
      --config "$config" --budget "$budget" --seed "$seed" --out "$selection" "$@"
    chosen_cost=
    if dry; then
      cost=$(learnalign select "$MODEL" "$DATA" --config "$config" "$@" --budget "$budget" --dry-run)
      if [ $first = yes ]; then
        told "$cost"
      else
        echo "     a new ranking of the same tables: seconds"
      fi
      # shellcheck disable=SC2086
      chosen_cost=$(learnalign train "$MODEL" "$DATA" --config "$config" $TRAIN "$@" \
        --set training.num_problems="$budget" --dry-run)
    fi
    first=no
    for subset in $SUBSETS; do
      case $subset in
        selected | random)
          train_and_evaluate "$subset ($budget problems)" "$OUT/seed-$seed/$subset-$budget" \
            "$chosen_cost" "$@"
          ;;
      esac
    done
  done
  case " $SUBSETS " in
    *" all "*)
      train_and_evaluate "all problems" "$OUT/seed-$seed/all" "${all_cost:-}" "$@"
      ;;
  esac
done

step "compare" python3 "$here/compare.py" "$OUT"
if dry; then
  printf '%s\n' "$costs" | awk -F ': ' '
    BEGIN { unit["s"] = 1; unit["min"] = 60; unit["h"] = 3600; unit["d"] = 86400 }
    /^ +rollouts: / { rollouts += $2 }
    /^ +response tokens at most: / { tokens += $2 }
    / time at most: / {
      parts = split($2, part, " ")  # "3 h 20 min"
      for (i = 1; i < parts; i += 2) { gsub(",", "", part[i]); seconds += part[i] * unit[part[i + 1]] }
    }
    END {
      printf "\nin all: %.0f rollouts, at most %.0f response tokens; at most ", rollouts, tokens
      if (seconds < 3600) printf "%.0f min", seconds / 60
      else if (seconds < 86400) printf "%.1f h", seconds / 3600
      else printf "%.1f d", seconds / 86400
      print " on this device (measured just now)"
    }'
fi
