# emer-edge on a Jetson with JetPack 7 (Thor; from 7.2 on Orin, too), with TensorRT. On the board, from the repository's folder:
#   docker build -f deploy/jetpack7.Dockerfile -t emer-edge .
#   docker run --rm --runtime nvidia --device /dev/video0 --device /dev/ttyUSB0 \
#     --group-add "$(getent group video | cut -d: -f3)" --group-add "$(getent group render | cut -d: -f3)" \
#     --group-add "$(getent group dialout | cut -d: -f3)" \
#     -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro -v /etc/nvpmodel.conf:/etc/nvpmodel.conf:ro \
#     -v /var/lib/nvpmodel:/var/lib/nvpmodel:ro -v emer-edge-engines:/var/cache/emer-edge \
#     -v "$PWD/emert-int8.emer:/bundle.emer:ro" emer-edge run /bundle.emer --camera 0 --tracker /dev/ttyUSB0 --json --metrics :9108
# Groups by number, because the image's have other ones than the board's; without video and render CUDA answers with error 801.
# The volume keeps the engines that are built at the first run. A CSI camera needs -v /tmp/argus_socket:/tmp/argus_socket, too.

# JetPack 7 runs the images of ARM servers (SBSA): CUDA with nvcc, and TensorRT 10.13 from NVIDIA's repository in them.
ARG CUDA=13.0.1-devel-ubuntu24.04
FROM nvcr.io/nvidia/cuda:${CUDA} AS build
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends build-essential python3-dev python3-venv && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY emer_edge ./emer_edge
# System packages show through, so that TensorRT's Python package and the system's OpenCV are found; pycuda compiles with nvcc.
RUN python3 -m venv --system-site-packages /opt/emer-edge && \
    PATH=/usr/local/cuda/bin:$PATH /opt/emer-edge/bin/pip install --no-cache-dir '.[jetson,metrics,mqtt]'

FROM nvcr.io/nvidia/cuda:${CUDA}
ARG TENSORRT=10.13.*+cuda13.0
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends "libnvinfer10=${TENSORRT}" "libnvinfer-plugin10=${TENSORRT}" \
    "libnvonnxparsers10=${TENSORRT}" "python3-libnvinfer=${TENSORRT}" gstreamer1.0-plugins-bad gstreamer1.0-plugins-good \
    gstreamer1.0-tools python3-opencv && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/emer-edge /opt/emer-edge
ENV PATH=/opt/emer-edge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/var/cache/emer-edge
RUN useradd --system --uid 10001 --no-create-home emer-edge && \
    install --directory --owner=10001 --mode=0700 /var/cache/emer-edge
USER 10001
# Healthy while results come at their pace. It asks --metrics :9108: a run without that, and any other command, needs
# docker run --no-healthcheck. A first run builds engines for minutes, which the start period covers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m CMD ["python3", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 9108, timeout=3); c.request('GET', '/healthz'); a = c.getresponse(); print(a.read().decode()); sys.exit(a.status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["emer-edge"]
CMD ["--help"]
