"""Loading a face detector's files into an engine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from emer_edge.bundle.manifest import DetectorRecord
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.runtime.engines.base import Engine, shareable
from emer_edge.runtime.faces.detector import FaceDetector


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
            engines.append(shareable(loaded))
        detector = FaceDetector(record, *engines)
        opened.pop_all()  # from here on they are the detector's to close
    return detector
