#!/bin/bash
#SBATCH --job-name=train
#SBATCH --cpus-per-task=4
#SBATCH --mem=48G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# One training per task, configurations and splits in turn. First, once:
#   $BIDS_XAI "$RAW" "$OUT" group $OPTIONS --steps cohort qc
# then, for three configurations and ten splits (add --gres=gpu:1 for a GPU):
#   export CONFIGURATIONS="A B C" OPTIONS="--study tinauer2025"
#   sbatch --array=0-29 train.sh
# 48 GB are for guided trainings on 1 mm (group --dry-run shows the memory of yours); with less, batches
# are processed in parts. All tasks share the folder of training volumes.
# Two minutes before its time is over a training writes its state and ends with status 75; the task
# requeues itself and continues from there, as it does when SLURM preempts it
# (PreemptMode=REQUEUE) or a node fails.
set -euo pipefail

read -r -a NAMES <<<"${CONFIGURATIONS:-A B C}"
CONFIGURATION=${NAMES[SLURM_ARRAY_TASK_ID % ${#NAMES[@]}]}
SPLIT=$((SLURM_ARRAY_TASK_ID / ${#NAMES[@]}))

# --cleanenv drops the variable that assigns the GPU
if [ -n "${CUDA_VISIBLE_DEVICES+x}" ]; then
    export APPTAINERENV_CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES
fi

# shellcheck disable=SC2086
$BIDS_XAI "$RAW" "$OUT" group --steps train --configuration "$CONFIGURATION" --split "$SPLIT" \
    --nprocs "$SLURM_CPUS_PER_TASK" --work-dir "$SCRATCH/training" $OPTIONS &
training=$!
signalled=yes
again=no
# USR1 is the warning before the end of the time; TERM is scancel, which is not to be undone
trap 'signalled=yes; again=yes; kill -USR1 "$training" 2>/dev/null || true' USR1
trap 'signalled=yes; kill -TERM "$training" 2>/dev/null || true' TERM

while [ "$signalled" = yes ]; do # a signal ends wait, not the training
    signalled=no
    status=0
    wait "$training" || status=$?
done
# 138: USR1 came before the app could listen
if [ "$again" = yes ] && { [ "$status" -eq 75 ] || [ "$status" -eq 138 ]; }; then
    echo "interrupted: back into the queue"
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" # a bare number may mean all tasks
fi
exit "$status"
