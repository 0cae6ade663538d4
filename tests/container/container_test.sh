#!/usr/bin/env bash
# The container as users run it, built and tried on a machine without a Docker engine.
#
#   make container-test            (or: tests/container/container_test.sh [WORK] [BIDS_XAI])
#
# Needs root, a Debian machine, Debian's package registry and PyPI; about 50 GB of disk while it
# runs. WORK (default: a new folder in $TMPDIR, removed at the end) keeps image and results. BIDS_XAI is
# the app outside the container that simulates and compares (default: .venv/bin). With a WORK that was
# kept, REUSE=yes takes its image, and SECTIONS="array" (see the end) does some parts alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs DEBIAN_FRONTEND=noninteractive
BIN=${2:-.venv/bin}
if [ $# -ge 1 ]; then WORK=$1; mkdir -p "$WORK"; else WORK=$(mktemp -d); CLEAN=yes; fi
WORK=$(cd "$WORK" && pwd)
BASE=localhost/bids_xai-base IMAGE=localhost/bids_xai
VERSION=$("$BIN/python" -c 'import bids_xai; print(bids_xai.__version__)')
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)

say() { printf '\n== %s\n' "$*"; }
passed() { printf 'ok  %s\n' "$*"; }
failed() { printf 'FAILED  %s\n' "$*" >&2; exit 1; }
store() { buildah --root "$WORK/storage" --runroot "$WORK/run" "$@"; }

clean() {
    status=$?
    for name in $(store containers -q 2>/dev/null); do store rm "$name" >/dev/null || true; done
    if [ "${CLEAN:-}" = yes ]; then
        store rmi --all --force >/dev/null 2>&1 || true
        rm -rf "$WORK"
    fi
    exit "$status"
}
trap clean EXIT

tools() {
    local missing=()
    for pair in buildah:buildah debootstrap:debootstrap bwrap:bubblewrap; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A Debian bookworm with Python, and with this machine's way to the package registries.
base_image() {
    store inspect "$BASE" >/dev/null 2>&1 && return
    local root=$WORK/rootfs
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root" \
        http://deb.debian.org/debian >"$WORK/debootstrap.log" \
        || { tail -n 20 "$WORK/debootstrap.log"; failed "debootstrap"; }
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/pip.conf"; fi
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    local name
    name=$(store from scratch)
    store add --quiet "$name" "$root" / >/dev/null
    store commit --quiet --rm "$name" "$BASE" >/dev/null
    rm -rf "$root"
}

# What the recipes copy, and a template as users put theirs beside them: TemplateFlow is out of reach.
context() {
    local folder=$WORK/context
    rm -rf "$folder"
    mkdir -p "$folder/templateflow/tpl-Toy"
    cp -r Dockerfile .dockerignore singularity-standalone.def container bids_xai pyproject.toml hatch_build.py \
        constraints.txt README.md LICENSE "$folder"
    "$BIN/python" - "$folder/templateflow/tpl-Toy/tpl-Toy_res-02_" <<'PY'
import sys, nibabel
from bids_xai.settings import OutputSpace
from bids_xai.templates.lookup import load_template
template = load_template(OutputSpace("MNI152NLin2009aSym", 4))
for name, volume in ("T1w", template.brain), ("desc-brain_mask", template.mask):
    image = nibabel.Nifti1Image(volume.data, volume.affine)
    nibabel.save(image, f"{sys.argv[1]}{name}.nii.gz")
PY
}

image() {
    if [ "${REUSE:-}" = yes ] && store inspect --type image "$IMAGE" >/dev/null 2>&1; then
        REVISION=$(cat "$WORK/revision")
        return
    fi
    echo "$REVISION" >"$WORK/revision"
    store bud --quiet --layers=false --build-arg BASE_IMAGE="$BASE" --build-arg VERSION="$VERSION" \
        --build-arg REVISION="$REVISION" --build-arg TEMPLATES=Toy:res-2 -t "$IMAGE" "$WORK/context" \
        >"$WORK/build.log" 2>&1 || { tail -n 40 "$WORK/build.log"; failed "building the image"; }
    store rmi --prune >/dev/null # of the stages
}

# singularity-standalone.def, its %files and %post, on the base image. $1: its root folder.
standalone() {
    local recipe=$WORK/context/singularity-standalone.def root=$1 read_section from to
    read_section=("$BIN/python" tests/container/singularity_environment.py "$recipe" --section)
    "${read_section[@]}" files | while read -r from to; do
        [ -n "$to" ] || continue
        mkdir -p "$(dirname "$root$to")"
        cp -r "$WORK/context/$from" "$root$to"
    done
    "${read_section[@]}" post | sed 's/{{ templates }}//' >"$root/post.sh"
    store run "$2" -- env SINGULARITY_ENVIRONMENT=/91.sh bash -eux /post.sh >"$WORK/standalone.log" 2>&1 \
        || { tail -n 40 "$WORK/standalone.log"; failed "building singularity-standalone.def"; }
}

# The image as bwrap shows it to an ordinary user: read-only, no network, a foreign HOME.
# $1: user id; $2: file with environment, one NAME=value a line; then options of bwrap; "--"; then
# the command. The process is that user on this machine, too.
in_image() {
    local user=$1 environment=$2 options=() words=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    mkdir -p "$ROOT/data" "$ROOT/out" # the mount points, which Docker and Apptainer make themselves
    while IFS= read -r line; do words+=(--setenv "${line%%=*}" "${line#*=}"); done <"$environment"
    setpriv --reuid "$user" --regid "$user" --clear-groups \
        bwrap --unshare-all --die-with-parent --clearenv \
        --ro-bind "$ROOT" / --proc /proc --dev /dev --tmpfs /tmp --chdir /tmp \
        "${words[@]}" "${options[@]}" "$@"
}

open_way() { # to a folder below WORK, for users that are not root
    local folder=$1
    while [ "$folder" != / ] && [ "$folder" != "$(dirname "$WORK")" ]; do
        chmod a+x "$folder"
        folder=$(dirname "$folder")
    done
}

same_files() { # folder, folder: equal but for logs, pages and their pictures
    diff -rq --exclude=logs --exclude='*.html' --exclude=figures --exclude=work \
        --exclude=dataset_description.json "$1" "$2"
}

say "tools"
tools
passed "$(buildah --version | cut -d' ' -f1-3), $(debootstrap --version), $(bwrap --version)"

say "image"
began=$SECONDS
base_image
context
image
NAME=$(store from "$IMAGE")
ROOT=$(store mount "$NAME")
open_way "$ROOT"
passed "built in $((SECONDS - began)) s"
printf '    size %s: python environment %s, of it CUDA libraries %s, torch %s\n' \
    "$(du -sh "$ROOT" | cut -f1)" "$(du -sh "$ROOT/opt/bids_xai" | cut -f1)" \
    "$(du -sch "$ROOT"/opt/bids_xai/lib/python3*/site-packages/nvidia | tail -n 1 | cut -f1)" \
    "$(du -sch "$ROOT"/opt/bids_xai/lib/python3*/site-packages/torch | tail -n 1 | cut -f1)"

ls "$ROOT/opt/templateflow/tpl-Toy" | grep -q desc-brain_mask || failed "no template of the build folder"
passed "a template of the build folder is in the image"

section_labels() {
    say "labels and settings"
    store inspect --type image "$IMAGE" >"$WORK/config.json"
    "$BIN/python" - "$WORK/config.json" "$VERSION" "$REVISION" "$WORK/docker.env" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))["OCIv1"]["config"]
labels, environment = config["Labels"], config["Env"]
assert labels["org.opencontainers.image.version"] == sys.argv[2], labels
assert labels["org.opencontainers.image.revision"] == sys.argv[3], labels
assert config["Entrypoint"] == ["bids_xai"], config["Entrypoint"]
assert config["User"].split(":")[0] not in ("", "0", "root"), config["User"]
open(sys.argv[4], "w").write("".join(f"{line}\n" for line in environment))
PY
    passed "version, revision, entry point, no root"
}

section_docker() {
    say "docker run: uid 1000, read-only root, no network"
    for folder in data out; do rm -rf "${WORK:?}/$folder"; mkdir "$WORK/$folder"; done
    "$BIN/bids_xai_simulate" "$WORK/data/raw" --n-participants 12 --voxel-mm 4 --effect 100 \
        --seed 1 2>/dev/null
    chown -R 1000:1000 "$WORK/out"
    docker_run() { in_image 1000 "$WORK/docker.env" --ro-bind "$WORK/data/raw" /data --bind "$WORK/out" /out \
        -- bids_xai "$@"; }
    find "$WORK/data" "$ROOT" -newer "$WORK/config.json" -type f | sort >"$WORK/before.txt"
    docker_run --version
    docker_run /data /out participant --sloppy --nprocs 2 --output-spaces MNI152NLin2009aSym:res-4
    rm -rf "$WORK/reference"
    cp -a "$WORK/out" "$WORK/reference"
    docker_run /data /out group --study quick --sloppy --nprocs 2
    find "$WORK/data" "$ROOT" -newer "$WORK/config.json" -type f | sort | diff "$WORK/before.txt" - \
        || failed "files outside the output folder changed"
    passed "participant and group; nothing written outside /out and /tmp"
    "$BIN/bids-validator-deno" --ignoreWarnings "$WORK/out" >"$WORK/validator.log" 2>&1 \
        || { tail -n 30 "$WORK/validator.log"; failed "BIDS validator"; }
    passed "output is valid BIDS"
    "$BIN/python" - "$WORK/out/dataset_description.json" "docker" "bids_xai:$VERSION" <<'PY'
import json, sys
made_by = json.load(open(sys.argv[1]))["GeneratedBy"][0]
assert made_by["Container"] == {"Type": sys.argv[2], "Tag": sys.argv[3]}, made_by
PY
    passed "dataset_description.json names the container"
}

section_singularity() {
    say "singularity: other environment, host's HOME that does not exist, any uid"
    "$BIN/python" tests/container/singularity_environment.py singularity.def "$WORK/docker.env" \
        4321 >"$WORK/singularity.env"
    mkdir -p "$WORK/out2"
    chown 4321:4321 "$WORK/out2"
    in_image 4321 "$WORK/singularity.env" --setenv HOME /home/nobody-here \
        --setenv USER nobody-here --ro-bind "$WORK/data/raw" /data --bind "$WORK/out2" /out \
        -- bids_xai /data /out participant --sloppy --nprocs 2 --output-spaces MNI152NLin2009aSym:res-4
    "$BIN/python" - "$WORK/out2/dataset_description.json" "singularity" "bids_xai:$VERSION" <<'PY'
import json, sys
made_by = json.load(open(sys.argv[1]))["GeneratedBy"][0]
assert made_by["Container"] == {"Type": sys.argv[2], "Tag": sys.argv[3]}, made_by
PY
    for folder in "$WORK"/reference/sub-*/; do
        same_files "$folder" "$WORK/out2/$(basename "$folder")" || failed "other results than Docker's"
    done
    passed "same maps to the byte, named as singularity's"
}

section_standalone_recipe() {
    say "singularity-standalone.def"
    ALONE=$(store from "$BASE")
    DOCKER_ROOT=$ROOT
    ROOT=$(store mount "$ALONE")
    standalone "$ROOT" "$ALONE"
    open_way "$ROOT"
    printf 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' >"$WORK/alone-base.env"
    "$BIN/python" tests/container/singularity_environment.py singularity-standalone.def \
        "$WORK/alone-base.env" 4321 "$ROOT/91.sh" >"$WORK/alone.env"
    mkdir -p "$WORK/out4"
    chown 4321:4321 "$WORK/out4"
    in_image 4321 "$WORK/alone.env" --setenv HOME /home/nobody-here --ro-bind "$WORK/data/raw" /data \
        --bind "$WORK/out4" /out -- bids_xai /data /out participant --sloppy --nprocs 2 \
        --output-spaces MNI152NLin2009aSym:res-4 --participant-label 01 02
    grep -q '"Tag": "bids_xai:' "$WORK/out4/dataset_description.json" || failed "container not named"
    for label in 01 02; do
        same_files "$WORK/reference/sub-$label" "$WORK/out4/sub-$label" || failed "other results than Docker's"
    done
    ROOT=$DOCKER_ROOT
    store rm "$ALONE" >/dev/null
    passed "built from its own steps, same maps to the byte"
}

section_array() {
    say "eight array tasks into one folder, five times over"
    for round in 1 2 3 4 5; do
        rm -rf "$WORK/out3"
        mkdir "$WORK/out3"
        chown 1000:1000 "$WORK/out3"
        jobs=()
        for label in 01 02 03 04 05 06 07 08; do
            in_image 1000 "$WORK/docker.env" --ro-bind "$WORK/data/raw" /data --bind "$WORK/out3" /out -- \
                bids_xai /data /out participant --participant-label $label --sloppy --work-dir \
                "/out/work-$label" --output-spaces MNI152NLin2009aSym:res-4 >"$WORK/task-$label.log" 2>&1 &
            jobs+=($!)
        done
        for job in "${jobs[@]}"; do wait "$job" || { cat "$WORK"/task-*.log; failed "a task"; }; done
        for label in 01 02 03 04 05 06 07 08; do
            same_files "$WORK/reference/sub-$label" "$WORK/out3/sub-$label" \
                || failed "round $round: sub-$label differs"
        done
        "$BIN/python" -m json.tool "$WORK/out3/dataset_description.json" >/dev/null
        if find "$WORK/out3" -name '.*.tmp*' | grep -q .; then failed "half-written files"; fi
    done
    passed "no error, nothing lost or half-written"
}

for section in ${SECTIONS:-labels docker singularity standalone_recipe array}; do "section_$section"; done

say "container test passed"
