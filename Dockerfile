# syntax=docker/dockerfile:1
# The studio for machines with NVIDIA cards; without one it works on the processor.
#   docker build -t atelier .
#   docker build -t atelier:runpod --target runpod .
# What the steps do stands in docs/container.md; tests/container runs them in their order.

FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

# Only the base of CUDA: the libraries come with PyTorch, at the versions that it was built for.
FROM nvidia/cuda:13.0.2-base-ubuntu24.04 AS base
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tini \
    && rm -rf /var/lib/apt/lists/* \
    && (userdel --remove ubuntu || true) \
    && useradd --uid 1000 --create-home atelier

# Python and all dependencies, which change seldom: nothing here depends on the studio's own files.
FROM base AS dependencies
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_PYTHON_INSTALL_DIR=/opt/python \
    UV_PYTHON_PREFERENCE=only-managed \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    VIRTUAL_ENV=/opt/atelier
WORKDIR /build
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv --python 3.11 /opt/atelier \
    && uv pip install --requirements pyproject.toml --extra mcp --extra postgresql \
        --constraints constraints.txt

# The studio itself as a wheel.
FROM dependencies AS program
COPY README.md NOTICE app.py ./
COPY LICENSES LICENSES
COPY assets assets
COPY studio studio
COPY tabs tabs
RUN --mount=type=cache,target=/root/.cache/uv \
    uv build --wheel --out-dir /wheels

FROM base AS studio-root
COPY --from=dependencies /opt/python /opt/python
COPY --from=dependencies /opt/atelier /opt/atelier
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=program,source=/wheels,target=/wheels \
    --mount=type=tmpfs,target=/root/.cache \
    VIRTUAL_ENV=/opt/atelier UV_COMPILE_BYTECODE=1 uv pip install --no-deps /wheels/*.whl \
    && install -d -o atelier -g atelier /data
ENV PATH=/opt/atelier/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CONTAINER_USER=1000 \
    ATELIER_HOST=0.0.0.0 \
    ATELIER_DATA_DIR=/data
WORKDIR /opt/atelier
EXPOSE 7860
# While it starts the page says so, but only the studio itself is healthy.
HEALTHCHECK --interval=30s --timeout=10s --start-period=3m --start-interval=2s --retries=3 \
    CMD ["python", "-m", "studio.container.health"]
# SIGTERM ends it in order, within ATELIER_STOP_SECONDS (20).
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "python", "-m", "studio.container.start"]

# RunPod's volumes belong to root, and there is no telling it whom to be: it begins as root, makes
# its folder on the volume and becomes CONTAINER_USER before anything else.
FROM studio-root AS runpod
ENV ATELIER_DATA_DIR=/workspace/atelier \
    ATELIER_TRUSTED_PROXIES=10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16 \
    ATELIER_IDLE_COMMAND="python -m studio.container.stop_pod" \
    ATELIER_LOG_FORMAT=json

FROM studio-root AS studio
VOLUME /data
USER 1000:1000
