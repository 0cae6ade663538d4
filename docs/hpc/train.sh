#!/bin/bash
#SBATCH --job-name=train
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# One training a task, configurations and splits in turn. First, once:
#   $BIDS_XAI "$RAW" "$OUT" group $OPTIONS --steps cohort qc
# then, for three configurations and ten splits (add --gres=gpu:1 for a GPU):
#   export CONFIGURATIONS="A B C" OPTIONS="--study tinauer2025"
#   sbatch --array=0-29 train.sh
# Before its time is over, and where it is preempted, a training writes its state and ends with
# status 75; the task puts itself back into the queue and goes on from there.
set -euo pipefail

read -r -a NAMES <<<"${CONFIGURATIONS:-A B C}"
CONFIGURATION=${NAMES[SLURM_ARRAY_TASK_ID % ${#NAMES[@]}]}
SPLIT=$((SLURM_ARRAY_TASK_ID / ${#NAMES[@]}))

# shellcheck disable=SC2086
$BIDS_XAI "$RAW" "$OUT" group --steps train --configuration "$CONFIGURATION" --split "$SPLIT" \
    --nprocs "$SLURM_CPUS_PER_TASK" --work-dir "$SCRATCH/$CONFIGURATION-$SPLIT" $OPTIONS &
training=$!
signalled=yes
trap 'signalled=yes; kill -USR1 "$training" 2>/dev/null' USR1 TERM

while [ "$signalled" = yes ]; do # a signal ends wait, not the training
    signalled=no
    status=0
    wait "$training" || status=$?
done
if [ "$status" -eq 75 ]; then
    echo "interrupted: back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
