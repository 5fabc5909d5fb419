# The image holds one environment, installed from the lock, with its kernels already compiled.
# It runs as a user without rights, from a read-only root, with no network.

# This file names a tag. Who needs the same bytes every time passes a digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# Kernels are looked up by the processor they were compiled for. So that those compiled here are
# found on another machine, both stages name a processor: x86-64-v3 is every server since 2015
# (AVX2). numba takes the features from the name where the list of features is empty.
FROM ${PYTHON_IMAGE} AS python-amd64
ENV NUMBA_CPU_NAME=x86-64-v3 \
    NUMBA_CPU_FEATURES=""

FROM ${PYTHON_IMAGE} AS python-arm64
ENV NUMBA_CPU_NAME=generic \
    NUMBA_CPU_FEATURES=""

# One of the two stages above, whose image has its tag.
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
# The cache goes beside the installed package, which is where a read-only run looks first.
RUN pip --python /opt/batonics/bin/python install --no-deps --no-build-isolation /build \
    && /opt/batonics/bin/python -m batonics.jobs.compile_kernels

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
# A command that ends has no health to ask for.
HEALTHCHECK NONE
ENTRYPOINT ["batonics"]
CMD ["--help"]
