from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emer_edge.core.errors import ConfigurationError, OutputExistsError
from emer_edge.data.recordings import open_recording
from emer_edge.data.synth import Act, write_recording
from emer_edge.data.synth.eyes import DISPLAY

cv2 = pytest.importorskip("cv2")

_SCRIPT = (Act(0.0, "happiness", "happiness"), Act(0.6, "sadness", "surprise"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("synth") / "take", seconds=1.2, script=_SCRIPT, fps=15)


def test_a_recording_reads_back(recording: Path) -> None:
    opened = open_recording(recording)
    assert opened.display == DISPLAY
    export = opened.export()
    assert len(export.rows) == 144
    assert export.rate_hz == pytest.approx(120, abs=0.1)
    assert export.display is not None
    assert (export.display.width_px, export.display.height_px) == (1920, 1080)
    assert export.seen.any()
    acted = json.loads((recording / "synthetic.json").read_text())["acts"]
    assert [item["felt"] for item in acted] == ["happiness", "sadness"]


def test_the_video_holds_the_frames(recording: Path) -> None:
    video = cv2.VideoCapture(str(recording / "video.avi"))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert video.get(cv2.CAP_PROP_FPS) == 15
    assert len(frames) == 18
    assert frames[0].shape == (480, 640, 3)
    assert np.abs(frames[0].astype(float) - frames[-1]).mean() > 2.0
    assert (recording / "video.avi").stat().st_size < 18 * 9000  # at 30 frames per second, 16 MB a minute


def test_an_existing_recording_is_kept(recording: Path) -> None:
    with pytest.raises(OutputExistsError):
        write_recording(recording, seconds=1.0)


@pytest.mark.parametrize(
    ("script", "seconds"),
    [
        ((), 1.0),
        ((Act(1.0, "anger", "anger"),), 1.0),
        ((Act(0.0, "anger", "boredom"),), 1.0),
        ((Act(0.0, "anger", "anger"),), 0.0),
    ],
    ids=["empty", "late", "unknown-emotion", "no-time"],
)
def test_senseless_scripts_are_refused(tmp_path: Path, script: tuple[Act, ...], seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        write_recording(tmp_path / "take", seconds=seconds, script=script)
    assert not list(tmp_path.iterdir())
