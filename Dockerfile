# The image contains one environment, installed from the lock, with compiled kernels.
# It runs as an unprivileged user, with a read-only root and without a network.

# This file names a tag. For reproducible builds, pass a digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The kernel cache is keyed by the processor that kernels were compiled for. Both stages name a
# processor, so that other machines find the kernels compiled here: every server since 2015 is
# x86-64-v3 (AVX2). With an empty list of features, numba derives the features from the name.
FROM ${PYTHON_IMAGE} AS python-amd64
ENV NUMBA_CPU_NAME=x86-64-v3 \
    NUMBA_CPU_FEATURES=""

FROM ${PYTHON_IMAGE} AS python-arm64
ENV NUMBA_CPU_NAME=generic \
    NUMBA_CPU_FEATURES=""

# This selects one of the two stages above, which name the tag.
# hadolint ignore=DL3006
FROM python-${TARGETARCH} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/batonics
COPY requirements.lock /build/
RUN pip --python /opt/batonics/bin/python install \
        --require-hashes --only-binary :all: --requirement /build/requirements.lock
COPY pyproject.toml README.md LICENSE /build/
COPY batonics /build/batonics
# The cache is written beside the installed package, where a read-only run looks first.
RUN pip --python /opt/batonics/bin/python install --no-deps --no-build-isolation /build \
    && /opt/batonics/bin/python -m batonics.jobs.kernel_compilation

# hadolint ignore=DL3006
FROM python-${TARGETARCH} AS run
LABEL org.opencontainers.image.title="batonics" \
      org.opencontainers.image.description="Rebuilds limit order books from market-by-order data" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin batonics
COPY --from=build /opt/batonics /opt/batonics
ENV PATH=/opt/batonics/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
# A command that ends has no health check.
HEALTHCHECK NONE
ENTRYPOINT ["batonics"]
CMD ["--help"]
