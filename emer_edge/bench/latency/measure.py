"""Latency of several bundles beside each other: each in a process of its own, in turns (A B, B A, ...)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from emer_edge.bench.latency.candidate import AFTER_PAUSE, PARTS, QUERIES
from emer_edge.bench.latency.conditions import Watch, conditions_of
from emer_edge.bench.latency.energy import Meter
from emer_edge.bench.latency.loop import Turn
from emer_edge.bench.latency.requests import Loop, Opened, Request, Rested, Together
from emer_edge.bench.latency.single_stream import judge_run, run_turns
from emer_edge.bench.latency.starting import first_results
from emer_edge.bench.latency.worker import Worker, stream_in_worker
from emer_edge.bench.records import (
    Conditions,
    FirstResult,
    Latency,
    Loading,
    Ratio,
    SeveralStreams,
    SingleStream,
    Streaming,
)
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.engines import CPU_ENGINE
from emer_edge.spec.progress import Progress, silent

__all__ = ["LatencyOptions", "Measured", "Timed", "measure"]

_TURNS: Final = 10  # of each part: enough for quartiles of their ratios
_IDLE_S: Final = 2.0
_MS: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class LatencyOptions:
    """What to time.

    Attributes:
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        repeats, warmup: durations measured of each part, and runs before them.
        rests: live steps after a pause.
        starts: processes started with the bundle out of the page cache, and as many with it there.
        streams: for how many people at once a step is timed, and the live pipeline run.
        min_seconds, min_queries: of a SingleStream run; 0 of both leaves it out.
        stream_s: length of each live run on simulated sensors, one stream first, then as many as `streams` names; 0
            leaves them out.
        root: holds `proc`, `sys` and what else is read about the machine.

    Raises:
        ConfigurationError: a number that makes no sense.
    """

    engine: str = "auto"
    threads: int = 1
    repeats: int = 200
    warmup: int = 20
    rests: int = 10
    starts: int = 3
    streams: tuple[int, ...] = (1, 2, 4, 8)
    min_seconds: float = 10.0
    min_queries: int = 64
    stream_s: float = 20.0
    root: Path = field(default=Path("/"))

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.threads < 1 or any(each < 1 for each in self.streams):
            raise ConfigurationError("repeats, threads and streams are at least 1")
        if min(self.warmup, self.rests, self.starts, self.min_seconds, self.min_queries, self.stream_s) < 0:
            raise ConfigurationError("warm-up, rests, starts, seconds and queries are at least 0")


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A bundle to be timed.

    Attributes:
        path: its folder.
        name: in ratios.
        hop_ns: time from one result to the next.
    """

    path: Path
    name: str
    hop_ns: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found about one bundle; see the records."""

    engine: str
    device: str
    loading: Loading
    first_result: FirstResult | None
    latency: dict[str, Latency]
    single_stream: dict[str, SingleStream]
    several_streams: tuple[SeveralStreams, ...]
    streaming: Streaming | None
    live_streams: tuple[Streaming, ...]


def measure(
    candidates: Sequence[Timed], options: LatencyOptions, load: str = "", progress: Progress = silent
) -> tuple[list[Measured], list[Ratio], Conditions]:
    """Time bundles beside each other.

    Args:
        candidates: at least one bundle.
        options: what to time.
        load: what speaks against the load before, see `load_reason`.
        progress: told often.

    Returns:
        One record a bundle, the ratios to the first one, and what the machine was like.

    Raises:
        BundleError, EngineError, MissingExtraError: a bundle can't be opened, or its process has died.
    """
    with Watch(options.root) as watch:
        firsts: list[FirstResult] | list[None] = [None] * len(candidates)
        if options.starts:
            firsts = first_results(
                [each.path for each in candidates], lambda path: _start(path, options), options.starts, progress
            )
        with ExitStack() as stack:
            workers = [_opened(stack, each.path, options) for each in candidates]
            bench = _Bench(candidates, workers, options, watch, load, progress)
            parts = bench.parts()
            several = bench.several()
            single = bench.single()
        live = [_live(each.path, options, progress) for each in candidates]
    measured = [
        Measured(
            engine=found.engine,
            device=found.device,
            loading=found.loading,
            first_result=firsts[at],
            latency={
                part: _latency(each[at], 0 if part == AFTER_PAUSE else options.warmup) for part, each in parts.items()
            },
            single_stream={query: each[at] for query, each in single.items()},
            several_streams=several[at],
            streaming=next((each for each in live[at] if each.streams == 1), None),
            live_streams=tuple(each for each in live[at] if each.streams > 1),
        )
        for at, (_, found) in enumerate(workers)
    ]
    return measured, list(_ratios([each.name for each in candidates], parts)), watch.conditions


def _opened(stack: ExitStack, bundle: Path, options: LatencyOptions) -> tuple[Worker, Opened]:
    """A process with a bundle open, alone while it opens."""
    worker = stack.enter_context(Worker(bundle, options.engine, options.threads))
    return worker, worker.open()


def _live(bundle: Path, options: LatencyOptions, progress: Progress) -> list[Streaming]:
    """One live run, and one for every other number of streams."""
    if not options.stream_s:
        return []
    counts = dict.fromkeys((1, *sorted(options.streams)))
    arguments = (bundle, options.engine, options.threads, options.stream_s)
    return [stream_in_worker(*arguments, streams, progress) for streams in counts]


def _start(bundle: Path, options: LatencyOptions) -> float:
    with Worker(bundle, options.engine, options.threads) as worker:
        return worker.open().first_ms


@dataclass(frozen=True)
class _Bench:
    """Bundles that are open, each in its process."""

    candidates: Sequence[Timed]
    workers: Sequence[tuple[Worker, Opened]]
    options: LatencyOptions
    watch: Watch
    load: str
    progress: Progress

    def parts(self) -> dict[str, list[list[Turn]]]:
        """Every part: its turns, bundle by bundle."""
        shares = _shares(self.options.repeats)
        found: dict[str, list[list[Turn]]] = {}
        for at, part in enumerate(PARTS):
            self.progress("timing the parts", at, len(PARTS) + 1)
            self._warm_up(part)
            found[part] = self._in_turns([Loop(part=part, queries=runs) for runs in shares])
        self.progress("timing the parts", len(PARTS), len(PARTS) + 1)
        if self.options.rests:
            found[AFTER_PAUSE] = self._in_turns([Rested(steps=steps) for steps in _shares(self.options.rests)])
        self.progress("timing the parts", len(PARTS) + 1, len(PARTS) + 1)
        return found

    def several(self) -> list[tuple[SeveralStreams, ...]]:
        """Steps of several people at once, bundle by bundle."""
        shares = _shares(max(1, self.options.repeats // 2))
        found: list[list[SeveralStreams]] = [[] for _ in self.workers]
        for at, streams in enumerate(self.options.streams):
            self.progress("timing several streams", at, len(self.options.streams))
            for worker, _ in self.workers:
                worker.turn(Together(streams=streams, steps=self.options.warmup))
            turns = self._in_turns([Together(streams=streams, steps=steps) for steps in shares])
            for number, each in enumerate(turns):
                latency = _latency(each, self.options.warmup)
                one = next((other.per_stream_ms for other in found[number] if other.streams == 1), None)
                share = latency.p50_ms / streams
                hop_ms = self.candidates[number].hop_ns * _MS
                found[number].append(
                    SeveralStreams(
                        streams=streams,
                        latency=latency,
                        per_stream_ms=share,
                        against_one=share / one if one else (1.0 if streams == 1 else None),
                        most_streams=int(hop_ms / share),
                    )
                )
        self.progress("timing several streams", len(self.options.streams), len(self.options.streams))
        return [tuple(each) for each in found]

    def single(self) -> dict[str, list[SingleStream]]:
        """SingleStream of every query, bundle by bundle."""
        options = self.options
        if not options.min_seconds and not options.min_queries:
            return {}
        meters = [Meter(options.root) for _ in self.workers]
        for meter in meters[:1]:
            meter.measure_idle(_IDLE_S)
        for other in meters[1:]:
            other.idle_mw = meters[0].idle_mw
        found = {}
        for query in QUERIES:
            self._warm_up(query)
            seen = len(self.watch.moments)
            runs = [
                self._metered(worker, query, meter) for (worker, _), meter in zip(self.workers, meters, strict=True)
            ]
            turns = run_turns(runs, options.min_seconds, options.min_queries)
            moments = self.watch.moments[seen:]
            changed = conditions_of(moments).changed if moments else ()
            found[query] = [
                judge_run(
                    each,
                    options.min_seconds,
                    options.min_queries,
                    options.warmup,
                    meter.energy(sum(len(turn.durations_ns) for turn in each)),
                    one_core=options.threads == 1 and opened.engine == CPU_ENGINE,
                    changed=changed,
                    load=self.load,
                )
                for each, meter, (_, opened) in zip(turns, meters, self.workers, strict=True)
            ]
            for meter in meters:
                meter.clear()
        return found

    def _metered(self, worker: Worker, query: str, meter: Meter) -> Callable[[float, int, int], Turn]:
        def run(seconds: float, queries: int, seed: int) -> Turn:
            with meter:
                return worker.turn(Loop(part=query, seconds=seconds, queries=queries, seed=seed), self.progress)

        return run

    def _warm_up(self, part: str) -> None:
        for worker, _ in self.workers:
            worker.turn(Loop(part=part, queries=self.options.warmup))

    def _in_turns(self, requests: Sequence[Request]) -> list[list[Turn]]:
        """Every bundle's turns; every other round goes the other way, so that none always follows the same one."""
        turns: list[list[Turn]] = [[] for _ in self.workers]
        for number, request in enumerate(requests):
            order = range(len(self.workers))
            for at in order if number % 2 == 0 else reversed(order):
                turns[at].append(self.workers[at][0].turn(request))
        return turns


def _shares(runs: int) -> list[int]:
    """So many runs as up to ten turns, as even as can be."""
    turns = min(_TURNS, runs)
    return [runs // turns + (at < runs % turns) for at in range(turns)]


def _latency(turns: Sequence[Turn], warmup: int) -> Latency:
    return Latency.of_durations((each for turn in turns for each in turn.durations_ns), warmup)


def _ratios(names: Sequence[str], parts: dict[str, list[list[Turn]]]) -> Iterator[Ratio]:
    """The parts of every other bundle over those of the first."""
    for part, bundles in parts.items():
        medians = [[median(turn.durations_ns) for turn in each] for each in bundles]
        for name, each in zip(names[1:], medians[1:], strict=True):
            ratios = [one / base for one, base in zip(each, medians[0], strict=True)]
            low, middle, high = np.percentile(ratios, (25, 50, 75)).tolist()
            yield Ratio(part=part, bundle=name, base=names[0], ratio=middle, low=low, high=high, turns=len(ratios))
