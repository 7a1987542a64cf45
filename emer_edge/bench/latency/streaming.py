"""The open loop: the live pipeline on simulated sensors, in real time; meant for a process of its own (see `child`)."""

from __future__ import annotations

from pathlib import Path
from time import process_time

from emer_edge.bench.records import Latency, Streaming
from emer_edge.spec.progress import Progress, silent

__all__ = ["measure_stream"]


def measure_stream(
    bundle_path: Path, engine: str, threads: int, seconds: float, streams: int = 1, progress: Progress = silent
) -> Streaming:
    """Run the live pipeline on simulated sensors for so many seconds of real time.

    Args:
        bundle_path: the bundle's folder.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        seconds: how long; a result is due every hop.
        streams: people at once, each with a camera and a tracker.
        progress: told after each result.

    Raises:
        BundleError: the bundle is damaged.
        EngineError: the engine is unavailable or refuses a part.
        MissingExtraError: OpenCV is not installed.
    """
    from emer_edge.bench.latency.sensors import FPS, RATE_HZ, SimulatedCamera, SimulatedTracker
    from emer_edge.runtime.pipeline import Pipeline, Streams, StreamSource

    pipeline: Pipeline | Streams
    if streams == 1:
        pipeline = Pipeline(bundle_path, SimulatedCamera(), SimulatedTracker(), engine=engine, threads=threads)
    else:
        sources = [StreamSource(f"person-{each + 1}", SimulatedCamera(), SimulatedTracker()) for each in range(streams)]
        pipeline = Streams(bundle_path, sources, engine=engine, threads=threads)
    hop_s = pipeline.bundle.manifest.window.hop_ns * 1e-9
    wanted = streams * max(1, round(seconds / hop_s))
    label = "streaming" if streams == 1 else f"streaming {streams}"
    results = 0
    with pipeline:
        spent_s = process_time()
        for _ in pipeline:
            results += 1
            progress(label, results, wanted)
            if results >= wanted:
                break
        spent_s = process_time() - spent_s
    found = pipeline.summary()
    bins = found.histograms
    return Streaming(
        seconds=found.seconds,
        frame_rate_hz=FPS,
        sample_rate_hz=RATE_HZ,
        frames=found.frames,
        samples=found.samples,
        results=results,
        states=found.states,
        stages={stage: Latency.of(each, bins=bins.get(stage, ())) for stage, each in found.stages.items()},
        ages={age: Latency.of(each, bins=bins.get(age, ())) for age, each in found.ages.items()},
        dropped=found.dropped,
        cpu_share=spent_s / found.seconds,
        rss_mb=found.rss_mb,
        peak_rss_mb=found.peak_rss_mb,
        streams=streams,
    )
