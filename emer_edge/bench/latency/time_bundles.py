"""Latency of several bundles beside each other: each in a process of its own, in turns (A B, B A, ...)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from emer_edge.bench.bench_options import LatencyOptions
from emer_edge.bench.latency.closed_loop import Turn, judge_run, load_reason, run_turns
from emer_edge.bench.latency.machine_state import Meter, Watch, conditions_of
from emer_edge.bench.latency.measuring_process import Worker, first_results
from emer_edge.bench.latency.timed_bundle import AFTER_PAUSE, PARTS, QUERIES, Opened
from emer_edge.bench.records import latency_records
from emer_edge.bench.records.report_records import BundleBench
from emer_edge.bundle import CPU, Bundle
from emer_edge.core.progress import Progress, silent
from emer_edge.runtime.engines import CPU_ENGINE, engines
from emer_edge.runtime.pipeline.readings import standing_notes

_TURNS: Final = 10  # of each part: enough for quartiles of their ratios
_IDLE_S: Final = 2.0
_MS: Final = 1e-6


@dataclass(frozen=True)
class TimedBundles:
    """Several bundles beside each other.

    Attributes:
        records: one per bundle, without accuracy.
        ratios: of the others to the first.
        conditions: what the machine was like.
    """

    records: tuple[BundleBench, ...]
    ratios: tuple[latency_records.Ratio, ...]
    conditions: latency_records.Conditions


def time_bundles(
    bundles: Sequence[Bundle],
    environment: latency_records.Environment,
    options: LatencyOptions,
    progress: Progress = silent,
) -> TimedBundles:
    """Time bundles, at least one, beside each other; `environment` is the machine before it began.

    Raises:
        BundleError, EngineError, MissingExtraError: a bundle can't be opened, or its process has died.
    """
    paths = [bundle.path for bundle in bundles]
    with Watch() as watch:
        firsts: list[latency_records.FirstResult] | list[None] = [None] * len(bundles)
        if options.starts:
            firsts = first_results(paths, lambda path: _start(path, options), options.starts, progress)
        with ExitStack() as stack:
            started = (stack.enter_context(Worker(path, options.engine, options.threads)) for path in paths)
            workers = [(worker, worker.open()) for worker in started]  # each alone while it opens
            bench = _Bench(
                bundles=bundles,
                workers=workers,
                options=options,
                watch=watch,
                load=load_reason(environment.load_average, environment.cores, options.threads),
                progress=progress,
            )
            parts = bench.parts()
            several = bench.several()
            single = bench.single()
        live = [_live(path, options, progress) for path in paths]
    made = []
    for at, (bundle, (_, opened)) in enumerate(zip(bundles, workers, strict=True)):
        manifest, variant = bundle.manifest, engines()[opened.engine].variant
        queries = {query: runs[at] for query, runs in single.items()}
        made.append(
            BundleBench(
                name=manifest.name,
                path=str(bundle.path),
                size_bytes=sum(file.bytes for file in manifest.files.values()),
                precision=opened.precision,
                engine=opened.engine,
                device=opened.device,
                threads=options.threads,
                demo=manifest.demo,
                loading=opened.loading,
                first_result=firsts[at],
                latency={
                    part: _latency(turns[at], 0 if part == AFTER_PAUSE else options.warmup)
                    for part, turns in parts.items()
                },
                single_stream=queries,
                several_streams=tuple(several[at]),
                streaming=next((run for run in live[at] if run.streams == 1), None),
                live_streams=tuple(run for run in live[at] if run.streams > 1),
                accuracy=None,
                notes=(*standing_notes(manifest), *_notes(bundle, variant, queries)),
            )
        )
    ratios = tuple(_ratios([bundle.manifest.name for bundle in bundles], parts))
    return TimedBundles(tuple(made), ratios, conditions_of(watch.moments))


def _live(bundle: Path, options: LatencyOptions, progress: Progress) -> list[latency_records.Streaming]:
    """One live run, and one for every other number of streams, each in a fresh process."""
    runs = []
    for streams in dict.fromkeys((1, *sorted(options.streams))) if options.stream_s else ():
        with Worker(bundle, options.engine, options.threads) as worker:
            runs.append(worker.stream(options.stream_s, streams, progress))
    return runs


def _start(bundle: Path, options: LatencyOptions) -> float:
    with Worker(bundle, options.engine, options.threads) as worker:
        return worker.open().first_ms


@dataclass(frozen=True)
class _Bench:
    """Bundles that are open, each in its process."""

    bundles: Sequence[Bundle]
    workers: Sequence[tuple[Worker, Opened]]
    options: LatencyOptions
    watch: Watch
    load: str
    progress: Progress

    def parts(self) -> dict[str, list[list[Turn]]]:
        """Every part: its turns, bundle by bundle."""
        label, total = "timing the parts", len(PARTS) + 1
        timed: dict[str, list[list[Turn]]] = {}
        for at, part in enumerate(PARTS):
            self.progress(label, at, total)
            self._warm_up(part)
            timed[part] = self._in_turns("loop", self.options.repeats, "queries", part=part)
        self.progress(label, len(PARTS), total)
        if self.options.rests:
            timed[AFTER_PAUSE] = self._in_turns("rested", self.options.rests, "steps")
        self.progress(label, total, total)
        return timed

    def several(self) -> list[list[latency_records.SeveralStreams]]:
        """Steps of several people at once, bundle by bundle."""
        label, counts = "timing several streams", self.options.streams
        timed: list[list[latency_records.SeveralStreams]] = [[] for _ in self.workers]
        for at, streams in enumerate(counts):
            self.progress(label, at, len(counts))
            for worker, _ in self.workers:
                worker.turn("together", streams=streams, steps=self.options.warmup)
            turns = self._in_turns("together", max(1, self.options.repeats // 2), "steps", streams=streams)
            for records, bundle, done in zip(timed, self.bundles, turns, strict=True):
                latency = _latency(done, self.options.warmup)
                one = next((record.per_stream_ms for record in records if record.streams == 1), None)
                share = latency.p50_ms / streams
                records.append(
                    latency_records.SeveralStreams(
                        streams=streams,
                        latency=latency,
                        per_stream_ms=share,
                        against_one=share / one if one else (1.0 if streams == 1 else None),
                        most_streams=int(bundle.manifest.window.hop_ns * _MS / share),
                    )
                )
        self.progress(label, len(counts), len(counts))
        return timed

    def single(self) -> dict[str, list[latency_records.SingleStream]]:
        """SingleStream of every query, bundle by bundle."""
        options = self.options
        if not options.min_seconds and not options.min_queries:
            return {}
        meters = [Meter() for _ in self.workers]
        meters[0].measure_idle(_IDLE_S)
        for meter in meters[1:]:
            meter.idle_mw = meters[0].idle_mw
        judged = {}
        for query in QUERIES:
            self._warm_up(query)
            seen = len(self.watch.moments)
            runs = [
                self._metered(worker, query, meter) for (worker, _), meter in zip(self.workers, meters, strict=True)
            ]
            turns = run_turns(runs, options)
            moments = self.watch.moments[seen:]
            against = [*(conditions_of(moments).changed if moments else ()), *filter(None, [self.load])]
            judged[query] = [
                judge_run(
                    loop,
                    options,
                    energy=meter.energy(sum(len(turn.durations_ns) for turn in loop)),
                    one_core=options.threads == 1 and opened.engine == CPU_ENGINE,
                    against=against,
                )
                for loop, meter, (_, opened) in zip(turns, meters, self.workers, strict=True)
            ]
            for meter in meters:
                meter.clear()
        return judged

    def _metered(self, worker: Worker, query: str, meter: Meter) -> Callable[[float, int, int], Turn]:
        def run(seconds: float, queries: int, seed: int) -> Turn:
            with meter:
                return worker.turn("loop", self.progress, part=query, seconds=seconds, queries=queries, seed=seed)

        return run

    def _warm_up(self, part: str) -> None:
        for worker, _ in self.workers:
            worker.turn("loop", part=part, queries=self.options.warmup)

    def _in_turns(self, work: str, runs: int, counted: str, **others: Any) -> list[list[Turn]]:
        """Every bundle's turns: up to ten, as even as can be; every other round goes the other way.

        So none always follows the same one. `counted` is the argument that holds the runs of a turn.
        """
        turns: list[list[Turn]] = [[] for _ in self.workers]
        rounds = min(_TURNS, runs)
        for number in range(rounds):
            arguments: dict[str, Any] = {**others, counted: runs // rounds + (number < runs % rounds)}
            order = range(len(self.workers))
            for at in order if number % 2 == 0 else reversed(order):
                turns[at].append(self.workers[at][0].turn(work, **arguments))
        return turns


def _latency(turns: Sequence[Turn], warmup: int) -> latency_records.Latency:
    return latency_records.Latency.of_durations((duration for turn in turns for duration in turn.durations_ns), warmup)


def _ratios(names: Sequence[str], parts: dict[str, list[list[Turn]]]) -> Iterator[latency_records.Ratio]:
    """The parts of every other bundle over those of the first."""
    for part, bundles in parts.items():
        medians = [[median(turn.durations_ns) for turn in turns] for turns in bundles]
        for name, times in zip(names[1:], medians[1:], strict=True):
            ratios = [one / base for one, base in zip(times, medians[0], strict=True)]
            low, middle, high = np.percentile(ratios, (25, 50, 75)).tolist()
            yield latency_records.Ratio(
                part=part, bundle=name, base=names[0], ratio=middle, low=low, high=high, turns=len(ratios)
            )


def _notes(bundle: Bundle, variant: str, queries: Mapping[str, latency_records.SingleStream]) -> Iterator[str]:
    name = bundle.manifest.name
    if bundle.manifest.precision.requested == "fp16" and variant == CPU:
        yield f"{name}: FP16 means FP32 on the CPU, so its times are those of FP32"
    for query, run in queries.items():
        if not run.valid:
            yield f"{name}: the closed loop of {query} supports no p90: {run.reason}"
        if not run.stability.stable:
            yield f"{name}: the closed loop of {query} was unstable: {', '.join(run.stability.reasons)}"
