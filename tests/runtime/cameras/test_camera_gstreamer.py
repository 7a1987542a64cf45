"""Pipelines as gst-launch-1.0 runs them: NVIDIA's with software elements in their place, and how they end.

No element of NVIDIA's was run here.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from machine import find_program, needs
from nvidia_elements import SENSOR, install
from rtsp_server import H264, RtspServer

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.runtime.cameras import check_camera, gstreamer, open_camera
from emer_edge.runtime.cameras.gst_launch import GstLaunchGrabber, has_element
from emer_edge.runtime.cameras.live_camera import LiveCapture, Patience
from emer_edge.runtime.cameras.registry import find_camera

JETSON = "a machine without NVIDIA's elements: software ones take their place"
pytestmark = [
    needs("gst-launch-1.0"),
    pytest.mark.skipif(
        find_program("gst-launch-1.0") is not None and not (has_element("openh264dec") and has_element("avdec_h265")),
        reason="gstreamer1.0-plugins-bad or gstreamer1.0-libav is not installed (make test-deps)",
    ),
]
SIZE = "size=320x240&rate=25"


@pytest.fixture
def elements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NVIDIA's elements for the programs on PATH, and a socket of Argus; the file that lists the pipelines."""
    monkeypatch.setattr(gstreamer, "ARGUS_SOCKET", str(tmp_path))
    return put(tmp_path, monkeypatch)


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = SENSOR, launch: Path | None = None) -> Path:
    log = install(folder, source, None if launch is None else str(launch))
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return log


def upper_half_shines(image: np.ndarray) -> bool:
    return float(image[: len(image) // 2].mean()) > float(image[len(image) // 2 :].mean()) + 20


def test_a_csi_sensor_is_read_with_its_capture_times(elements: Path) -> None:
    with open_camera(f"csi://0?{SIZE}") as camera:
        assert (camera.size_px, camera.fps) == ((320, 240), 25.0)
        frames = [next(camera) for _ in range(10)]
    assert {frame.clock for frame in frames} == {"capture"}
    steps = np.diff([frame.stamp_ns for frame in frames]) / 40e6
    assert np.allclose(steps, np.round(steps), atol=0.03)


@pytest.mark.case("a CSI camera that is mounted upside down", source="", before="no way to turn it: --camera gst://...")
@pytest.mark.parametrize("flip", ["", "&flip=0", "&flip=2", "&flip=1"])
def test_a_csi_sensor_is_turned(elements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: str) -> None:
    put(tmp_path, monkeypatch, "videotestsrc is-live=true pattern=smpte")  # its bars are bright, what is below is dark
    quarter = flip == "&flip=1"
    with open_camera(f"csi://0?{SIZE}{flip}") as camera:
        assert camera.size_px == ((240, 320) if quarter else (320, 240))
        image = next(camera).image
    assert upper_half_shines(image.swapaxes(0, 1) if quarter else image) == (flip != "&flip=2")


def test_a_csi_sensors_mode_and_exposure_reach_the_element(elements: Path) -> None:
    with open_camera(f"csi://1?{SIZE}&mode=3&exposure=8.5"):
        pass
    given = elements.read_text().split()
    assert {"nvarguscamerasrc", "sensor-id=1", "sensor-mode=3"} < set(given)
    assert "exposuretimerange=8500000 8500000" in elements.read_text()  # ns, one word of the command line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csi://0?flip=8", "flip is a number from 0 to 7"),
        ("csi://0?flip=1.5", "flip is a whole number"),
        ("csi://0?mode=-1", "mode is a number from 0"),
        ("csi://0?exposure=0", "exposure is a number from 0.01"),
        ("csi://0?turn=2", "unknown turn; known are size, rate, mode, flip, exposure"),
        ("rtsp://h/a?decoder=gpu", "decoder= is software or hardware"),
        ("http://h/a.mjpg?decoder=hardware", r"decoder= .*for rtsp:// alone"),
        ("talk.mp4?decoder=gpu", "decoder is one of software, hardware"),
    ],
)
def test_parameters_that_make_no_sense(elements: Path, tmp_path: Path, text: str, message: str) -> None:
    if text.startswith("talk"):
        text = str(film(tmp_path / "talk.mp4")) + text.removeprefix("talk.mp4")
    with pytest.raises(ConfigurationError, match=message):
        check_camera(text)


def test_a_cameras_own_parameters_are_its_own(elements: Path) -> None:
    assert check_camera("http://h/a.mjpg?decoder=h264&x=1")


@pytest.mark.case(
    "csi:// where nvargus-daemon does not run, or a container without its socket",
    source="https://github.com/OE4T/meta-tegra/issues/1485",
    before="GStreamer can't run this pipeline: it ended without an image",
)
def test_a_missing_argus_is_named_with_its_command(
    elements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gstreamer, "ARGUS_SOCKET", str(tmp_path / "none"))
    with pytest.raises(CameraError) as failed:
        check_camera("csi://0")
    assert "sudo systemctl restart nvargus-daemon" in str(failed.value)
    assert f"docker run -v {tmp_path / 'none'}" in str(failed.value)
    assert "\n" not in str(failed.value)


RPC = "(in src/rpc/socket/client/SocketClientDispatch.cpp, function openSocketConnection(), line 205)"
ARGUS = {
    "no-camera": (
        "Error generated. /dvs/gst-nvarguscamera/gstnvarguscamerasrc.cpp, execute:751 No cameras available",
        "No cameras available",
    ),
    "no-daemon": (
        f"(Argus) Error FileOperationFailed: Connecting to nvargus-daemon failed: Connection refused {RPC}",
        "Connecting to nvargus-daemon failed: Connection refused",
    ),
    "taken": (
        "(Argus) Error AlreadyAllocated: Device 0 (of 1) is in use (in src/api/CameraProviderImpl.cpp, line 286)",
        "Device 0 (of 1) is in use",
    ),
}


@pytest.mark.case(
    "nvarguscamerasrc prints that Argus has no camera, is away or is stuck, and ends without posting an error",
    source="https://github.com/dusty-nv/jetson-inference/issues/415",
    before="GStreamer can't run this pipeline: it ended without an image",
)
@pytest.mark.parametrize("fault", ARGUS)
def test_what_argus_says_is_passed_on_with_the_command(
    elements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    printed, said = ARGUS[fault]
    put(tmp_path, monkeypatch, launch=script(tmp_path / "argus", f"echo {shlex.quote(printed)}"))
    with pytest.raises(CameraError) as failed:
        open_camera("csi://0")
    assert f"{said}; " in str(failed.value)
    assert str(failed.value).endswith("sudo systemctl restart nvargus-daemon")


@pytest.mark.case(
    "a CSI camera whose daemon hangs in the midst of a run",
    source="https://github.com/NVIDIA-AI-IOT/jetbot/issues/211",
    before="has sent no frame for 2 s; is it still plugged in, or does its driver hang?",
)
def test_a_sensor_that_falls_silent_names_the_daemon(elements: Path) -> None:
    said: list[str] = []
    driver, address = find_camera(f"csi://0?{SIZE}")
    assert driver.check is not None
    camera = LiveCapture(address, driver.check(address), said.append, patience=Patience(silent_s=3.0))
    with camera:
        next(camera)
        assert camera.pid is not None
        os.kill(camera.pid, signal.SIGSTOP)
        while not said:
            next(camera)
    assert said[0].endswith("sudo systemctl restart nvargus-daemon; trying to open it again")


def film(path: Path, codec: str = "libx264", size: str = "160x120") -> Path:
    """Two seconds with sound, whose first stream is the sound."""
    video = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration=2"]
    sound = ["-f", "lavfi", "-i", "sine=duration=2", "-map", "1:a", "-map", "0:v", "-c:a", "aac"]
    coded = ["-c:v", codec, "-pix_fmt", "yuv420p", *(["-x265-params", "log-level=none"] if codec == "libx265" else [])]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *video, *sound, *coded, str(path)], check=True)
    return path


@needs("ffmpeg")
@pytest.mark.case("an MP4 file, decoded in hardware", source="", before="every file was decoded by the CPU")
@pytest.mark.parametrize(
    ("name", "codec"),
    [("talk.mp4", "libx264"), ('who said "so" a\\b.mp4', "libx264"), ("talk.mkv", "libx265")],
    ids=["h264", "odd-name", "h265"],
)
def test_a_file_decoded_in_hardware_gives_the_same_images(
    elements: Path, tmp_path: Path, name: str, codec: str
) -> None:
    path = str(film(tmp_path / name, codec))
    one, other = (list(open_camera(f"{path}{how}", pace="fast")) for how in ("", "?decoder=hardware"))
    assert len(one) == len(other) == 50
    assert [frame.stamp_ns for frame in one] == [frame.stamp_ns for frame in other]
    for mine, its in zip(one[::7], other[::7], strict=True):
        assert np.abs(mine.image.astype(int) - its.image).mean() < 2.0
    assert f"{'h264' if codec == 'libx264' else 'h265'}parse ! nvv4l2decoder ! nvvidconv" in elements.read_text()


@needs("ffmpeg")
def test_a_codec_that_the_decoder_does_not_take_is_refused(elements: Path, tmp_path: Path) -> None:
    path = film(tmp_path / "old.avi", "mjpeg")
    with pytest.raises(CameraError, match=r"is a MJPG video, .* leave decoder=hardware out"):
        open_camera(f"{path}?decoder=hardware")


@needs("ffmpeg")
@pytest.mark.skipif(os.path.exists("/etc/nv_tegra_release"), reason="this is a Jetson: the element is there")
@pytest.mark.parametrize("kind", ["file", "rtsp"])
def test_without_the_decoder_its_package_is_named(tmp_path: Path, kind: str) -> None:
    source = str(film(tmp_path / "talk.mp4")) if kind == "file" else "rtsp://me:secret@127.0.0.1/a"
    with pytest.raises(CameraError, match=r"nvv4l2decoder, .*nvidia-l4t-gstreamer.*the CPU decodes") as failed:
        check_camera(f"{source}?decoder=hardware")
    assert "secret" not in str(failed.value)


@needs("ffmpeg")
@pytest.mark.case(
    "an H.264 camera over RTSP, decoded in hardware", source="", before="the parameter went to the camera"
)
def test_rtsp_decoded_in_hardware_has_the_senders_times(elements: Path) -> None:
    with RtspServer(H264) as server, open_camera(f"{server.url}?decoder=hardware") as camera:
        frames = [next(camera) for _ in range(30)]
        assert camera.size_px == (160, 120)
    later = frames[10:]
    assert {frame.clock for frame in later} == {"stream"}
    steps_ms = np.diff([frame.stamp_ns for frame in later]) / np.diff([frame.index for frame in later]) * 1e-6
    assert abs(np.median(steps_ms) - 40.0) < 10.0  # a sender on a busy machine is late, too
    assert f'location="{server.url}" protocols=tcp' in elements.read_text()  # without the parameter


def test_a_password_is_in_no_message(elements: Path) -> None:
    with pytest.raises(CameraError) as failed:
        open_camera("rtsp://me:secret@127.0.0.1:9/live?decoder=hardware")
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("elements_", ["rtspsrc location=rtsp://h/a ! decodebin", "udpsrc port=5000 ! tsdemux"])
def test_a_senders_times_are_no_capture_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elements_: str) -> None:
    launch = script(tmp_path / "stream", f"exec {find_program('gst-launch-1.0')} {LIVE}")
    put(tmp_path, monkeypatch, launch=launch)
    with open_camera(f"gst://{elements_}") as camera:
        assert next(camera).clock == "stream"


LIVE = (
    "-v videotestsrc is-live=true ! video/x-raw,format=BGR,width=64,height=48 ! identity silent=false ! "
    "fdsink ${@: -2:1}"
)


@pytest.mark.case("a desktop whose language is German", source="", before="a refused pipeline gave no reason")
def test_errors_are_read_in_every_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    with pytest.raises(CameraError, match='no element "nosuchelement"'):
        open_camera("gst://nosuchelement")


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/bash", *lines, "")))
    path.chmod(0o755)
    return path


def recorder(folder: Path, act: str = "sleep 0.4; note done; exit 0") -> tuple[Path, Path]:
    """A gst-launch-1.0 that makes one image, then notes the signals that it gets; and the file with these notes."""
    notes = folder / "signals.txt"
    notes.touch()
    printed = "/GstIdentity: last-message = {:7} ******* (identity0:sink) {}"
    image = printed.format("event", "E (type: caps (12814), width=(int)64, height=(int)48)")
    taken = printed.format("chain", "(9216 bytes, dts: none, pts: 0:00:00.033333333)")
    path = script(
        folder / "launch",
        f"note() {{ echo $1 >> {notes}; }}",
        f"trap 'note INT; {act}' INT",
        "trap 'note TERM; exit 0' TERM",
        f"echo '{image}'; echo '{taken}'",
        'fd=${@: -2:1}; head -c 9216 /dev/zero | tr "\\0" "\\377" >&${fd#fd=}',
        "note started",
        "while :; do sleep 0.05; done",
    )  # fmt: skip
    return path, notes


def wait_for(notes: Path, word: str) -> list[str]:
    deadline = time.monotonic() + 30
    while word not in notes.read_text().split():
        assert time.monotonic() < deadline, notes.read_text()
        time.sleep(0.02)
    return notes.read_text().split()


KILLED_CLIENT = pytest.mark.case(
    "a client of Argus that is killed leaves nvargus-daemon stuck until it is restarted",
    source="https://github.com/NVIDIA-AI-IOT/jetbot/issues/1",
    before="gst-launch-1.0 was killed by SIGKILL at every end of a run and every loss of the camera",
)
PARENT = """\
import os, sys
from emer_edge.runtime.cameras import open_camera
camera = open_camera("gst://any")
print(camera.pid, flush=True)
sys.stdin.read()
"""


@KILLED_CLIENT
@pytest.mark.parametrize("how", ["close", "end of the program", "parent killed", "capture process killed"])
def test_a_pipeline_ends_by_sigint_and_has_time_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    launch, notes = recorder(tmp_path)
    put(tmp_path, monkeypatch, launch=launch)
    if how == "close":
        with open_camera("gst://any"):
            wait_for(notes, "started")
        assert notes.read_text().split() == ["started", "INT", "done"]
        return
    run = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdin is not None
    assert run.stdout is not None
    child = int(run.stdout.readline())
    wait_for(notes, "started")
    if how == "parent killed":
        run.kill()
    elif how == "capture process killed":  # its group is what the parent has to end
        os.kill(child, signal.SIGKILL)
    run.stdin.close()
    assert wait_for(notes, "done") == ["started", "INT", "done"]
    run.stdout.close()
    run.wait(20)


@KILLED_CLIENT
def test_a_pipeline_that_hears_nothing_is_terminated_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, notes = recorder(tmp_path, act=":")
    put(tmp_path, monkeypatch, launch=launch)
    with open_camera("gst://any"):
        wait_for(notes, "started")
    assert notes.read_text().split() == ["started", "INT", "TERM"]


@KILLED_CLIENT
def test_a_pipeline_whose_images_nobody_reads_ends_by_itself_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    launch = script(
        tmp_path / "real",
        f'{find_program("gst-launch-1.0")} "$@" & child=$!',
        "trap 'kill -INT $child' INT",
        f"wait $child; wait $child; echo $? > {code}",
    )
    put(tmp_path, monkeypatch, launch=launch)
    grabber = GstLaunchGrabber("big", "videotestsrc ! video/x-raw,width=1280,height=720")
    grabber.read(None)
    time.sleep(1.0)  # the pipe is full
    began = time.monotonic()
    grabber.close()
    assert time.monotonic() - began < 2.9
    assert int(code.read_text()) < 128  # by itself, not by a signal
