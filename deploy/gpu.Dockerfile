# HIP-35's image: every service and the engine on CUDA. Build from the root of the repository:
#   docker build -f deploy/gpu.Dockerfile -t hanzoai/studio:latest .
# The CUDA wheel of torch brings the CUDA runtime along as wheels; the machine brings the driver.
FROM python:3.11-slim-bookworm AS build
ARG EXTRAS=embedded,moderation,worker
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/studio
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY libs libs
COPY services services
COPY web web
COPY deploy/backend.py deploy/build_site.py deploy/
# The build of the wheel makes the Painter page, with the Node of a wheel that stays behind.
# A build of torch without CUDA would start, and leave every GPU idle.
RUN /opt/studio/bin/pip install ".[${EXTRAS}]" \
    && /opt/studio/bin/python -c "import torch; assert torch.version.cuda, torch.__version__" \
    && /opt/studio/bin/python -m compileall -q /opt/studio/lib \
    && /opt/studio/bin/pip uninstall --yes pip

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Hanzo Studio" \
      org.opencontainers.image.ref.name="hanzoai/studio:latest" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 studio \
    && useradd --uid 10001 --gid studio --create-home studio \
    && install -d -o studio -g studio /models /node_packs /output /workflows /var/lib/studio
COPY --from=build /opt/studio /opt/studio
# The two NVIDIA variables are how its container runtime is asked for the driver's libraries.
ENV PATH=/opt/studio/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    STUDIO_HOME=/var/lib/studio \
    STUDIO_WORKER_MODELS=/models \
    STUDIO_WORKER_NODE_PACKS=/node_packs \
    STUDIO_GATEWAY_HOST=0.0.0.0 \
    STUDIO_PAINTER_HOST=0.0.0.0 \
    STUDIO_LOG=json
USER 10001:10001
WORKDIR /var/lib/studio
VOLUME /var/lib/studio
EXPOSE 8188 3035
# Whichever service it is: the API answers on 8188, the others on STUDIO_HEALTH_PORT.
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('STUDIO_HEALTH_PORT') or 8188}/healthz\", timeout=4)"]
ENTRYPOINT ["studio"]
CMD ["up"]
