#!/bin/bash
#SBATCH --job-name=group
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --requeue
# What needs all trainings: heatmaps, regions, trust, SpRAy, report. After the training array:
#   sbatch --dependency=afterok:JOB group.sh
set -euo pipefail

# --cleanenv drops the variable that assigns the GPU
if [ -n "${CUDA_VISIBLE_DEVICES+x}" ]; then
    export APPTAINERENV_CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES
fi

# shellcheck disable=SC2086
exec $BIDS_XAI "$RAW" "$OUT" group --nprocs "$SLURM_CPUS_PER_TASK" $OPTIONS
