# docker build -t bids_xai .        (more: docs/containers.md)
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

# A base without Python (a plain bookworm) gets Debian's 3.11.
RUN if ! command -v python3; then \
        apt-get update && apt-get install -y --no-install-recommends python3 python3-venv \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && python3 -m venv /opt/bids_xai \
    && install -d -m 1777 /opt/templateflow

# The environment, a layer of its own. Empty arguments: the pair that constraints.txt pins, from
# PyPI. Another pair, for example CPU only: TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG TORCH_VERSION=""
ARG TORCHVISION_VERSION=""
ARG TORCH_INDEX_URL=""
ENV PATH=/opt/bids_xai/bin:$PATH
COPY pyproject.toml constraints.txt README.md LICENSE /opt/src/
WORKDIR /opt/src
RUN sed -i -e "${TORCH_VERSION:+s/^torch==.*/torch==$TORCH_VERSION/}" \
        -e "${TORCHVISION_VERSION:+s/^torchvision==.*/torchvision==$TORCHVISION_VERSION/}" \
        constraints.txt \
    && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && pip install --no-cache-dir ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
        -c constraints.txt -r requirements.txt

COPY bids_xai bids_xai
RUN pip install --no-cache-dir -c constraints.txt . && rm -rf build && pip check

# Nothing is written outside /tmp and the output folder: any user, read-only, without a network.
ARG VERSION=dev
ARG REVISION=unknown
ENV HOME=/tmp \
    LANG=C.UTF-8 \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=off \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/tmp/cache \
    NIPYPE_CONFIG_DIR=/tmp/nipype \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONNOUSERSITE=1 \
    NO_ET=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 \
    CUBLAS_WORKSPACE_CONFIG=:4096:8 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    BIDS_XAI_CONTAINER=docker:bids_xai:${VERSION}
LABEL org.opencontainers.image.title="bids_xai" \
      org.opencontainers.image.description="A BIDS App that makes image classifiers of brain disease explain themselves" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /tmp
USER 1000:1000
ENTRYPOINT ["bids_xai"]
