# docker build -t bids_xai .        (more: docs/containers.md)
# Stages: python, environment and package, templates, and the image without what built them.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE} AS python

COPY container/install.sh /opt/install.sh
RUN sh /opt/install.sh python


FROM python AS build
# Empty arguments: the pair that constraints.txt pins, from PyPI. Another pair, for example CPU only:
# TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG TORCH_VERSION=""
ARG TORCHVISION_VERSION=""
ARG TORCH_INDEX_URL=""
WORKDIR /opt/src
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
RUN sh /opt/install.sh environment
COPY bids_xai bids_xai
RUN sh /opt/install.sh package


# Templates of TemplateFlow, besides the embedded MNI152NLin2009aSym. What lies in a folder
# templateflow/ beside this file is copied; what is still missing is downloaded.
# None at all: --build-arg TEMPLATES=""
FROM build AS templates
ARG TEMPLATES="MNI152NLin2009cAsym:res-1 MNI152NLin2009cAsym:res-2"
ENV TEMPLATEFLOW_HOME=/opt/templateflow
COPY LICENSE templateflow* /opt/templateflow/
RUN rm /opt/templateflow/LICENSE && sh /opt/install.sh templates


FROM python
COPY --from=build /opt/bids_xai /opt/bids_xai
COPY --from=templates /opt/templateflow /opt/templateflow

# Nothing is written outside /tmp and the output folder: any user, read-only, without a network.
ARG VERSION=dev
ARG REVISION=unknown
ENV PATH=/opt/bids_xai/bin:$PATH \
    HOME=/tmp \
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
    OMP_WAIT_POLICY=PASSIVE \
    GOMP_SPINCOUNT=3000 \
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
