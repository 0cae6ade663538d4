#!/bin/sh
# Steps of the images, for Dockerfile and singularity-standalone.def. In the folder of pyproject.toml:
#   install.sh python        Debian's Python where there is none
#   install.sh environment   /opt/bids_xai with what constraints.txt pins; another pair of torch and
#                            torchvision by TORCH_VERSION, TORCHVISION_VERSION, TORCH_INDEX_URL
#   install.sh package       bids_xai itself
#   install.sh templates     what is missing of $TEMPLATES, into $TEMPLATEFLOW_HOME
set -eu
PATH=/opt/bids_xai/bin:$PATH

debian() {
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    rm -rf /var/lib/apt/lists/*
}

python() {
    command -v python3 >/dev/null || debian python3
}

environment() {
    python3 -c "import ensurepip" 2>/dev/null || debian python3-venv
    python3 -m venv /opt/bids_xai
    sed -e "${TORCH_VERSION:+s/^torch==.*/torch==$TORCH_VERSION/}" \
        -e "${TORCHVISION_VERSION:+s/^torchvision==.*/torchvision==$TORCHVISION_VERSION/}" \
        constraints.txt >pinned.txt
    python3 - >requirements.txt <<PY
import tomllib
with open("pyproject.toml", "rb") as stream:
    print(*tomllib.load(stream)["project"]["dependencies"], sep="\n")
PY
    pip install --no-cache-dir ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
        -c pinned.txt -r requirements.txt
}

package() {
    pip install --no-cache-dir -c pinned.txt .
    rm -rf build
    pip check
}

templates() {
    TEMPLATEFLOW_AUTOUPDATE=off python3 -m bids_xai.templates ${TEMPLATES:-}
    chmod -R a+rX "$TEMPLATEFLOW_HOME"
}

"$1"
