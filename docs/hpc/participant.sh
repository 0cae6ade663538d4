#!/bin/bash
#SBATCH --job-name=participant
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=02:00:00
#SBATCH --requeue
# One participant per task:
#   export BIDS_XAI="apptainer run --cleanenv -B /path/to,/scratch /path/to/bids_xai.sif"
#   export RAW=/path/to/raw OUT=/path/to/derivatives SCRATCH=/path/to/scratch
#   export OPTIONS="--output-spaces MNI152NLin2009aSym"
#   sbatch --array=1-$(($(grep -c . "$RAW/participants.tsv") - 1)) participant.sh
# Many clusters allow no array index above 1000 (MaxArraySize). For participants 1001 to 2000:
#   OFFSET=1000 sbatch --array=1-1000 participant.sh
set -euo pipefail

ROW=$((SLURM_ARRAY_TASK_ID + ${OFFSET:-0}))
LABEL=$(sed -n "$((ROW + 1))p" "$RAW/participants.tsv" | cut -f 1)
LABEL=${LABEL#sub-}
[ -n "$LABEL" ] || { echo "no participant $ROW in $RAW/participants.tsv" >&2; exit 1; }

# --cleanenv drops the variable that assigns the GPU
if [ -n "${CUDA_VISIBLE_DEVICES+x}" ]; then
    export APPTAINERENV_CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES
fi

# BIDS_XAI and OPTIONS are several words each
# shellcheck disable=SC2086
exec $BIDS_XAI "$RAW" "$OUT" participant --participant-label "$LABEL" \
    --nprocs "$SLURM_CPUS_PER_TASK" --work-dir "$SCRATCH/$LABEL" --clean-workdir $OPTIONS
