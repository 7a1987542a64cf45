"""What was timed, put into the records of bundles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emer_edge.bench.latency.measure import LatencyOptions, Measured, Timed, measure
from emer_edge.bench.latency.stability import load_reason
from emer_edge.bench.records import BundleBench, Conditions, Environment, Ratio
from emer_edge.bundle import CPU, Bundle
from emer_edge.runtime.compose import standing_notes
from emer_edge.runtime.engines import engines
from emer_edge.spec.progress import Progress, silent

__all__ = ["TimedBundles", "time_bundles"]


@dataclass(frozen=True)
class TimedBundles:
    """Several bundles beside each other.

    Attributes:
        records: one a bundle, without accuracy.
        ratios: of the others to the first.
        conditions: what the machine was like.
    """

    records: tuple[BundleBench, ...]
    ratios: tuple[Ratio, ...]
    conditions: Conditions


def time_bundles(
    bundles: Sequence[Bundle], environment: Environment, options: LatencyOptions, progress: Progress = silent
) -> TimedBundles:
    """Time bundles beside each other; arguments and errors are those of `measure`."""
    load = load_reason(environment.load_average, environment.cores, options.threads)
    candidates = [
        Timed(path=each.path, name=each.manifest.name, hop_ns=each.manifest.window.hop_ns) for each in bundles
    ]
    measured, ratios, conditions = measure(candidates, options, load, progress)
    records = tuple(_record(*each, options.threads) for each in zip(bundles, measured, strict=True))
    return TimedBundles(records, tuple(ratios), conditions)


def _record(bundle: Bundle, found: Measured, threads: int) -> BundleBench:
    manifest, variant = bundle.manifest, engines()[found.engine].variant
    return BundleBench(
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
        threads=threads,
        demo=manifest.demo,
        loading=found.loading,
        first_result=found.first_result,
        latency=found.latency,
        single_stream=found.single_stream,
        several_streams=found.several_streams,
        streaming=found.streaming,
        live_streams=found.live_streams,
        accuracy=None,
        notes=(*standing_notes(manifest), *_notes(bundle, found, variant)),
    )


def _notes(bundle: Bundle, found: Measured, variant: str) -> Iterator[str]:
    name = bundle.manifest.name
    if bundle.manifest.precision.requested == "fp16" and variant == CPU:
        yield f"{name}: FP16 means FP32 on the CPU, so its times are those of FP32"
    for query, each in found.single_stream.items():
        if not each.valid:
            yield f"{name}: the closed loop of {query} supports no p90: {each.reason}"
        if not each.stability.stable:
            yield f"{name}: the closed loop of {query} was unstable: {', '.join(each.stability.reasons)}"
