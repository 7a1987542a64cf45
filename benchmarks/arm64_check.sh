#!/bin/bash
# The device path on arm64 without a board: a Debian userland under QEMU, the wheel with its real aarch64 dependencies, the runtime's
# tests, and a replay of a recording compared with the same replay on this machine.
#
#   sudo benchmarks/arm64_check.sh [WORK [FP32.emer INT8.emer]]
#
# WORK (arm64-check/ by default) holds two gigabytes and is reused: what is there is not made again, the bundles of the demo
# weights included. As root, because of chroot and mount; needs Debian's qemu-user-static and debootstrap. PYTHON names this
# machine's Python with emer-edge installed, tests included (.venv's by default).
# It writes benchmarks/results/arm64.json, and what ran where, with the wheels' hashes and times, to benchmarks/results/arm64.log.
#   SECONDS_REPLAYED=64          length of the recording
#   TESTS="tests/core ..."       what is tested; empty: nothing. Tests that measure time fail under emulation and are left out
#
# What it shows: the wheel installs on arm64, and parses, decodes and computes as on x86. What it does not: speed, TensorRT, cameras.
set -euo pipefail

case $# in 0 | 1 | 3) ;; *)
    sed -n '2,16s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
[ "$(id -u)" -eq 0 ] || { echo "arm64_check: chroot and mount need root: sudo $0 $*" >&2; exit 2; }
for tool in qemu-aarch64-static debootstrap; do
    command -v "$tool" > /dev/null || { echo "arm64_check: no $tool: apt install qemu-user-static debootstrap" >&2; exit 2; }
done
source_folder=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$source_folder/.venv/bin/python}
work=${1:-$source_folder/arm64-check}
mkdir -p "$work"
work=$(cd "$work" && pwd)
if [ $# -eq 3 ]; then
    fp32=$(cd "$2" && pwd)
    int8=$(cd "$3" && pwd)
else
    fp32=$work/fp32.emer int8=$work/int8.emer
fi
root=$work/root share=$work/share log=$work/arm64.log
seconds=${SECONDS_REPLAYED:-64}
tests=${TESTS-tests/core tests/signals tests/metrics tests/bundle tests/runtime/clock tests/runtime/trackers \
tests/runtime/test_board.py tests/runtime/test_columns.py tests/runtime/engines/test_engines.py tests/runtime/test_evidence.py \
tests/runtime/test_session.py tests/offline/test_predict.py}
one_thread=(OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1)
registered=

finish() {
    for each in share dev proc; do
        if mountpoint -q "$root/$each"; then umount -R "$root/$each"; fi
    done
    if [ -n "$registered" ]; then echo -1 > /proc/sys/fs/binfmt_misc/qemu-aarch64; fi
}
trap finish EXIT

inside() { # COMMAND: in the userland, as root, with none of this machine's environment
    nice chroot "$root" env -i PATH=/opt/env/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "${one_thread[@]}" sh -euc "$1"
}

step() { # TITLE: on the terminal and in the log, with the minutes since the start
    printf '%4d:%02d  %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1" | tee -a "$log"
}

: > "$log"
step "1. QEMU for aarch64 programs"
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
if [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then # F: opened now, so that it is found inside a chroot, too
    printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$(command -v qemu-aarch64-static)"':F' \
        > /proc/sys/fs/binfmt_misc/register
    registered=yes
fi

step "2. Debian for arm64 in a chroot"
if [ ! -e "$root/.ready" ]; then
    mirror=$(sed -nE 's/^(URIs: |deb )(\[[^]]*\] )?(https?:[^ ]+).*/\3/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | head -1 || true)
    nice debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        bookworm "$root" "${mirror:-http://deb.debian.org/debian}"
    nice chroot "$root" /debootstrap/debootstrap --second-stage
    touch "$root/.ready"
fi
cp /etc/hosts /etc/resolv.conf "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
[ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
# Slaves, so that unmounting them here leaves the machine's own alone. No /sys: ONNX Runtime's cpuinfo reads the x86 host's
# there and crashes; without it, it warns.
for each in proc dev; do
    mountpoint -q "$root/$each" || { mount --rbind "/$each" "$root/$each" && mount --make-rslave "$root/$each"; }
done
mkdir -p "$share" "$root/share"
mountpoint -q "$root/share" || mount --bind "$share" "$root/share"
{
    qemu-aarch64-static --version | head -1
    printf 'here:   uname -m %s\n' "$(uname -m)"
    printf 'chroot: uname -m %s, Debian %s\n' "$(inside 'uname -m')" "$(cat "$root/etc/debian_version")"
} | tee -a "$log"

step "3. The wheel, with its dependencies for aarch64"
rm -rf "$work/wheel"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheel" "$source_folder"
rm -rf "$share/wheel" "$share/tests"
cp -r "$work/wheel" "$share/wheel"
[ -e "$root/opt/env" ] || inside "python3 -m venv /opt/env"
others="'opencv-python-headless>=4.9,<6' 'mcap>=1.2,<2' pytest hypothesis xlsxwriter"
inside "pip download --quiet --disable-pip-version-check --dest /share/wheels /share/wheel/*.whl $others
    pip install --quiet --disable-pip-version-check --no-index --find-links /share/wheels /share/wheel/*.whl $others
    pip install --quiet --disable-pip-version-check --no-deps --force-reinstall /share/wheel/*.whl"
(cd "$share/wheels" && sha256sum ./*) | tee -a "$log"

step "4. Both bundles, and a recording of $seconds s with its lossless face crops"
if [ $# -ne 3 ]; then
    for precision in fp32 int8; do
        [ -e "$work/$precision.emer" ] || (cd "$work" && nice "$python" -m emer_edge export --precision $precision --output $precision.emer)
    done
fi
rm -rf "$share"/*.emer
cp -r "$fp32" "$share/fp32.emer"
cp -r "$int8" "$share/int8.emer"
# A replay of the crops: OpenCV decodes JPEG and resizes with other roundings on arm64, by up to 2 of 255, and finds the face
# a fraction of a pixel elsewhere; the networks are what is compared.
[ -e "$share/visit/tracker.tsv" ] || "$python" -m emer_edge simulate recording "$share/visit" --seconds "$seconds"
if [ ! -e "$share/visit.mcap" ]; then
    (cd "$share" && env "${one_thread[@]}" nice "$python" -m emer_edge run fp32.emer --camera visit/video.avi --tracker visit/tracker.tsv \
        --offset-ms 0 --pace fast --json --record visit.mcap --record-video --consent-id synthetic > /dev/null)
fi

# shellcheck disable=SC2016
versions='import json, platform; from importlib.metadata import version
names = ("emer-edge", "numpy", "onnxruntime", "msgspec")
import cv2
print(json.dumps({"machine": platform.machine(), "python": platform.python_version(), "opencv": cv2.__version__, **{n: version(n) for n in names}}))'
"$python" -c "$versions" > "$share/versions-x86.json"
printf '%s\n' "$versions" > "$share/versions.py"
inside "python /share/versions.py > /share/versions-arm64.json"
cat "$share"/versions-*.json | tee -a "$log"

step "5. The replay, here and there"
arguments="--camera visit.mcap --tracker visit.mcap --pace fast --engine onnxruntime --json"
for precision in fp32 int8; do
    # shellcheck disable=SC2086
    (cd "$share" && env "${one_thread[@]}" nice "$python" -m emer_edge run $precision.emer $arguments > x86-$precision.jsonl)
    inside "cd /share && emer-edge run $precision.emer $arguments > arm64-$precision.jsonl"
done

step "6. The runtime's tests"
rm -f "$share/tests.xml"
if [ -n "$tests" ]; then
    cp -r "$source_folder/tests" "$share/tests"
    cp "$source_folder/pyproject.toml" "$share/"
    rm -rf "$share/random.emer"
    PYTHONPATH=$source_folder "$python" "$source_folder/tests/random_bundle.py" "$share/random.emer"
    # shellcheck disable=SC2086
    runnable=$(cd "$share" && find $tests -name 'test_*.py' -print0 | xargs -0 grep -LE '^(import|from) (torch|onnx|pandas|scipy|benchmarks|emer_edge\.(export|model|training))( |\.|$)' | tr '\n' ' ')
    inside "cd /share && EMER_EDGE_TEST_BUNDLE=/share/random.emer python -m pytest -m 'not slow' -p no:cacheprovider -W default \
        --continue-on-collection-errors --junitxml=tests.xml $runnable" || true # the comparison says what failed
fi

step "7. The comparison"
cd "$source_folder"
status=0
"$python" -m benchmarks.arm64_compare "$share" | tee -a "$log" || status=$?
step "done"
cp "$log" benchmarks/results/arm64.log
exit $status
