#!/usr/bin/env bash
# A SLURM cluster of one node, and the jobs of docs/hpc.md on it.
#
#   make slurm-test                (or: tests/container/slurm_test.sh [WORK] [BIN])
#
# Needs root, a Debian machine and Debian's package registry. The cluster lives in WORK (default: a
# new folder, removed at the end) and ends with this script. BIN holds bids_xai (default: .venv/bin).
set -euo pipefail
cd "$(dirname "$0")/../.."
export DEBIAN_FRONTEND=noninteractive
BIN=$(cd "${2:-.venv/bin}" && pwd)
if [ $# -ge 1 ]; then WORK=$1; mkdir -p "$WORK"; else WORK=$(mktemp -d); CLEAN=yes; fi
WORK=$(cd "$WORK" && pwd)
export SLURM_CONF=$WORK/slurm.conf PATH=$BIN:$PATH LOGNAME=${LOGNAME:-root} USER=${USER:-root}
SPACE=MNI152NLin2009aSym:res-4
DAEMONS=()

say() { printf '\n== %s\n' "$*"; }
passed() { printf 'ok  %s\n' "$*"; }
failed() { printf 'FAILED  %s\n' "$*" >&2; tail -n 5 "$WORK"/*.log "$WORK"/jobs/* >&2 || true; exit 1; }

clean() {
    status=$?
    end_jobs # what still writes makes rm fail
    for daemon in "${DAEMONS[@]}"; do kill "$daemon" 2>/dev/null || true; done
    wait
    [ "${CLEAN:-}" = yes ] && rm -rf "$WORK"
    exit "$status"
}
trap clean EXIT

end_jobs() {
    [ "${#DAEMONS[@]}" -gt 0 ] || return 0
    scancel --quiet --user root 2>/dev/null || true
    for _ in $(seq 60); do
        squeue --noheader --user root 2>/dev/null | grep -q . || return 0
        sleep 0.5
    done
    scancel --quiet --signal=KILL --full --user root 2>/dev/null || true
    sleep 2
}

tools() {
    if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
    fi
}

cluster() {
    mkdir -p "$WORK/state" "$WORK/spool" "$WORK/jobs"
    (umask 077; head -c 128 /dev/urandom >"$WORK/munge.key")
    cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$WORK/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
StateSaveLocation=$WORK/state
SlurmdSpoolDir=$WORK/spool
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/slurmd.pid
SlurmctldLogFile=$WORK/slurmctld.log
SlurmdLogFile=$WORK/slurmd.log
SlurmctldPort=26817
SlurmdPort=26818
SchedulerParameters=batch_sched_delay=1,sched_interval=2,requeue_delay=1
KillWait=10
ReturnToService=2
JobRequeue=1
MinJobAge=600
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(memory) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    munged --foreground --force --key-file="$WORK/munge.key" --socket="$WORK/munge.socket" \
        --pid-file="$WORK/munged.pid" --log-file="$WORK/munged.log" --seed-file="$WORK/munge.seed" &
    DAEMONS+=($!)
    sleep 1
    slurmctld -D -f "$SLURM_CONF" >"$WORK/slurmctld.out" 2>&1 &
    DAEMONS+=($!)
    slurmd -D -f "$SLURM_CONF" >"$WORK/slurmd.out" 2>&1 &
    DAEMONS+=($!)
    for _ in $(seq 60); do
        if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then return; fi
        sleep 1
    done
    failed "the cluster did not start"
}

memory() { awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo; } # MB

state() { scontrol show job "$1" --oneliner | grep -o 'JobState=[A-Z_]*' | sort | uniq -c; }

finish() { # job: waits for all its tasks, then wants them completed
    for _ in $(seq 900); do
        if ! squeue --noheader --jobs "$1" 2>/dev/null | grep -q .; then break; fi
        sleep 1
    done
    state "$1" | grep -qv COMPLETED && failed "job $1: $(state "$1")"
    return 0
}

submit() { sbatch --parsable --mem=2G --output="$WORK/jobs/%x-%A_%a.txt" "$@"; }

say "cluster"
tools
cluster
passed "$(sinfo --version), $(nproc) processors"

say "simulated cohort, and a local run to compare with"
bids_xai_simulate "$WORK/raw" --n-participants 12 --voxel-mm 4 --effect 100 --seed 1 2>/dev/null
bids_xai "$WORK/raw" "$WORK/local" participant --sloppy --output-spaces $SPACE 2>"$WORK/local.log"
sed -e 's/^epochs = .*/epochs = 16/' -e 's/^repeats = .*/repeats = 1/' bids_xai/studies/quick.toml \
    >"$WORK/quick.toml"
bids_xai "$WORK/raw" "$WORK/local" group --study "$WORK/quick.toml" --omp-nthreads 1 \
    --steps cohort qc train 2>>"$WORK/local.log"
passed "made"

say "participant array: docs/hpc/participant.sh"
export BIDS_XAI=bids_xai RAW=$WORK/raw OUT=$WORK/array SCRATCH=$WORK/scratch
export OPTIONS="--sloppy --output-spaces $SPACE"
job=$(submit --array=1-12 --cpus-per-task=1 docs/hpc/participant.sh)
finish "$job"
for folder in "$WORK"/local/sub-*/; do
    diff -rq --exclude='*.html' --exclude=figures --exclude='*relmap*' --exclude='*regions*' \
        "$folder" "$WORK/array/$(basename "$folder")" || failed "other maps than the local run"
done
python -m json.tool "$WORK/array/dataset_description.json" >/dev/null
passed "12 tasks, the same maps to the byte"

say "nipype's SLURM plugin"
cat >"$WORK/plugin.yml" <<YAML
plugin: SLURM
plugin_args: {sbatch_args: "--cpus-per-task=1 --output=$WORK/jobs/nipype-%j.txt", poll_delay: 1}
YAML
bids_xai "$WORK/raw" "$WORK/plugin" participant --sloppy --output-spaces $SPACE \
    --participant-label 01 02 --use-plugin "$WORK/plugin.yml" -w "$WORK/plugin-work" \
    2>"$WORK/plugin.log" || { cat "$WORK/plugin.log"; failed "bids_xai with the plugin"; }
for label in 01 02; do
    diff -rq --exclude='*.html' --exclude=figures --exclude='*relmap*' --exclude='*regions*' \
        "$WORK/local/sub-$label" "$WORK/plugin/sub-$label" || failed "other maps than the local run"
done
passed "the same maps to the byte"

restartable() { state "${job}_2" | grep -q -e FAILED -e CANCELLED; }

say "training array with a preemption: docs/hpc/train.sh"
export OPTIONS="--study $WORK/quick.toml --omp-nthreads 1"
bids_xai "$RAW" "$OUT" group $OPTIONS --steps cohort qc 2>"$WORK/cohort.log"
job=$(submit --array=0-2 --cpus-per-task=1 docs/hpc/train.sh)
again() { scontrol show job "${job}_2" --oneliner | grep -q "JobState=$2 .* Restarts=$1 "; }
# SLURM lets a requeued task wait for two minutes, counted from when the state changes: what train.sh says
# comes before that, and to ask for another start is in vain until then
runs_again() { # restarts: from now on, not in two minutes
    if again "$1" PENDING; then scontrol update JobId="${job}_2" StartTime=now || true; fi
    again "$1" RUNNING
}
log=$OUT/models/quick/C/split-0/training.tsv # of task 2
wait_for() { for _ in $(seq 600); do if "$@"; then return; fi; sleep 0.2; done; failed "waited: $*"; }
epochs() { [ "$(cat "$log" 2>/dev/null | wc -l)" -gt "$1" ]; }
wait_for epochs 1
scancel --signal=USR1 --batch "${job}_2"
wait_for runs_again 1 # train.sh has put it back
grep -q "back into the queue" "$WORK/jobs/train-${job}_2.txt" || failed "task 2 was not put back by train.sh"
wait_for epochs 2
scancel --signal=KILL --full "${job}_2"
wait_for restartable
scontrol requeue "${job}_2"
wait_for runs_again 2
finish "$job"
for configuration in A B C; do
    cmp "$WORK/local/models/quick/$configuration/split-0/model.safetensors" \
        "$OUT/models/quick/$configuration/split-0/model.safetensors" \
        || failed "configuration $configuration: other weights than the local run"
done
for task in 0 1; do # only the interrupted task is put back
    scontrol show job "${job}_$task" --oneliner | grep -q " Restarts=0 " || failed "task $task ran twice"
done
[ ! -e "$SCRATCH/training" ] || failed "training volumes are left behind"
passed "three trainings, one preempted, put back into the queue, killed and started anew: the same weights to the byte"

say "the steps that need all: docs/hpc/group.sh"
job=$(submit --cpus-per-task=2 docs/hpc/group.sh)
finish "$job"
[ -s "$OUT/group_quick.html" ] || failed "no group page"
passed "group page written"

say "slurm test passed"
