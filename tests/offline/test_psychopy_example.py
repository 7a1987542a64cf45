"""The example of a study: its markers by LSL, into a run of the command line, into a report."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from lsl_streams import unique
from machine import find_program
from runtime_inputs import RATE_HZ

from emer_edge.bundle import Bundle
from emer_edge.data.sessions import MARKERS_FILE
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator

EXAMPLE = Path(__file__).parents[2] / "examples" / "psychopy_study.py"
_MAIN = [sys.executable, "-c", "from emer_edge.cli import main; main()"]
pytest.importorskip("pylsl", reason="pylsl (extra lsl) is not installed")


@contextmanager
def running(bundle: Bundle, folder: Path, stream: str) -> Iterator[None]:
    """A live run that saves, records and takes markers from an LSL stream."""
    stop = threading.Event()
    with TrackerSimulator(SimulatedTracker("emer", RATE_HZ)) as simulator:
        thread = threading.Thread(target=simulator.play, args=(None, stop), daemon=True)
        thread.start()
        tracker = f"{simulator.path}?format=emer&rate={RATE_HZ}"
        command = [*_MAIN, "run", str(bundle.path), "--camera", "synthetic://", "--tracker", tracker, "--json"]
        command += ["--save", str(folder / "sessions"), "--record", f"{folder}/recordings/", "--participant", "p017"]
        command += ["--markers", f"lsl://{stream}"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            yield
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 143, said
        finally:
            process.kill()
            process.communicate()
            stop.set()
            thread.join()


def experiment(stream: str, *more: str) -> None:
    """Two stimuli of which the first is longer than a window of 2.4 s."""
    given = [
        "--stimuli",
        "coast,storm",
        "--seconds",
        "3.2",
        "--baseline",
        "0.5",
        "--stream",
        stream,
        "--wait",
        "150",
        *more,
    ]
    done = subprocess.run([sys.executable, str(EXAMPLE), *given], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def check(folder: Path) -> None:
    lines = next((folder / "sessions").rglob(MARKERS_FILE)).read_text().splitlines()
    markers = [json.loads(line) for line in lines]
    named = [f"{name} {part}" for name in ("baseline", "coast", "storm") for part in ("start", "end")]
    assert [marker["label"] for marker in markers] == named
    assert {marker["clock"] for marker in markers} == {"lsl"}
    command = [
        *_MAIN,
        "report",
        str(folder / "sessions"),
        str(folder / "recordings"),
        "--output",
        str(folder / "report"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with (folder / "report" / "markers.csv").open(newline="") as file:
        rows = {row["stimulus"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["baseline", "coast", "storm"]
    assert float(rows["coast"]["duration_s"]) == pytest.approx(3.2, abs=0.5)
    assert rows["coast"]["evidence"] == "inside"
    assert {path.stem for path in (folder / "report" / "maps").iterdir()} == set(rows)


def test_the_markers_of_the_example_become_stimuli(bundle: Bundle, tmp_path: Path) -> None:
    stream = unique("study")
    with running(bundle, tmp_path, stream):
        experiment(stream, "--no-display")
    check(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("psychopy") is None, reason="psychopy is not installed (its Python ends before ours)")
@pytest.mark.skipif(find_program("Xvfb") is None, reason="Xvfb is not installed (make test-deps)")
def test_the_example_shows_its_stimuli_on_a_display(bundle: Bundle, tmp_path: Path) -> None:
    stream = unique("study")
    started = [
        shutil.which("xvfb-run") or "xvfb-run",
        "-a",
        "-s",
        "-screen 0 1024x768x24",
        sys.executable,
        str(EXAMPLE),
    ]
    given = ["--stimuli", "coast,storm", "--seconds", "3.2", "--baseline", "0.5", "--stream", stream, "--windowed"]
    with running(bundle, tmp_path, stream):
        done = subprocess.run([*started, *given], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    check(tmp_path)
