"""The three lines that the project is known by, verbatim, with nothing else said, in a folder with nothing in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from runtime_inputs import scene

from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator

ROOT = Path(__file__).parents[2]

# A /dev of its own, seen by one process alone: what programs expect there, and the two devices of the line.
PRIVATE_DEV = """set -e
tracker=$1; shift
private=$(mktemp -d)
mount -t tmpfs tmpfs "$private"
for node in null zero full random urandom; do : > "$private/$node"; mount --bind "/dev/$node" "$private/$node"; done
mkdir "$private/pts" "$private/shm"
mount --rbind /dev/pts "$private/pts"
mount --rbind /dev/shm "$private/shm"
ln -s pts/ptmx "$private/ptmx"
ln -s /proc/self/fd "$private/fd"
: > "$private/ttyUSB0"; mount --bind "$tracker" "$private/ttyUSB0"
if [ -e /dev/video0 ]; then : > "$private/video0"; mount --bind /dev/video0 "$private/video0"
else : > "$private/video0"; mount --bind /dev/null "$private/video0"; fi
mount --rbind "$private" /dev
exec "$@"
"""

# Where there is no camera 0 (v4l2loopback makes one), the call that opens it is replaced, and nothing else: a module
# `cv2` before the real one loads that, and gives it another VideoCapture.
CAPTURE = """
import os, sys, time
import numpy as np

path, own = sys.path[:], os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [place for place in path if os.path.realpath(place) != own]
del sys.modules["cv2"]
import cv2
sys.path[:] = path

class Capture:
    real = cv2.VideoCapture
    def __new__(cls, name, *rest):
        return object.__new__(cls) if name == "/dev/video0" else cls.real(name, *rest)
    def __init__(self, *_):
        self.frames, self.at, self.start_s = np.load(own + "/frames.npy"), 0, time.monotonic()
    def isOpened(self): return True
    def getBackendName(self): return "V4L2"
    def get(self, name): return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_WIDTH: float(self.frames.shape[2]),
                                 cv2.CAP_PROP_FRAME_HEIGHT: float(self.frames.shape[1])}.get(name, 0.0)
    def set(self, *_): return True
    def grab(self):
        self.at += 1
        time.sleep(max(0.0, self.start_s + self.at / 30 - time.monotonic()))
        return True
    def retrieve(self, *_): return True, self.frames[self.at % len(self.frames)].copy()
    def read(self, *_): return self.grab() and self.retrieve()
    def release(self): pass

cv2.VideoCapture = Capture
"""


def may_mount() -> bool:
    """Whether this user can have mounts of its own."""
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(["unshare", "-m", "true"], check=False, stderr=subprocess.DEVNULL).returncode
    )


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A user with an empty home."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, **more}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.skipif(not may_mount(), reason="this user can't make a mount namespace (root, or CAP_SYS_ADMIN)")
def test_run_with_camera_and_tracker(here: Path, tmp_path: Path) -> None:
    line = "emer-edge run --camera 0 --tracker /dev/ttyUSB0"
    replaced = {}
    if not Path("/dev/video0").exists():
        (tmp_path / "capture").mkdir()
        (tmp_path / "capture" / "cv2.py").write_text(CAPTURE)
        np.save(tmp_path / "capture" / "frames.npy", np.stack([scene(100 + n, 90) for n in range(60)]))
        replaced = {"PYTHONPATH": f"{tmp_path / 'capture'}:{ROOT}"}
    stop, said = threading.Event(), []
    with TrackerSimulator(SimulatedTracker()) as tracker:
        player = threading.Thread(target=tracker.play, kwargs={"stop": stop}, daemon=True)
        player.start()
        command = [
            "unshare",
            "-m",
            "sh",
            "-c",
            PRIVATE_DEV,
            "sh",
            tracker.path,
            sys.executable,
            "-m",
            *line.replace("-", "_", 1).split(),
        ]
        run = subprocess.Popen(
            command, cwd=here, env=environment(here, **replaced), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            deadline_s = time.monotonic() + 90
            for sentence in run.stdout:
                said.append(sentence)
                if sentence.startswith("ok: the last"):
                    run.send_signal(signal.SIGINT)
                if time.monotonic() > deadline_s:
                    break
        finally:
            stop.set()
            player.join()
            run.kill()
            run.wait()
            run.stdout.close()
    text = "".join(said)
    assert "ok: the last 12.0 s" in text, text
    assert "the demo bundle of this package" in text
    assert "tracker: /dev/ttyUSB0" in text
    assert "camera: " in text
    assert "results:" in text  # the table at the end
    assert not Path("/dev/ttyUSB0").exists()  # all of that was the process's own


@pytest.mark.slow
def test_export_and_bench(here: Path) -> None:
    for line, wrote in (
        ("emer-edge export --precision int8", "wrote demo-int8.emer"),
        ("emer-edge bench", f"bundle: {here / 'demo-int8.emer'}"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *line.replace("-", "_", 1).split()], cwd=here, env=environment(here),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=1800,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert wrote in done.stderr
