# emer-edge on an x86 PC, with ONNX Runtime on the CPU. From the repository's folder:
#   docker build -f deploy/x86.Dockerfile -t emer-edge .
#   docker run --rm --device /dev/video0 --device /dev/ttyUSB0 --read-only --tmpfs /tmp \
#     --group-add "$(getent group video | cut -d: -f3)" --group-add "$(getent group dialout | cut -d: -f3)" \
#     -v "$PWD/emert-int8.emer:/bundle.emer:ro" emer-edge run /bundle.emer --camera 0 --tracker /dev/ttyUSB0 --json --metrics :9108
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY emer_edge ./emer_edge
# The headless OpenCV needs no display's libraries, which the extra `desktop` would.
RUN python -m venv /opt/emer-edge && \
    /opt/emer-edge/bin/pip install --no-cache-dir '.[metrics,mqtt]' 'opencv-python-headless>=4.9,<6' && \
    /opt/emer-edge/bin/pip uninstall --yes pip && \
    find /opt/emer-edge -name __pycache__ -prune -exec rm -r {} +

FROM python:3.12-slim
COPY --from=build /opt/emer-edge /opt/emer-edge
ENV PATH=/opt/emer-edge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/var/cache/emer-edge
RUN useradd --system --uid 10001 --no-create-home emer-edge && \
    install --directory --owner=10001 --mode=0700 /var/cache/emer-edge
USER 10001
# Healthy while results come at their pace. It asks --metrics :9108: a run without that, and any other command, needs
# docker run --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python3", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 9108, timeout=3); c.request('GET', '/healthz'); a = c.getresponse(); print(a.read().decode()); sys.exit(a.status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["emer-edge"]
CMD ["--help"]
