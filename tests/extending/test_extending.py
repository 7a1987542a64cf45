"""A tracker format and a camera of another package: the one that docs/extending.md shows, found by its entry points."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import pytest

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.cameras import check_camera, open_camera
from emer_edge.runtime.trackers import TrackerOptions, check_tracker, open_tracker
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator

HERE = Path(__file__).parent / "installed"
PAGE = HERE.parents[2] / "docs" / "extending.md"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip would install it: its modules and its metadata lie in a folder of the path."""
    monkeypatch.syspath_prepend(HERE)


def emer_edge(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "300"}
    command = [sys.executable, "-m", "emer_edge", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_page_shows_the_very_files() -> None:
    blocks = re.findall(r"^`(\S+)`:\n\n```\w*\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    shown = {name: text for name, text in blocks if name.startswith("lab_sensors")}
    packaged = [each for pattern in ("*.dist-info/entry_points.txt", "*/*.py") for each in HERE.glob(pattern)]
    files = {str(each.relative_to(HERE)): each.read_text("utf-8") for each in packaged if each.name != "__init__.py"}
    assert {name: text for name, text in files.items() if name in shown} == shown
    assert {"points.py", "ramp.py", "entry_points.txt"} <= {Path(name).name for name in shown}


def test_help_lists_them_with_their_parameters() -> None:
    told = " ".join(emer_edge("run", "--help").stdout.replace("│", " ").split())
    assert "ramp://?size=320x240 (grey that grows brighter: size)" in told
    assert "points (lines of one gaze point: scale)" in told
    kinds = emer_edge("devices", "--kinds").stderr
    assert "  points (lines of one gaze point)\n      scale: what its numbers are multiplied by\n" in kinds
    assert "opengaze, iviewx, iscan, points. On the network" in emer_edge("simulate", "tracker", "--help").stdout


def test_a_format_is_simulated_found_and_read() -> None:
    stop = threading.Event()
    with TrackerSimulator(SimulatedTracker("points")) as simulator:
        threading.Thread(target=simulator.play, args=(None, stop), daemon=True).start()
        with open_tracker(simulator.path) as tracker:
            assert "(points, " in tracker.description
            found = [each.left.gaze_px for each in islice(tracker, 60)]
        with open_tracker(f"{simulator.path}?format=points&rate=120&scale=0.1") as tracker:
            scaled = [each.left.gaze_px for each in islice(tracker, 60)]
        stop.set()
    assert max(x for x, _ in found) > 200 > max(x for x, _ in scaled) > 0


def test_a_camera_is_read_in_its_capture_process() -> None:
    with open_camera("ramp://?size=64x48") as camera:
        images = [frame.image for frame in islice(camera, 5)]
        assert camera.pid is not None
    assert {image.shape for image in images} == {(48, 64, 3)}
    assert len({int(image[0, 0, 0]) for image in images}) == 5


def test_check_knows_them() -> None:
    assert check_camera("ramp://")
    with TrackerSimulator(SimulatedTracker("points")) as simulator:
        assert check_tracker(f"{simulator.path}?format=points&scale=2")
    for mistake, says in (
        ("ramp://there", "a ramp has no path"),
        ("ramp://?colour=1", "unknown colour; known are size"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            check_camera(mistake)
    with pytest.raises(ConfigurationError, match="scale= belongs to format=points, not to format=emer"):
        check_tracker("/dev/null?format=emer&scale=2", TrackerOptions())
