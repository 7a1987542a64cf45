"""One bundle, opened to be timed, or run live on simulated sensors; meant for a process of its own (see `Worker`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns, perf_counter_ns, process_time, sleep
from typing import Final

import msgspec
import numpy as np

from emer_edge.bench.latency.closed_loop import Turn, closed_loop
from emer_edge.bench.records.latency_records import Latency, Loading, Streaming
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.progress import Progress, silent
from emer_edge.metrics.latency import LatencyRecorder

PARTS: Final = ("encode one crop", "fuse one window", "live step", "whole window", "find a face")
"""`live step` is one crop encoded and one window fused; `whole window` encodes all eight crops."""

QUERIES: Final = ("live step", "whole window")
"""The parts that a SingleStream run is made of: an answer about one window each."""

AFTER_PAUSE: Final = "live step after a pause"
"""A live step after `PAUSE_S` of doing nothing, as between two hops: caches and clocks have cooled down."""

PAUSE_S: Final = 0.5

_MS: Final = 1e-6


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What opening a bundle gave.

    Attributes:
        engine, device: what computes.
        precision: part -> what it computes in.
        loading: how long opening took.
        first_ms: from starting the process to the first result.
    """

    engine: str
    device: str
    precision: dict[str, str]
    loading: Loading
    first_ms: float


class Candidate:
    """A bundle in an engine, and everything that is timed of it.

    Args:
        bundle: the bundle's folder.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        started_ns: when this process was started, host monotonic time; None counts from now.

    Attributes:
        opened: what computes, and how long opening took.

    Raises:
        BundleError: the bundle is damaged.
        EngineError: the engine is unavailable or refuses a part.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, bundle: Path | str, engine: str, threads: int, started_ns: int | None = None) -> None:
        started_ns = monotonic_ns() if started_ns is None else started_ns
        from emer_edge.bench.latency.simulated_input import prepare
        from emer_edge.bundle import load_bundle
        from emer_edge.runtime.pipeline.summary import resident_mb
        from emer_edge.runtime.session import Session

        start_ms = (monotonic_ns() - started_ns) * _MS
        began = perf_counter_ns()
        loaded = load_bundle(Path(bundle))
        verified = perf_counter_ns()
        self._session = Session(loaded, engine, threads)
        try:
            self._detector = self._session.detector
            opened = perf_counter_ns()
            self._queries = prepare()
            ready = perf_counter_ns()
            self._embeddings = np.zeros((1, 8, self._session.embedding_width), np.float32)
            self.step(0)
            stepped = perf_counter_ns()
        except BaseException:
            self._session.close()
            raise
        self.opened = Opened(
            engine=self._session.engine_name,
            device=self._session.device,
            precision={role: part.precision for role, part in self._session.parts.items()},
            loading=Loading(
                start_ms=start_ms,
                verify_ms=(verified - began) * _MS,
                open_ms=(opened - verified) * _MS,
                first_step_ms=(stepped - ready) * _MS,
                rss_mb=resident_mb()[0],
            ),
            first_ms=start_ms + (opened - began + stepped - ready) * _MS,
        )
        self._window = self._session.encode(self._queries.crop(0, 8))[None]
        self._work: Mapping[str, Callable[[int], object]] = {
            "encode one crop": lambda at: self._session.encode(self._queries.crop(at)),
            "fuse one window": lambda at: self._session.fuse(self._window, *self._queries.window(at)),
            "live step": self.step,
            "whole window": lambda at: self._session.predict(
                self._queries.crop(at, 8)[None], *self._queries.window(at)
            ),
            "find a face": lambda at: self._detector.detect(self._queries.views[at]),
        }

    def step(self, at: int) -> object:
        """What every result costs live: the newest crop encoded, and its window fused."""
        self._embeddings[0, at % 8] = self._session.encode(self._queries.crop(at))[0]
        return self._session.fuse(self._embeddings, *self._queries.window(at))

    def loop(
        self, part: str, *, seconds: float = 0.0, queries: int, seed: int = 0, progress: Progress = silent
    ) -> Turn:
        """Do a part in a closed loop (see `closed_loop`); raise ConfigurationError for an unknown part."""
        if part not in self._work:
            raise ConfigurationError(f"there is no part {part!r} to time; there are {', '.join(self._work)}")
        return closed_loop(
            self._work[part], len(self._queries), seconds=seconds, queries=queries, seed=seed, progress=progress
        )

    def rested(self, steps: int, pause_s: float = PAUSE_S) -> Turn:
        """Do live steps, each after a pause in which this process sleeps."""
        turns = []
        for _ in range(steps):
            sleep(pause_s)
            turns.append(self.loop("live step", queries=1))
        durations = tuple(turn.durations_ns[0] for turn in turns)
        return Turn(durations, sum(durations), sum(turn.cpu_ns for turn in turns))

    def together(self, streams: int, steps: int) -> Turn:
        """Do live steps of several people: as many crops encoded in one call, as many windows fused in another."""
        embeddings = np.repeat(self._window, streams, axis=0)

        def step(at: int) -> object:
            embeddings[:, at % 8] = self._session.encode(self._queries.crop(at, streams))
            return self._session.fuse(embeddings, *self._queries.window(at, streams))

        return closed_loop(step, len(self._queries), seconds=0.0, queries=steps)

    def close(self) -> None:
        """Free the engines."""
        self._session.close()


def measure_stream(
    bundle: Path | str, engine: str, threads: int, *, seconds: float, streams: int = 1, progress: Progress = silent
) -> Streaming:
    """Run the live pipeline on simulated sensors for so many seconds of real time; a result is due every hop.

    `streams` people are there at once, each with a camera and a tracker; `progress` is called after each result.

    Raises:
        BundleError: the bundle is damaged.
        EngineError: the engine is unavailable or refuses a part.
        MissingExtraError: OpenCV is not installed.
    """
    from emer_edge.bench.latency.simulated_input import FPS, SimulatedCamera, SimulatedTracker
    from emer_edge.data.synth.eyes import RATE_HZ
    from emer_edge.runtime.options import MachineOptions, Source
    from emer_edge.runtime.pipeline import Pipeline

    names = [None] if streams == 1 else [f"person-{number + 1}" for number in range(streams)]
    sources = [Source(SimulatedCamera(), SimulatedTracker(), name=name) for name in names]
    pipeline = Pipeline(Path(bundle), sources=sources, machine=MachineOptions(engine, threads))
    hop_s = pipeline.bundle.manifest.window.hop_ns * 1e-9
    expected = streams * max(1, round(seconds / hop_s))
    label = "running live" if streams == 1 else f"running live, {streams} streams"
    allowance_ms = sources[0].window.arrival_allowance_ms
    end_to_end = LatencyRecorder()
    results = 0
    with pipeline:
        spent_s = process_time()
        for result in pipeline:
            results += 1
            if result.face_age_ms is not None:
                end_to_end.record(round((result.face_age_ms + allowance_ms + result.stages_ms["total"]) * 1e6))
            progress(label, results, expected)
            if results >= expected:
                break
        spent_s = process_time() - spent_s
    summary = pipeline.summary()
    bins = summary.histograms
    return Streaming(
        seconds=summary.seconds,
        frame_rate_hz=FPS,
        sample_rate_hz=RATE_HZ,
        frames=summary.frames,
        samples=summary.samples,
        results=results,
        states=summary.states,
        stages={stage: Latency.of(latency, bins=bins.get(stage, ())) for stage, latency in summary.stages.items()},
        ages={age: Latency.of(latency, bins=bins.get(age, ())) for age, latency in summary.ages.items()},
        dropped=summary.dropped,
        cpu_share=spent_s / summary.seconds,
        rss_mb=summary.rss_mb,
        peak_rss_mb=summary.peak_rss_mb,
        streams=streams,
        end_to_end=Latency.of(end_to_end.summary(), bins=end_to_end.bins()) if end_to_end.count else None,
    )
