from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from recording_inputs import Kept

from emer_edge.bundle import Bundle
from emer_edge.errors import ConfigurationError, MissingExtraError
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Wanted, check_outputs, open_outputs
from emer_edge.runtime.outputs.background import Background
from emer_edge.runtime.outputs.recorder import record
from emer_edge.runtime.pipeline import Pipeline, Summary, play
from emer_edge.runtime.recording.keep import RecordOptions
from emer_edge.spec.results import Result, State


def result(number: int) -> Result:
    return Result(number, State.FILLING)


class Slow:
    """A worker that takes nothing until it is let go."""

    name = "slow"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.taken: list[int] = []

    def begin(self) -> None:
        pass

    def take(self, kind: str, item: Any) -> None:
        self.go.wait(20)
        self.taken.append(item.end_ns)

    def end(self) -> dict[str, int]:
        return {}


def test_a_slow_output_loses_its_oldest_and_counts_them() -> None:
    worker = Slow()
    output = Background(worker, print, {"result": 5})
    output.begin()
    output.put("result", result(0))
    while output._waiting["result"]:
        time.sleep(0.001)
    for number in range(1, 21):
        output.put("result", result(number))
    worker.go.set()
    output.end(None)
    assert worker.taken == [0, 16, 17, 18, 19, 20]
    assert output.lost() == {"results": 15}


def test_a_fast_replay_waits_for_a_slow_output() -> None:
    worker = Slow()
    output = Background(worker, print, {"result": 2}, wait=True)
    output.begin()
    threading.Timer(0.05, worker.go.set).start()
    for number in range(50):
        output.put("result", result(number))
    output.end(None)
    assert worker.taken == list(range(50))
    assert output.lost() == {}


class Breaking(Slow):
    name = "breaking"

    def take(self, kind: str, item: Any) -> None:
        raise OSError(28, "No space left on device")


def test_a_failing_output_is_said_once_and_ended() -> None:
    said: list[str] = []
    output = Background(Breaking(), said.append, {"result": 2}, wait=True)
    output.begin()
    for number in range(20):
        output.put("result", result(number))
    output.end(None)
    assert len(said) == 1
    assert "No space left" in said[0]
    assert "the run goes on" in said[0]
    assert output.lost()["failed"] == 1


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
    assert summary.outputs == {"broken": {"failed": 1}}


def test_a_full_disk_ends_the_recording_and_not_the_run(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path
) -> None:
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from emer_edge.runtime.outputs import Wanted, open_outputs\n"
        "from emer_edge.runtime.options import MachineOptions\n"
        "from emer_edge.runtime.pipeline import Pipeline, play\n"
        "from emer_edge.runtime.recording.keep import RecordOptions\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"  # what a full disk looks like to one process
        "bundle, video, tracker, path = sys.argv[1:]\n"
        "p = Pipeline(bundle, video, tracker, machine=MachineOptions(pace='fast'), offset_ms=0)\n"
        "wanted = Wanted(json=True, summary=True, record=RecordOptions(Path(path), 'jpeg', 'c'))\n"
        "play(p, open_outputs(p, wanted, lambda text: print(text, file=sys.stderr)))\n"
    )
    path = tmp_path / "full.mcap"
    arguments = [sys.executable, "-c", code, str(bundle.path), str(video), str(tracker), str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 20
    assert done.stderr.count("record failed and is ended; the run goes on") == 1
    assert "File too large" in done.stderr
    assert "lost by record" in done.stderr
    assert path.stat().st_size <= 300_000


def test_what_was_made_ends_when_another_can_not_be_had(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="can't read the broker"):
        open_outputs(Pipeline(bundle), Wanted(mqtt="mqtt:/"))
    pipeline = Pipeline(bundle)
    from emer_edge.runtime.outputs.metrics import Metrics

    probe = Metrics(Pipeline(bundle), ":0")
    port = probe.url.rsplit(":", 1)[1].split("/")[0]
    probe.end(None)
    with pytest.raises(ConfigurationError, match="an LSL stream's name"):
        open_outputs(pipeline, Wanted(metrics=f":{port}", lsl="\n"))
    Metrics(Pipeline(bundle), f":{port}").end(None)  # the port is free again


@pytest.mark.parametrize(
    ("wanted", "package", "extra"),
    [
        (Wanted(record=RecordOptions(Path("x.mcap"))), "mcap", "mcap"),
        (Wanted(mqtt="mqtt://host"), "paho", "mqtt"),
        (Wanted(metrics=":0"), "prometheus_client", "metrics"),
        (Wanted(lsl="name"), "pylsl", "lsl"),
    ],
    ids=["record", "mqtt", "metrics", "lsl"],
)
def test_a_missing_extra_is_named(
    bundle: Bundle, wanted: Wanted, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import emer_edge.extras

    found = emer_edge.extras.find_spec
    monkeypatch.setattr(emer_edge.extras, "find_spec", lambda name: None if name == package else found(name))
    for make in (lambda: open_outputs(Pipeline(bundle), wanted), lambda: check_outputs(wanted)):
        with pytest.raises(MissingExtraError, match=rf"emer-edge\[{extra}\]"):
            make()


def test_a_recording_needs_a_place(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "there.mcap").touch()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        record(Pipeline(bundle).streams[None], RecordOptions(tmp_path / "there.mcap"), print)
    with pytest.raises(ConfigurationError, match="make it first"):
        record(Pipeline(bundle).streams[None], RecordOptions(tmp_path / "none" / "new.mcap"), print)
