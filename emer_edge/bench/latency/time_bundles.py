"""Latency of several bundles beside each other: each in a process of its own, in turns (A B, B A, ...)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from emer_edge.bench.latency.closed_loop import Turn, judge_run, load_reason, run_turns
from emer_edge.bench.latency.machine_state import Meter, Watch, conditions_of
from emer_edge.bench.latency.measuring_process import (
    Loop,
    Opened,
    Request,
    Rested,
    Together,
    Worker,
    first_results,
    stream_in_worker,
)
from emer_edge.bench.latency.timed_bundle import AFTER_PAUSE, PARTS, QUERIES
from emer_edge.bench.options import LatencyOptions
from emer_edge.bench.records import latency_records
from emer_edge.bench.records.report_records import BundleBench
from emer_edge.bundle import CPU, Bundle
from emer_edge.core.progress import Progress, silent
from emer_edge.runtime.compose import standing_notes
from emer_edge.runtime.engines import CPU_ENGINE, engines

_TURNS: Final = 10  # of each part: enough for quartiles of their ratios
_IDLE_S: Final = 2.0
_MS: Final = 1e-6


@dataclass(frozen=True)
class TimedBundles:
    """Several bundles beside each other.

    Attributes:
        records: one a bundle, without accuracy.
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
    """Time bundles beside each other.

    Args:
        bundles: at least one.
        environment: the machine before it began.
        options: what to time.
        progress: told often.

    Raises:
        BundleError, EngineError, MissingExtraError: a bundle can't be opened, or its process has died.
    """
    paths = [each.path for each in bundles]
    with Watch(options.root) as watch:
        firsts: list[latency_records.FirstResult] | list[None] = [None] * len(bundles)
        if options.starts:
            firsts = first_results(paths, lambda path: _start(path, options), options.starts, progress)
        with ExitStack() as stack:
            workers = [_opened(stack, each, options) for each in paths]
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
        live = [_live(each, options, progress) for each in paths]
    made = []
    for at, (bundle, (_, found)) in enumerate(zip(bundles, workers, strict=True)):
        manifest, variant = bundle.manifest, engines()[found.engine].variant
        queries = {query: each[at] for query, each in single.items()}
        made.append(
            BundleBench(
                name=manifest.name,
                path=str(bundle.path),
                size_bytes=sum(each.bytes for each in manifest.files.values()),
                precision={
                    part.split("/", 1)[1]: each
                    for part, each in manifest.precision.parts.items()
                    if part.startswith(f"{variant}/")
                },
                engine=found.engine,
                device=found.device,
                threads=options.threads,
                demo=manifest.demo,
                loading=found.loading,
                first_result=firsts[at],
                latency={
                    part: _latency(turns[at], 0 if part == AFTER_PAUSE else options.warmup)
                    for part, turns in parts.items()
                },
                single_stream=queries,
                several_streams=several[at],
                streaming=next((each for each in live[at] if each.streams == 1), None),
                live_streams=tuple(each for each in live[at] if each.streams > 1),
                accuracy=None,
                notes=(*standing_notes(manifest), *_notes(bundle, variant, queries)),
            )
        )
    ratios = tuple(_ratios([each.manifest.name for each in bundles], parts))
    return TimedBundles(tuple(made), ratios, watch.conditions)


def _opened(stack: ExitStack, bundle: Path, options: LatencyOptions) -> tuple[Worker, Opened]:
    """A process with a bundle open, alone while it opens."""
    worker = stack.enter_context(Worker(bundle, options.engine, options.threads))
    return worker, worker.open()


def _live(bundle: Path, options: LatencyOptions, progress: Progress) -> list[latency_records.Streaming]:
    """One live run, and one for every other number of streams."""
    if not options.stream_s:
        return []
    counts = dict.fromkeys((1, *sorted(options.streams)))
    return [stream_in_worker(bundle, options, streams, progress) for streams in counts]


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

    def several(self) -> list[tuple[latency_records.SeveralStreams, ...]]:
        """Steps of several people at once, bundle by bundle."""
        shares = _shares(max(1, self.options.repeats // 2))
        found: list[list[latency_records.SeveralStreams]] = [[] for _ in self.workers]
        for at, streams in enumerate(self.options.streams):
            self.progress("timing several streams", at, len(self.options.streams))
            for worker, _ in self.workers:
                worker.turn(Together(streams=streams, steps=self.options.warmup))
            turns = self._in_turns([Together(streams=streams, steps=steps) for steps in shares])
            for number, each in enumerate(turns):
                latency = _latency(each, self.options.warmup)
                one = next((other.per_stream_ms for other in found[number] if other.streams == 1), None)
                share = latency.p50_ms / streams
                hop_ms = self.bundles[number].manifest.window.hop_ns * _MS
                found[number].append(
                    latency_records.SeveralStreams(
                        streams=streams,
                        latency=latency,
                        per_stream_ms=share,
                        against_one=share / one if one else (1.0 if streams == 1 else None),
                        most_streams=int(hop_ms / share),
                    )
                )
        self.progress("timing several streams", len(self.options.streams), len(self.options.streams))
        return [tuple(each) for each in found]

    def single(self) -> dict[str, list[latency_records.SingleStream]]:
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
            turns = run_turns(runs, options)
            moments = self.watch.moments[seen:]
            changed = conditions_of(moments).changed if moments else ()
            found[query] = [
                judge_run(
                    each,
                    options,
                    energy=meter.energy(sum(len(turn.durations_ns) for turn in each)),
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


def _latency(turns: Sequence[Turn], warmup: int) -> latency_records.Latency:
    return latency_records.Latency.of_durations((each for turn in turns for each in turn.durations_ns), warmup)


def _ratios(names: Sequence[str], parts: dict[str, list[list[Turn]]]) -> Iterator[latency_records.Ratio]:
    """The parts of every other bundle over those of the first."""
    for part, bundles in parts.items():
        medians = [[median(turn.durations_ns) for turn in each] for each in bundles]
        for name, each in zip(names[1:], medians[1:], strict=True):
            ratios = [one / base for one, base in zip(each, medians[0], strict=True)]
            low, middle, high = np.percentile(ratios, (25, 50, 75)).tolist()
            yield latency_records.Ratio(
                part=part, bundle=name, base=names[0], ratio=middle, low=low, high=high, turns=len(ratios)
            )


def _notes(bundle: Bundle, variant: str, queries: Mapping[str, latency_records.SingleStream]) -> Iterator[str]:
    name = bundle.manifest.name
    if bundle.manifest.precision.requested == "fp16" and variant == CPU:
        yield f"{name}: FP16 means FP32 on the CPU, so its times are those of FP32"
    for query, each in queries.items():
        if not each.valid:
            yield f"{name}: the closed loop of {query} supports no p90: {each.reason}"
        if not each.stability.stable:
            yield f"{name}: the closed loop of {query} was unstable: {', '.join(each.stability.reasons)}"
