"""The long run itself: sensors that fail, outputs with failing receivers, and a journal of all observations."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any, Final

from benchmarks.endurance.devices import FaceCamera, FaultyTracker, StallWatch
from benchmarks.endurance.faults import OUTPUT_KINDS, Fault, Planned, plan
from benchmarks.endurance.journal import Journal
from benchmarks.endurance.live_run import LiveRun
from benchmarks.endurance.processes import sample_tree
from benchmarks.endurance.visitors import Broker, PageVisitor, Scraper, Subscriber, free_port, mosquitto
from benchmarks.quiet import OTHERS
from emer_edge.bundle import Bundle

__all__ = ["Soak", "brief"]

_TOPIC: Final = "soak"
_SAMPLE_S: Final = 5.0
_PROPORTIONAL_EVERY: Final = 6  # samples
_OPENING_S: Final = 120.0
_BACK_S: Final = 60.0
_POLL_S: Final = 0.05
_CAMERA_MODES: Final = {"camera hangs": "silence", "camera freezes": "freeze", "camera black": "black"}
_TRACKER_MODES: Final = {"tracker silent": "silence", "tracker garbage": "garbage", "eyes lost": "lost eyes"}


class Soak:
    """Runs `emer-edge run` with failing devices for a while.

    Args:
        bundle: what is run.
        seconds: from the first result on.
        seed: of the faults.
        folder: for the recording and the sockets.
        journal: takes all observations.
        minute: called once a minute.
    """

    def __init__(
        self, bundle: Bundle, seconds: float, seed: int, folder: Path, journal: Journal, minute: Callable[[], None]
    ) -> None:
        self._bundle, self._seconds, self._seed, self._folder = bundle, seconds, seed, folder
        self._journal, self._minute = journal, minute
        self._over = threading.Event()

    def run(self) -> None:
        """Run it to its end, or to the run's own."""
        with contextlib.ExitStack() as stack:
            camera = FaceCamera()
            stack.callback(camera.unplug)
            tracker = FaultyTracker(self._folder / "ttyEMER")
            stack.callback(tracker.unplug)
            self._camera, self._tracker = camera, tracker
            broker = Broker(self._folder) if mosquitto() is not None else None
            self._broker = broker
            page, metrics = free_port(), free_port()
            outputs = ["--record", str(self._folder / "run.mcap"), "--metrics", f":{metrics}", "--serve", str(page)]
            outputs += [
                "--serve-open",
                "--save",
                str(self._folder / "sessions"),
                "--participant",
                "soak",
                "--session",
                "run",
            ]
            if broker is not None:
                stack.callback(broker.kill)
                outputs += ["--mqtt", f"mqtt://127.0.0.1:{broker.port}/{_TOPIC}"]
            arguments = [str(self._bundle.path), "--camera", camera.url, "--tracker", tracker.source, *outputs]
            window = self._bundle.manifest.window
            self._journal.write(
                "start",
                at_ns=monotonic_ns(),
                seed=self._seed,
                seconds=self._seconds,
                bundle=self._bundle.manifest.name,
                length_ns=window.length_ns,
                hop_ns=window.hop_ns,
                arguments=[Path(argument).name if argument.startswith("/") else argument for argument in arguments],
            )
            watch = StallWatch()
            stack.callback(watch.close)
            live = LiveRun(
                arguments, self._hear, lambda text: self._journal.write("said", at_ns=monotonic_ns(), text=text)
            )
            stack.callback(live.stop)
            if not live.wait_results(1, _OPENING_S):
                self._journal.write("end", at_ns=monotonic_ns(), code=live.code, why="no result came")
                return
            self._page, scraper = PageVisitor(page), Scraper(metrics, 15.0)
            stack.callback(self._page.close)
            stack.callback(scraper.close)
            self._subscriber = None if broker is None else Subscriber(broker.port, _TOPIC)
            if self._subscriber is not None:
                stack.callback(self._subscriber.close)
            sampler = threading.Thread(target=self._sample, args=(live, watch), daemon=True)
            OTHERS.restart()
            sampler.start()
            self._disturb(live, monotonic() + self._seconds)
            self._over.set()
            sampler.join()
            early = live.code is not None
            code = live.stop()
            self._journal.write("end", at_ns=monotonic_ns(), code=code, why="the run ended by itself" if early else "")
            self._journal.write("summary", **self._summary())

    def _hear(self, result: dict[str, Any], received_ns: int) -> None:
        self._journal.write("result", **brief(result, received_ns))

    def _disturb(self, live: LiveRun, end_s: float) -> None:
        following = plan(self._seed, self._bundle.manifest.window.length_ns * 1e-9)
        self._pause(live, min(end_s, monotonic() + self._bundle.manifest.window.length_ns * 1e-9))
        while live.code is None:
            planned = following()
            if self._broker is None and "broker killed" in planned.kinds:
                continue
            if monotonic() + planned.wait_s + planned.length_s + planned.recovery_s > end_s:
                self._pause(live, end_s)
                return
            self._pause(live, monotonic() + planned.wait_s)
            if live.code is None:
                self._fail(live, planned)

    def _fail(self, live: LiveRun, planned: Planned) -> None:
        began = [self._begin(kind) for kind in planned.kinds]
        self._pause(live, monotonic() + planned.length_s)
        for fault in began:
            self._end(fault)
        outputs = [fault.kind for fault in began if fault.kind in OUTPUT_KINDS]
        for kind in outputs:
            self._await_output(live, kind)
        self._pause(live, monotonic() + planned.recovery_s)

    def _begin(self, kind: str) -> Fault:
        fault = Fault(kind, monotonic_ns())
        self._journal.write("fault", kind=kind, from_ns=fault.from_ns, to_ns=None)
        if kind == "camera unplugged":
            self._camera.unplug()
        elif kind == "tracker unplugged":
            self._tracker.unplug()
        elif kind in _CAMERA_MODES:
            self._camera.mode = _CAMERA_MODES[kind]
        elif kind in _TRACKER_MODES:
            self._tracker.mode = _TRACKER_MODES[kind]
        elif kind == "broker killed":
            assert self._broker is not None
            self._broker.kill()
        elif kind == "page visitor vanishes":
            self._page.vanish()
        else:
            self._page.stall()
        return fault

    def _end(self, fault: Fault) -> None:
        kind, to_ns = fault.kind, monotonic_ns()
        if kind == "camera unplugged":
            self._camera.plug()
        elif kind == "tracker unplugged":
            self._tracker.plug()
        elif kind in _CAMERA_MODES:
            self._camera.mode = "run"
        elif kind in _TRACKER_MODES:
            self._tracker.mode = "run"
        elif kind == "broker killed":
            assert self._broker is not None
            self._broker.start()
        else:
            self._page.come_back()
        self._journal.write("fault", kind=kind, from_ns=fault.from_ns, to_ns=to_ns)

    def _await_output(self, live: LiveRun, kind: str) -> None:
        """Wait until the other end of an output hears results again, and note how long that took."""
        other = self._subscriber if kind == "broker killed" else self._page
        assert other is not None
        began_s = monotonic()
        while other.last_s <= began_s and monotonic() < began_s + _BACK_S and live.code is None:
            self._over.wait(_POLL_S)
        after_s = monotonic() - began_s if other.last_s > began_s else None
        self._journal.write("back", kind=kind, at_ns=monotonic_ns(), after_s=after_s)

    def _pause(self, live: LiveRun, until_s: float) -> None:
        while live.code is None and monotonic() < until_s:
            self._over.wait(min(_POLL_S, max(0.0, until_s - monotonic())))

    def _sample(self, live: LiveRun, watch: StallWatch) -> None:
        number, stalls, next_minute_s = 0, 0, monotonic() + 60.0
        while not self._over.wait(_SAMPLE_S) and live.code is None:
            taken = sample_tree(live.pid, proportional=number % _PROPORTIONAL_EVERY == 0)
            number += 1
            self._journal.write(
                "sample",
                at_ns=monotonic_ns(),
                processes=[
                    [process.name, round(process.rss_mb, 2), process.threads, process.fds]
                    for process in taken.processes
                ],
                rss_mb=round(taken.rss_mb, 3),
                pss_mb=taken.pss_mb,
                uss_mb=taken.uss_mb,
                threads=taken.threads,
                fds=taken.fds,
                cpu_s=round(taken.cpu_s, 2),
                others_share=round(OTHERS.share(), 4),
            )
            for stall in watch.stalls[stalls:]:
                self._journal.write("stall", from_ns=stall[0], to_ns=stall[1])
                stalls += 1
            if monotonic() >= next_minute_s:
                next_minute_s += 60.0
                try:
                    self._minute()
                except Exception as error:  # what is printed must not end what is measured
                    self._journal.write("trouble", at_ns=monotonic_ns(), text=repr(error))

    def _summary(self) -> dict[str, Any]:
        path = self._folder / "sessions" / "soak" / "run" / "session.json"
        try:
            summary: dict[str, Any] = json.loads(path.read_text()).get("summary") or {}
        except (OSError, ValueError):
            summary = {}
        recording = self._folder / "run.mcap"
        return {"summary": summary, "recording_mb": recording.stat().st_size / 1e6 if recording.exists() else None}


def brief(result: dict[str, Any], received_ns: int) -> dict[str, Any]:
    """The fields of a result that are kept: those of the oracle, its latency, and its age when its line was read."""
    return {
        "end_ns": result["end_ns"],
        "state": result["state"],
        "heads": list(result["heads"]),
        "face_age_ms": result["face_age_ms"],
        "sample_age_ms": result["sample_age_ms"],
        "total_ms": result["stages_ms"]["total"],
        "age_ms": round((received_ns - result["end_ns"]) * 1e-6, 3),
        "dropped": result["dropped"],
        "notes": [note for note in result["notes"] if note.startswith("nothing from the ")],
    }
