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
# No step takes for ever: each has a bound, about ten times what it takes here, and the check ends with a sentence that names the
# step. A test that has not ended after ten minutes has failed, and the next one begins.
#
# What it shows: the wheel installs on arm64, and parses, decodes and computes as on x86. What it does not: speed, TensorRT, cameras.
set -euo pipefail

case $# in 0 | 1 | 3) ;; *)
    sed -n '2,19s/^# \{0,1\}//p' "$0"
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
registered='' job='' doing='the start' over=''

finish() {
    status=$?
    [ -z "$job" ] || kill "$job" 2> /dev/null || true
    for each in /proc/[0-9]*; do # what still runs in there, and would keep the mounts busy
        if [ "$(readlink "$each/root")" = "$root" ]; then kill -KILL "${each#/proc/}" 2> /dev/null || true; fi
    done
    for each in share dev proc; do
        if mountpoint -q "$root/$each"; then umount -R "$root/$each" || umount --lazy "$root/$each"; fi
    done
    if [ -n "$registered" ]; then echo -1 > /proc/sys/fs/binfmt_misc/qemu-aarch64; fi
    [ -n "$over" ] || printf 'arm64_check: ended with code %s in step %s; what was done lies in %s\n' "$status" "$doing" "$log" >&2
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

within() { # MINUTES COMMAND...: its exit code; after those minutes it is stopped, which is said, and is code 124
    local minutes=$1 code=0 began=$SECONDS
    shift
    timeout --kill-after=20 "${minutes}m" "$@" & # in the background, so that a signal ends the check at once
    job=$!
    wait "$job" || code=$?
    job=''
    if [ $code -ne 0 ] && [ $((SECONDS - began)) -ge $((60 * minutes)) ]; then
        code=124
        step "stopped: step $doing had not ended after $minutes minutes" >&2
    fi
    return $code
}

inside() { # MINUTES COMMAND: in the userland, as root, with none of this machine's environment
    within "$1" nice chroot "$root" env -i PATH=/opt/env/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "${one_thread[@]}" sh -euc "$2"
}

step() { # TITLE: on the terminal and in the log, with the minutes since the start
    case $1 in [0-9]*) doing=$1 ;; esac
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
    # A userland that is half there can't be gone on with; debootstrap leaves it with file systems in it.
    for each in sys proc dev; do ! mountpoint -q "$root/$each" || umount -R "$root/$each"; done
    rm -rf --one-file-system "$root"
    within 60 nice debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        bookworm "$root" "${mirror:-http://deb.debian.org/debian}"
    within 120 nice chroot "$root" /debootstrap/debootstrap --second-stage
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
    printf 'chroot: uname -m %s, Debian %s\n' "$(inside 2 'uname -m')" "$(cat "$root/etc/debian_version")"
} | tee -a "$log"

step "3. The wheel, with its dependencies for aarch64"
rm -rf "$work/wheel"
within 10 "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheel" "$source_folder"
rm -rf "$share/wheel" "$share/tests"
cp -r "$work/wheel" "$share/wheel"
[ -e "$root/opt/env" ] || inside 30 "python3 -m venv /opt/env"
others="'opencv-python-headless>=4.9,<6' 'mcap>=1.2,<2' pytest pytest-timeout hypothesis xlsxwriter"
quietly="--quiet --disable-pip-version-check"
install="pip install $quietly --no-index --find-links /share/wheels /share/wheel/*.whl $others"
inside 120 "mkdir -p /share/wheels
    $install 2> /dev/null || { pip download $quietly --dest /share/wheels /share/wheel/*.whl $others; $install; }
    pip install $quietly --no-deps --force-reinstall /share/wheel/*.whl"
(cd "$share/wheels" && sha256sum ./*) | tee -a "$log"

step "4. Both bundles, and a recording of $seconds s with its lossless face crops"
if [ $# -ne 3 ]; then
    for precision in fp32 int8; do
        [ -e "$work/$precision.emer" ] || within 60 nice env -C "$work" "$python" -m emer_edge export --precision $precision --output $precision.emer
    done
fi
rm -rf "$share"/*.emer
cp -r "$fp32" "$share/fp32.emer"
cp -r "$int8" "$share/int8.emer"
# A replay of the crops: OpenCV decodes JPEG and resizes with other roundings on arm64, by up to 2 of 255, and finds the face
# a fraction of a pixel elsewhere; the networks are what is compared.
[ -e "$share/visit/tracker.tsv" ] || within 30 "$python" -m emer_edge simulate recording "$share/visit" --seconds "$seconds"
if [ ! -e "$share/visit.mcap" ]; then
    within 30 nice env -C "$share" "${one_thread[@]}" "$python" -m emer_edge run fp32.emer --camera visit/video.avi --tracker visit/tracker.tsv \
        --offset-ms 0 --pace fast --json --record visit.mcap --record-video --consent-id synthetic > /dev/null
fi

# shellcheck disable=SC2016
versions='import json, platform; from importlib.metadata import version
names = ("emer-edge", "numpy", "onnxruntime", "msgspec")
import cv2
print(json.dumps({"machine": platform.machine(), "python": platform.python_version(), "opencv": cv2.__version__, **{n: version(n) for n in names}}))'
"$python" -c "$versions" > "$share/versions-x86.json"
printf '%s\n' "$versions" > "$share/versions.py"
inside 10 "python /share/versions.py > /share/versions-arm64.json"
cat "$share"/versions-*.json | tee -a "$log"

step "5. The replay, here and there"
arguments="--camera visit.mcap --tracker visit.mcap --pace fast --engine onnxruntime --json"
for precision in fp32 int8; do
    # shellcheck disable=SC2086
    within 30 nice env -C "$share" "${one_thread[@]}" "$python" -m emer_edge run $precision.emer $arguments > "$share/x86-$precision.jsonl"
    inside 90 "cd /share && emer-edge run $precision.emer $arguments > arm64-$precision.jsonl"
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
    tested=0
    inside 90 "cd /share && EMER_EDGE_TEST_BUNDLE=/share/random.emer python -m pytest -v -m 'not slow' -p no:cacheprovider -W default \
        --timeout=600 --continue-on-collection-errors --junitxml=tests.xml $runnable" > >(tee "$share/tests.log") || tested=$?
    if [ $tested -gt 1 ]; then # 1: some failed, and the comparison says which
        step "the tests did not end (code $tested); the last line of $share/tests.log names the test"
        exit 1
    fi
fi

step "7. The comparison"
cd "$source_folder"
status=0
"$python" -m benchmarks.arm64_compare "$share" | tee -a "$log" || status=$?
step "done"
over=yes
cp "$log" benchmarks/results/arm64.log
exit $status
