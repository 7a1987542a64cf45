# emer-edge on a Jetson with JetPack 6, with TensorRT. On the board, from the repository's folder:
#   docker build -f deploy/l4t.Dockerfile -t emer-edge .
#   docker run --rm --runtime nvidia --device /dev/video0 --device /dev/ttyUSB0 --group-add video --group-add dialout \
#     -v emer-edge-engines:/var/cache/emer-edge -v "$PWD/emert-int8.emer:/bundle.emer:ro" \
#     emer-edge run /bundle.emer --camera 0 --tracker /dev/ttyUSB0 --json
# The volume keeps the engines that are built at the first run. A CSI camera needs -v /tmp/argus_socket:/tmp/argus_socket, too.

# CUDA with nvcc, and TensorRT with its Python package; r36.4.0 is JetPack 6.1, take the release that your board runs.
ARG L4T=r36.4.0
FROM nvcr.io/nvidia/l4t-jetpack:${L4T} AS build
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends build-essential python3-dev python3-venv && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY emer_edge ./emer_edge
# System packages show through, so that JetPack's TensorRT and the system's OpenCV are found; pycuda compiles with nvcc.
RUN python3 -m venv --system-site-packages /opt/emer-edge && \
    PATH=/usr/local/cuda/bin:$PATH /opt/emer-edge/bin/pip install --no-cache-dir '.[jetson]'

FROM nvcr.io/nvidia/l4t-jetpack:${L4T}
# Ubuntu's OpenCV has GStreamer, which CSI cameras need; PyPI's wheels do not.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends gstreamer1.0-plugins-good gstreamer1.0-tools python3-opencv && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/emer-edge /opt/emer-edge
ENV PATH=/opt/emer-edge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/var/cache/emer-edge
RUN useradd --system --uid 10001 --no-create-home emer-edge && \
    install --directory --owner=10001 --mode=0700 /var/cache/emer-edge
USER 10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["emer-edge"]
CMD ["--help"]
