"""Speed and memory of one bundle on this machine; each function is meant for a process of its own (see `child`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns, perf_counter_ns, process_time
from typing import Final

import msgspec
import numpy as np

from emer_edge.bench.records import Latency, Loading, Streaming
from emer_edge.metrics.latency import LatencySummary, summarise
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS

__all__ = ["PARTS", "DeviceFigures", "measure_parts", "measure_stream"]

PARTS: Final = ("encode one crop", "fuse one window", "live step", "whole window", "find a face")
"""`live step` is one crop encoded and one window fused; `whole window` encodes all eight crops."""

_MS: Final = 1e-6


class DeviceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What `measure_parts` found.

    Attributes:
        engine, device: what computed.
        loading: opening the bundle.
        latency: part -> latency, the `PARTS`.
    """

    engine: str
    device: str
    loading: Loading
    latency: dict[str, Latency]


def measure_parts(
    bundle_path: Path,
    engine: str,
    threads: int,
    repeats: int,
    warmup: int,
    started_ns: int | None = None,
    progress: Progress = silent,
) -> DeviceFigures:
    """Open a bundle and time its parts on the portrait and synthetic eyes.

    Args:
        bundle_path: the bundle's folder.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        repeats: durations to measure of each part.
        warmup: runs before them.
        started_ns: when this process was started, host monotonic time; None counts from now.
        progress: told after each part.

    Raises:
        BundleError: the bundle is damaged.
        EngineError: the engine is unavailable or refuses a part.
        MissingExtraError: OpenCV is not installed.
    """
    started_ns = monotonic_ns() if started_ns is None else started_ns
    from emer_edge.bench.latency.sensors import SimulatedCamera
    from emer_edge.bundle import load_bundle
    from emer_edge.data.images import fit_crop
    from emer_edge.data.synth.eyes import generate
    from emer_edge.data.windows import stack_faces
    from emer_edge.runtime.pipeline.summary import resident_mb
    from emer_edge.runtime.session import Session

    start_ms = (monotonic_ns() - started_ns) * _MS
    imported = perf_counter_ns()
    bundle = load_bundle(bundle_path)
    verified = perf_counter_ns()
    with Session(bundle, engine, threads) as session:
        detector = session.detector
        opened = perf_counter_ns()
        view = SimulatedCamera().view(0)
        crop = stack_faces([fit_crop(view[40:300, 180:440])])
        rows = generate("neutral").rows
        eye = rows[np.linspace(0, len(rows) - 1, EYE_SLOTS).astype(int)].reshape(1, EYE_SLOTS, EYE_COLUMN_COUNT)
        gaze = np.ascontiguousarray(eye[..., :2])
        faces = np.broadcast_to(crop, (1, FACE_SLOTS, 3, FACE_SIZE_PX, FACE_SIZE_PX)).copy()

        def step() -> None:
            embedding = session.encode(crop)
            session.fuse(np.broadcast_to(embedding, (1, FACE_SLOTS, embedding.shape[1])).copy(), eye, gaze)

        ready = perf_counter_ns()
        step()
        stepped = perf_counter_ns()
        loading = Loading(
            start_ms=start_ms,
            verify_ms=(verified - imported) * _MS,
            open_ms=(opened - verified) * _MS,
            first_step_ms=(stepped - ready) * _MS,
            rss_mb=resident_mb()[0],
        )
        embeddings = np.repeat(session.encode(crop), FACE_SLOTS, axis=0)[None]
        work: dict[str, Callable[[], object]] = {
            "encode one crop": lambda: session.encode(crop),
            "fuse one window": lambda: session.fuse(embeddings, eye, gaze),
            "live step": step,
            "whole window": lambda: session.predict(faces, eye, gaze),
            "find a face": lambda: detector.detect(view),
        }
        latency = {}
        for at, part in enumerate(PARTS):
            progress("timing the parts", at, len(PARTS))
            latency[part] = Latency.of(_timed(work[part], repeats, warmup), warmup)
        progress("timing the parts", len(PARTS), len(PARTS))
        return DeviceFigures(engine=session.engine_name, device=session.device, loading=loading, latency=latency)


def measure_stream(
    bundle_path: Path, engine: str, threads: int, seconds: float, progress: Progress = silent
) -> Streaming:
    """Run the live pipeline on simulated sensors for so many seconds of real time.

    Arguments and errors are those of `measure_parts`.
    """
    from emer_edge.bench.latency.sensors import SimulatedCamera, SimulatedTracker
    from emer_edge.runtime.pipeline import Pipeline

    camera, tracker = SimulatedCamera(), SimulatedTracker()
    pipeline = Pipeline(bundle_path, camera, tracker, engine=engine, threads=threads)
    hop_s = pipeline.bundle.manifest.window.hop_ns * 1e-9
    wanted = max(1, round(seconds / hop_s))
    results = 0
    with pipeline:
        spent_s = process_time()
        for _ in pipeline:
            results += 1
            progress("streaming", results, wanted)
            if results >= wanted:
                break
        spent_s = process_time() - spent_s
    found = pipeline.summary()
    return Streaming(
        seconds=found.seconds,
        frame_rate_hz=camera.fps,
        sample_rate_hz=tracker.rate_hz,
        frames=found.frames,
        samples=found.samples,
        results=results,
        states=found.states,
        stages={stage: Latency.of(each) for stage, each in found.stages.items()},
        ages={age: Latency.of(each) for age, each in found.ages.items()},
        dropped=found.dropped,
        cpu_share=spent_s / found.seconds,
        rss_mb=found.rss_mb,
        peak_rss_mb=found.peak_rss_mb,
    )


def _timed(work: Callable[[], object], repeats: int, warmup: int) -> LatencySummary:
    for _ in range(warmup):
        work()
    durations = []
    for _ in range(repeats):
        began = perf_counter_ns()
        work()
        durations.append(perf_counter_ns() - began)
    return summarise(durations)
