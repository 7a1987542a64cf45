"""What another package adds: the one that docs/extending.md shows, found by its entry points."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.cameras import check_camera, open_camera
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import TrackerOptions, check_tracker, open_tracker
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator

HERE = Path(__file__).parent / "installed"
PAGE = HERE.parents[2] / "docs" / "extending.md"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip would install it: its modules and its metadata are in a folder of the path."""
    monkeypatch.syspath_prepend(HERE)


def emer_edge(*arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "300"}
    command = [sys.executable, "-m", "emer_edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_the_page_shows_the_very_files() -> None:
    blocks = re.findall(
        r"^`(\S+)`:\n\n(?:<!--.*?-->\n)?```\w*\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    shown = {name: text for name, text in blocks if name.startswith("lab_sensors")}
    packaged = [path for pattern in ("*.dist-info/entry_points.txt", "*/*.py") for path in HERE.glob(pattern)]
    files = {str(path.relative_to(HERE)): path.read_text("utf-8") for path in packaged if path.name != "__init__.py"}
    assert shown == files
    assert {Path(name).stem for name in shown} == {"points", "ramp", "table", "plain", "entry_points"}


def test_help_lists_them_with_their_parameters() -> None:
    text = " ".join(emer_edge("run", "--help").stdout.replace("│", " ").split())
    assert "ramp://?size=320x240 (grey that grows brighter: size)" in text
    assert "points (lines of one gaze point: scale)" in text
    assert "table:FILE.tsv" in text
    assert "mqtt://HOST/TOPIC" in text
    assert "plain (ONNX Runtime without graph optimisations)" in text
    kinds = emer_edge("devices", "--kinds").stderr
    assert "  points (lines of one gaze point)\n      scale: what its numbers are multiplied by\n" in kinds
    assert "opengaze, iviewx, iscan, points. On the network" in emer_edge("simulate", "tracker", "--help").stdout


def test_a_format_is_simulated_found_and_read() -> None:
    stop = threading.Event()
    with TrackerSimulator(SimulatedTracker("points")) as simulator:
        threading.Thread(target=simulator.play, args=(None, stop), daemon=True).start()
        with open_tracker(simulator.path) as tracker:
            assert "(points, " in tracker.description
            points = [sample.left.gaze_px for sample in islice(tracker, 60)]
        with open_tracker(f"{simulator.path}?format=points&rate=120&scale=0.1") as tracker:
            scaled = [sample.left.gaze_px for sample in islice(tracker, 60)]
        stop.set()
    assert max(x for x, _ in points) > 200 > max(x for x, _ in scaled) > 0


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


def test_an_output_is_checked_before_a_run(bundle: Bundle, video: Path, tracker: Path, tmp_path: Path) -> None:
    sources = (bundle.path, "--camera", video, "--tracker", tracker, "--pace", "fast", "--offset-ms", 0, "--check")
    wrong = emer_edge("run", *sources, "--out", "table:out.csv")
    assert (wrong.returncode, "write table:FILE.tsv" in wrong.stderr) == (2, True)
    right = emer_edge("run", *sources, "--out", f"table:{tmp_path / 'out.tsv'}")
    assert right.returncode == 0, right.stderr
    assert not (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_a_run_in_its_engine_gives_its_output_everything(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path, engine: str
) -> None:
    path = tmp_path / "out.tsv"
    config = tmp_path / "run.toml"
    config.write_text(f'out = ["table:{path}", "json:"]\npace = "fast"\noffset-ms = 0\nengine = "{engine}"\n')
    done = emer_edge("run", bundle.path, "--config", config, "--camera", video, "--tracker", tracker)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    *lines, last = path.read_text().splitlines()
    assert lines == [f"{result['end_ns']}\t{result['state']}" for result in results]
    assert last == "180 frames"


def test_an_engine_computes_what_the_built_in_one_does(bundle: Bundle) -> None:
    faces = np.random.default_rng(0).random((2, 3, 112, 112), np.float32)
    encoded = {}
    for engine in ("plain", "onnxruntime"):
        with Session(bundle, engine=engine) as session:
            assert session.engine_name == engine
            encoded[engine] = session.encode(faces)
    np.testing.assert_allclose(encoded["plain"], encoded["onnxruntime"], rtol=1e-3, atol=1e-4)
