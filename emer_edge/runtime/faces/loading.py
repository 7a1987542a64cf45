"""Loading a bundle's face detector into an engine, and finding the engine that is fastest at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Final

import numpy as np

from emer_edge.bundle.manifest import DetectorRecord
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.runtime.engines.base import Engine, InTurn
from emer_edge.runtime.faces.detector import FaceDetector

_TIMED_LOOKS: Final = 11


def open_detector(
    record: DetectorRecord, paths: Sequence[Path], engine: str = CPU_ENGINE, threads: int = 1
) -> FaceDetector:
    """Load a detector.

    Args:
        record: what the manifest says about it.
        paths: its part `face_detector`, and `face_detector_near` if the record has a size for it.
        engine: name of an engine, or `auto`.
        threads: intra-op threads of CPU engines.

    Raises:
        EngineError: the engine is unavailable or refuses a part.
        BundleError: the parts are not those that the record describes.
    """
    with ExitStack() as opened:
        engines: list[Engine] = []
        for path in paths[: 2 if record.near_px else 1]:
            loaded = open_engine(engine, path, threads)
            opened.callback(loaded.close)
            engines.append(loaded if loaded.parallel else InTurn(loaded))
        detector = FaceDetector(record, *engines)
        opened.pop_all()  # from here on they are the detector's to close
    return detector


def fastest_detector(
    record: DetectorRecord, parts: Mapping[str, Sequence[Path]], threads: int = 1
) -> tuple[FaceDetector, str]:
    """Load a detector in each of several engines, time the look that most frames get, and keep the fastest.

    A part this small can be slower on a GPU than on a CPU, which needs no copy and does not wait for the encoder.

    Args:
        record: what the manifest says about it.
        parts: engine -> its parts, as `open_detector` takes them.
        threads: intra-op threads of CPU engines.

    Returns:
        The detector, and its engine's name.

    Raises:
        EngineError, BundleError: as `open_detector`.
    """
    if len(parts) == 1:
        ((engine, paths),) = parts.items()
        return open_detector(record, paths, engine, threads), engine
    with ExitStack() as opened:
        detectors = {
            engine: opened.enter_context(closing(open_detector(record, paths, engine, threads)))
            for engine, paths in parts.items()
        }
        times_ns: dict[str, list[int]] = {engine: [] for engine in detectors}
        for _ in range(_TIMED_LOOKS):
            for engine, detector in detectors.items():  # in turns, so that all share what else the machine does
                times_ns[engine].append(_look_ns(detector))
        best = min(detectors, key=lambda engine: median(times_ns[engine]))
        opened.pop_all()
    for engine, detector in detectors.items():
        if engine != best:
            detector.close()
    return detectors[best], best


def _look_ns(detector: FaceDetector) -> int:
    """Time of a look: at one face where the bundle has a part for that, else at a whole image."""
    began_ns = perf_counter_ns()
    detector.in_crop(np.zeros((FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8))
    return perf_counter_ns() - began_ns
