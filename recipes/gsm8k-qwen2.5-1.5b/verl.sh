#!/bin/sh
# The training alone, on a cluster, by verl: select (nothing to do where run.sh has), export the chosen
# problems with the prompts they were scored with, start the recipe that the export writes. Ray must
# run on the nodes, and RUN lie where all of them see it; run this on Ray's head.
#
#   NODES=2 GPUS=8 sh recipes/gsm8k-qwen2.5-1.5b/verl.sh
#   DRY_RUN=1 sh recipes/gsm8k-qwen2.5-1.5b/verl.sh                  # what would be done, and its size
#   sh recipes/gsm8k-qwen2.5-1.5b/verl.sh trainer.total_epochs=3
#
# What follows the command goes to verl.
set -eu

MODEL=${MODEL:-Qwen/Qwen2.5-1.5B-Instruct}             # of a selection that is still to be made
DATA=${DATA:-openai/gsm8k:main}                        # the same
RUN=${RUN:-runs/gsm8k-qwen2.5-1.5b/seed-0/selection}   # folder of `learnalign select`
BUDGET=${BUDGET:-}                                     # rank anew: another number of problems
SUBSET=${SUBSET:-selected}                             # or control: as many problems by lot
BATCH=${BATCH:-48}                                     # problems a step
NODES=${NODES:-1}
GPUS=${GPUS:-8}                                        # of each node
DRY_RUN=${DRY_RUN:-0}                                  # 1: say what would be done, and do nothing

here=$(dirname "$0")
config=$here/select.yaml
number=0

dry() { [ "$DRY_RUN" = 1 ]; }

fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  printf '  %s\n' "$@" >&2
  exit 2
}

# Announce a step and its command, and run it unless this is a dry run.
step() {
  number=$((number + 1))
  printf '\n%d. %s\n' "$number" "$1"
  shift
  printf '   %s\n' "$*"
  dry || "$@"
}

# One figure of a dry run.
figure() { printf '%s\n' "$plan" | sed -n "s/^  $1: //p"; }

case $SUBSET in
  selected | control) ;;
  *) fail "got SUBSET=$SUBSET" "expected: selected or control" ;;
esac
case $RUN in
  /*) ;;
  *) RUN=$PWD/$RUN ;; # verl's workers start in folders of their own
esac

if [ -f "$RUN/scores.parquet" ]; then
  plan=$(learnalign train --config "$RUN/config.yaml" --set "data.paths=['$RUN']" --dry-run)
  problems=${BUDGET:-$(figure problems)}
else
  plan=$(learnalign select "$MODEL" "$DATA" --config "$config" ${BUDGET:+--budget "$BUDGET"} --dry-run)
  problems=$(figure chosen)
fi
rollouts=$(figure num_rollouts)
longest=$(figure max_tokens)
steps=$((problems / BATCH))
if [ $((BATCH * rollouts % (NODES * GPUS))) -ne 0 ]; then
  fail "got $BATCH problems of $rollouts rollouts a step, for $((NODES * GPUS)) GPUs" \
    "expected: a number of rollouts that the GPUs can share evenly" "to do: change NODES, GPUS or BATCH"
fi
if [ "$steps" -eq 0 ]; then
  fail "got $problems problems and $BATCH a step" "expected: at least one whole step" \
    "to do: give a smaller BATCH"
fi

if [ ! -f "$RUN/scores.parquet" ]; then
  step "select $problems of $(figure problems) problems" learnalign select "$MODEL" "$DATA" \
    --config "$config" ${BUDGET:+--budget "$BUDGET"} --out "$RUN"
  if dry; then
    printf '%s\n' "$plan" | sed -n '/^estimated work:/,$ s/^  /     /p'
  fi
elif [ -n "$BUDGET" ]; then
  step "rank anew: $BUDGET problems" learnalign score "$RUN" --budget "$BUDGET"
fi

place=$RUN/export-verl${BUDGET:+-$BUDGET}
rows=$place/$SUBSET.parquet
step "export $problems problems" learnalign export "$RUN" --as verl --prompts scored \
  --batch-size "$BATCH" --out "$place"
step "train with verl on $NODES x $GPUS GPUs" bash "$place/verl.sh" \
  data.train_files="$rows" data.val_files="$rows" \
  trainer.default_local_dir="$place/trained-$SUBSET" \
  trainer.nnodes="$NODES" trainer.n_gpus_per_node="$GPUS" "$@"
if dry; then
  echo "     a pass over the problems: $steps steps of $BATCH problems, $((problems % BATCH)) problems left over"
  echo "     rollouts: $((steps * BATCH * rollouts)), $((BATCH * rollouts / (NODES * GPUS))) a step and GPU"
  echo "     response tokens at most: $((steps * BATCH * rollouts * longest))"
fi
