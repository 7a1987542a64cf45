"""The encoder process: what it gives, and what happens when it dies, hangs, or its parent does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from runtime_inputs import scene

from emer_edge.bundle import Bundle
from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.samples import Frame
from emer_edge.runtime.child_process import ChildProcess
from emer_edge.runtime.encoding import CROP, LOOK, PAGE, WHOLE, Coding, Encoder, encoded
from emer_edge.runtime.faces import Look
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Host, Output
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.keep import RecordOptions
from emer_edge.runtime.recording.mcap_reader import read_messages
from emer_edge.runtime.recording.messages import CAMERA, FRAMES

IMAGE = scene(100, 90)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def encoder(said: list[str]) -> Iterator[Encoder]:
    made = Encoder(said.append).hold()
    yield made
    made.close()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("coding", [LOOK, WHOLE, CROP, PAGE], ids=["look", "whole", "crop", "page"])
def test_it_gives_what_this_process_would(encoder: Encoder, coding: Coding) -> None:
    images = [
        IMAGE,
        IMAGE[:112, :112],
        np.tile(IMAGE, (2, 2, 1)),
        IMAGE[::-1, 5:],
    ]  # larger and smaller, not contiguous
    assert [encoder.encode(each, coding) for each in images] == [encoded(each, coding) for each in images]
    assert encoder.pid is not None
    assert encoder.deaths == 0


def test_lossless_is_lossless_and_the_page_is_small(encoder: Encoder) -> None:
    wide = np.tile(IMAGE, (1, 3, 1))
    read = [
        cv2.imdecode(np.frombuffer(encoder.encode(wide, each), np.uint8), cv2.IMREAD_COLOR) for each in (WHOLE, PAGE)
    ]
    np.testing.assert_array_equal(read[0], wide)
    assert read[1].shape == (160, 640, 3)


def test_there_is_no_process_before_the_first_image_and_none_after_the_last_user(encoder: Encoder) -> None:
    assert encoder.pid is None
    encoder.start()
    pid = encoder.pid
    assert pid is not None
    encoder.hold()
    encoder.release()
    assert encoder.pid == pid
    encoder.release()
    assert encoder.pid is None
    assert not alive(pid)


def test_it_rests_where_nobody_asks(encoder: Encoder) -> None:
    encoder.encode(IMAGE, PAGE)
    encoder.rest(60.0)
    assert encoder.pid is not None
    encoder.rest(0.0)
    assert encoder.pid is None
    assert encoder.encode(IMAGE, PAGE)


def test_a_process_that_is_killed_is_said_once_and_replaced(encoder: Encoder, said: list[str]) -> None:
    for deaths in (1, 2):
        before = encoder.encode(IMAGE, LOOK)
        assert encoder.pid is not None
        os.kill(encoder.pid, signal.SIGKILL)
        assert encoder.encode(IMAGE, LOOK) == before
        assert encoder.deaths == deaths
    assert said == ["the process that encodes images was killed by SIGKILL; another one is started"]


def test_a_process_that_hangs_is_replaced(said: list[str]) -> None:
    encoder = Encoder(said.append, answer_s=2.0)
    encoder.start()
    assert encoder.pid is not None
    os.kill(encoder.pid, signal.SIGSTOP)
    assert encoder.encode(IMAGE, LOOK)
    encoder.close()
    assert said == ["the process that encodes images hung; another one is started"]


def test_a_process_that_can_not_live_is_an_error(
    encoder: Encoder, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "emer_edge.runtime.encoding.encoder.ChildProcess"
    monkeypatch.setattr(module, lambda _, **memory: ChildProcess("emer_edge.nowhere", **memory))
    with pytest.raises(EmerEdgeError, match=r"images can't be encoded: .* ended, and so did the next"):
        encoder.start()
    assert (encoder.pid, len(said)) == (None, 1)


def test_an_image_that_can_not_be_encoded_harms_no_other(encoder: Encoder) -> None:
    before = encoder.encode(IMAGE, LOOK)
    with pytest.raises(EmerEdgeError, match="70000x2 can't be encoded as jpg"):
        encoder.encode(np.zeros((2, 70_000, 3), np.uint8), LOOK)  # JPEG ends at 65,535
    assert encoder.encode(IMAGE, LOOK) == before
    assert encoder.deaths == 0


def test_threads_get_their_own_images(encoder: Encoder) -> None:
    images = [np.full((64, 64, 3), level, np.uint8) for level in range(0, 240, 3)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda each: encoder.encode(each, WHOLE), images)) == [
            encoded(each, WHOLE) for each in images
        ]


def test_it_holds_numpy_and_opencv_and_nothing_else() -> None:
    code = "import sys, emer_edge.runtime.encoding.encoder_child; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"onnxruntime", "msgspec", "rich", "mcap", "emer_edge.bundle", "emer_edge.runtime.cameras"}


def test_it_ends_with_its_parent() -> None:
    code = (
        "import time, numpy as np; from emer_edge.runtime.encoding import *; encoder = Encoder()\n"
        "encoder.encode(np.zeros((8, 8, 3), np.uint8), LOOK); print(encoder.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    until(lambda: not alive(pid))


class Killing(Output):
    """Kills the encoder process at some frames."""

    def __init__(self, encoder: Encoder, at: set[int]) -> None:
        self._encoder, self._at = encoder, at

    def frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        if frame.index in self._at and self._encoder.pid is not None:
            os.kill(self._encoder.pid, signal.SIGKILL)


def test_a_recording_outlives_its_encoder(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path, encoder: Encoder, said: list[str]
) -> None:
    path = tmp_path / "killed.mcap"
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    output = Recorder(RecordOptions(path, "jpeg", "form 17"), Host(pipeline, say=said.append, encoder=encoder))
    summary = play(pipeline, [output, Killing(encoder, {40, 90})])
    assert summary.outputs == {}
    assert summary.encoder_rss_mb is not None
    assert encoder.deaths == 2
    assert sum("killed by SIGKILL" in each for each in said) == 1
    frames, images = (
        [(each.sequence, each.decode()) for each in read_messages(path, {topic})] for topic in (FRAMES, CAMERA)
    )
    assert [number for number, _ in frames] == [number for number, _ in images] == list(range(1, 181))
    assert all(cv2.imdecode(np.frombuffer(each.data, np.uint8), 1).shape == IMAGE.shape for _, each in images)


def test_a_recording_whose_encoder_can_not_live_fails_alone(
    bundle: Bundle,
    video: Path,
    tracker: Path,
    tmp_path: Path,
    encoder: Encoder,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Pipeline(
        bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), say=said.append, offset_ms=0.0
    )
    options = RecordOptions(tmp_path / "none.mcap", "jpeg", "form 17")
    output = Recorder(options, Host(pipeline, say=said.append, encoder=encoder))
    assert encoder.pid is not None
    os.kill(encoder.pid, signal.SIGKILL)
    module = "emer_edge.runtime.encoding.encoder.ChildProcess"
    monkeypatch.setattr(module, lambda _, **memory: ChildProcess("emer_edge.nowhere", **memory))
    summary = play(pipeline, [output])
    assert sum(summary.states.values()) == 20
    assert summary.outputs["record"]["failed"] == 1
    assert sum("the output record failed and gets nothing more; the run goes on" in each for each in said) == 1
