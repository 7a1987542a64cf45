from __future__ import annotations

import ctypes
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from recording_inputs import Kept

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError, MissingExtraError
from emer_edge.core.results import Result, State
from emer_edge.core.samples import TrackerSample
from emer_edge.core.session_facts import Marker
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.outputs import Output, check_outputs, open_outputs
from emer_edge.runtime.outputs.delivery import Delivery
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.play import play


def result(number: int) -> Result:
    return Result(number, State.FILLING)


class Slow(Output):
    """Takes nothing until it is let go."""

    name = "slow"
    queued: Mapping[str, int] = MappingProxyType({"result": 5})

    def __init__(self) -> None:
        self.go = threading.Event()
        self.taken: list[int] = []

    def result(self, result: Result) -> bool:
        self.go.wait(20)
        self.taken.append(result.end_ns)
        return True


def test_a_slow_output_loses_its_oldest_and_counts_them() -> None:
    output = Slow()
    delivery = Delivery(output, print)
    delivery.begin()
    for number in range(21):
        delivery.put("result", None, result(number))
    output.go.set()
    delivery.end(None)
    assert len(output.taken) in (5, 6)  # one may have been on its way
    assert output.taken[-5:] == [16, 17, 18, 19, 20]
    assert delivery.losses() == {"results": 21 - len(output.taken)}


def test_items_before_the_beginning_wait() -> None:
    output = Slow()
    output.go.set()
    delivery = Delivery(output, print, wait=True)
    for number in range(7):
        delivery.put("result", None, result(number))
    delivery.begin()
    delivery.end(None)
    assert output.taken == [2, 3, 4, 5, 6]


def test_a_fast_replay_waits_for_a_slow_output() -> None:
    output = Slow()
    output.queued = {"result": 2}
    delivery = Delivery(output, print, wait=True)
    delivery.begin()
    threading.Timer(0.05, output.go.set).start()
    for number in range(50):
        delivery.put("result", None, result(number))
    delivery.end(None)
    assert output.taken == list(range(50))
    assert delivery.losses() == {}


class Breaking(Slow):
    name = "breaking"

    def result(self, result: Result) -> bool:
        raise OSError(28, "No space left on device")


def test_a_failing_output_is_said_once_and_ended() -> None:
    said: list[str] = []
    delivery = Delivery(Breaking(), said.append, wait=True)
    delivery.begin()
    for number in range(20):
        delivery.put("result", None, result(number))
    delivery.end(None)
    assert len(said) == 1
    assert "No space left" in said[0]
    assert "the run goes on" in said[0]
    assert delivery.losses()["failed"] == 1


class Leaving(Slow):
    name = "leaving"

    def result(self, result: Result) -> bool:
        if result.end_ns == 1:
            raise SystemExit(1)
        return True


def test_an_output_that_would_end_its_thread_fails_like_any_other() -> None:
    said: list[str] = []
    delivery = Delivery(Leaving(), said.append, wait=True)
    delivery.begin()
    for number in range(5):
        delivery.put("result", None, result(number))
    delivery.end(None)
    assert delivery.losses() == {"failed": 1, "results": 4}
    assert len(said) == 1


# What a dead thread held is closed by nobody.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.case(
    "the thread of a page, of the metrics, or of MQTT's client dies", before="nothing was said or counted"
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("address", ["http://:0", "metrics://:0", "mqtt://127.0.0.1:9/lab"])
def test_a_dead_worker_is_said_and_counted(bundle: Bundle, said: list[str], address: str) -> None:
    (output,) = open_outputs(Pipeline(bundle), [address])
    delivery = Delivery(output, said.append)
    delivery.begin()
    (worker,) = output.workers
    assert worker.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(SystemExit))
    worker.join(20)
    delivery.put("result", None, result(1))
    delivery.end(None)
    assert delivery.losses() == {"failed": 1, "results": 1}
    assert sum("has died" in each for each in said) == 1


class Hearing(Output):
    """Keeps what it hears of one kind."""

    name = "hearing"

    def __init__(self, queued: Mapping[str, int]) -> None:
        self.queued = queued
        self.heard: list[Any] = []

    def sample(self, sample: TrackerSample, taken_ns: int) -> None:
        self.heard.append(sample)

    def marker(self, marker: Marker) -> None:
        self.heard.append(marker.label)


@pytest.mark.parametrize("queued", [{}, {"sample": 100_000, "marker": 10}], ids=["at once", "queued"])
def test_an_output_hears_of_what_it_overrides(
    bundle: Bundle, video: Path, tracker: Path, queued: dict[str, int]
) -> None:
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    output = Hearing(queued)
    summary = play(pipeline, [output])
    assert len(output.heard) == summary.samples


class Broken(Kept):
    name = "broken"

    def result(self, result: Result) -> bool:
        super().result(result)
        raise RuntimeError("an output with a bug")

    def end(self, summary: Summary | None) -> None:
        raise RuntimeError("still")


def test_a_run_outlives_its_outputs(bundle: Bundle, video: Path, tracker: Path) -> None:
    said: list[str] = []
    pipeline = Pipeline(
        bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0, say=said.append
    )
    broken, kept = Broken(), Kept()
    summary = play(pipeline, [broken, kept])
    assert len(broken.results) == 1
    assert len(kept.results) == 20
    assert sum("an output with a bug" in each for each in said) == 1
    assert summary.outputs == {"broken": {"failed": 1, "results": 20}}


class Keeping(Broken):
    name = "keeping"
    keeps = True


def test_a_run_knows_whether_it_lost_what_was_to_be_kept(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path
) -> None:
    def run(*outputs: Output | str) -> Summary:
        pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
        return play(pipeline, list(outputs))

    assert run(Keeping(), Broken()).lost_kept == ("keeping",)


class Moving(Kept):
    """Moves a folder away at the first result."""

    def __init__(self, folder: Path, swapped: bool) -> None:
        super().__init__()
        self._folder, self._swapped = folder, swapped

    def result(self, result: Result) -> bool:
        if not self.results:
            away = self._folder.rename(self._folder.with_name("away"))
            if self._swapped:
                shutil.copytree(away, self._folder)
        return super().result(result)


@pytest.mark.case(
    "a session's folder that is moved away during the run", before="made again, with its head alone; exit 0"
)
@pytest.mark.parametrize("swapped", [False, True], ids=["moved", "replaced by a copy"])
def test_a_session_that_is_moved_away_is_lost(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path, said: list[str], swapped: bool
) -> None:
    pipeline = Pipeline(
        bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0, say=said.append
    )
    folder = tmp_path / "kept"
    summary = play(pipeline, [f"session:{folder}?participant=p1", Moving(folder, swapped)])
    assert summary.lost_kept == ("session",)
    assert folder.exists() == swapped
    assert any("can't save the session" in each for each in said)


def test_a_full_disk_ends_the_recording_and_not_the_run(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path
) -> None:
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from emer_edge.runtime.options import MachineOptions\n"
        "from emer_edge.runtime.pipeline import Pipeline\n"
        "from emer_edge.runtime.play import play\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"  # what a full disk looks like to one process
        "bundle, video, tracker, path = sys.argv[1:]\n"
        "p = Pipeline(bundle, video, tracker, machine=MachineOptions(pace='fast'), offset_ms=0)\n"
        "play(p, ['json:', 'summary:', path + '?images=jpeg&consent-id=c'])\n"
    )
    path = tmp_path / "full.mcap"
    arguments = [sys.executable, "-c", code, str(bundle.path), str(video), str(tracker), str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 20
    assert done.stderr.count("the output record failed and gets nothing more; the run goes on") == 1
    assert "File too large" in done.stderr
    assert "lost by record" in done.stderr
    assert path.stat().st_size <= 300_000


def test_what_was_made_ends_when_another_can_not_be_had(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="can't read the broker"):
        open_outputs(Pipeline(bundle), ["mqtt:/"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="is in use"):
            open_outputs(Pipeline(bundle), ["metrics://:0", f"http://:{taken.getsockname()[1]}"])
    assert not [each for each in threading.enumerate() if "_start_prometheus" in each.name or "http" in each.name]


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [
        ("x.mcap", "mcap", "mcap"),
        ("mqtt://host", "paho", "mqtt"),
        ("metrics://:0", "prometheus_client", "metrics"),
        ("lsl://name", "pylsl", "lsl"),
    ],
    ids=["record", "mqtt", "metrics", "lsl"],
)
def test_a_missing_extra_is_named(
    bundle: Bundle, address: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import emer_edge.core.packages

    found = emer_edge.core.packages.find_spec
    monkeypatch.setattr(emer_edge.core.packages, "find_spec", lambda name: None if name == package else found(name))
    for make in (lambda: open_outputs(Pipeline(bundle), [address]), lambda: check_outputs([address], [Source()])):
        with pytest.raises(MissingExtraError, match=rf"\.\[{extra}\]"):
            make()


def test_a_recording_needs_a_place(tmp_path: Path) -> None:
    (tmp_path / "there.mcap").touch()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        check_outputs([str(tmp_path / "there.mcap")], [Source()])
    with pytest.raises(ConfigurationError, match="make it first"):
        check_outputs([str(tmp_path / "none" / "new.mcap")], [Source()])
