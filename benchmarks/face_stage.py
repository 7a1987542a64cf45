"""Cost of the face stage per frame: detection near a known face against the whole image, one thread, in turns.

The video is shown at 30 frames a second in 640 x 480 to three sources at once, a frame to each in turn, so that they
share whatever else the machine does: as it is, with every look at the whole image, and with a look at every frame. The
time is that of the thread on its core (wall time is written beside it): a machine that does other things as well says
little about what a stage costs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any

from benchmarks.common import ONE_THREAD, Floor, conclude, parser, show, workshop

os.environ.update(ONE_THREAD)  # before numpy is imported

import numpy as np

from emer_edge.bundle import load_bundle
from emer_edge.core.samples import Frame
from emer_edge.data.images import import_cv2
from emer_edge.metrics.latency import summarise
from emer_edge.report.table import Cell, Column
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.faces import FaceDetector, FaceSource, open_detector
from emer_edge.runtime.options import FaceOptions

FLOOR_MS = 4.0
FPS = 30
SIZE_PX = (640, 480)
NAMES = {
    "now": "every 5th frame, mostly near detections",
    "whole": "every 5th frame, whole image",
    "every frame": "every frame, mostly near detections",
}


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Cost of finding and aligning the face, milliseconds per frame and per detection, one thread.")
    made.add_argument("--video", type=Path, help="a video of a face; a synthetic recording by default")
    made.add_argument("--frames", type=int, default=1200, help="frames to show; a shorter video is repeated")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        bundle = load_bundle(arguments.bundle or shop.bundle("int8"))
        video = arguments.video or shop.recording(45) / "video.avi"
        record = bundle.manifest.detector
        parts = [bundle.part("cpu", part) for part in ("face_detector", "face_detector_near")]
        detector = open_detector(record, parts)
        whole = FaceDetector(record, detector.engines[0])
        face, hop_ns = bundle.manifest.face, bundle.manifest.window.hop_ns
        sources = {
            "now": FaceSource(detector, face, hop_ns),
            "whole": FaceSource(whole, face, hop_ns),
            "every frame": FaceSource(detector, face, hop_ns, FaceOptions(detect_every=1)),
        }
        spent: dict[str, list[int]] = {name: [] for name in sources}
        wall: dict[str, list[int]] = {name: [] for name in sources}
        looks: dict[str, list[int]] = {name: [] for name in sources}
        for frame in frames_of(video, arguments.frames):
            for name, source in sources.items():
                before, began, began_wall = source.detections, thread_time_ns(), perf_counter_ns()
                source.on_frame(frame)
                wall[name].append(perf_counter_ns() - began_wall)
                spent[name].append(thread_time_ns() - began)
                if source.detections > before:
                    looks[name].append(spent[name][-1])
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, dict[str, Any]] = {}
    for name, source in sources.items():
        a_frame, a_look = summarise(spent[name]), summarise(looks[name])
        mean = float(np.mean(spent[name])) * 1e-6
        rows.append((NAMES[name], mean, a_frame.p50_ms, a_frame.p99_ms, a_look.p50_ms, a_look.p99_ms, a_look.count))
        figures[name] = {
            "what": NAMES[name],
            "mean_ms_a_frame": mean,
            "wall_mean_ms_a_frame": float(np.mean(wall[name])) * 1e-6,
            "a_frame": a_frame.to_dict(),
            "a_look": a_look.to_dict(),
            "wall_a_frame": summarise(wall[name]).to_dict(),
            "usable_faces": source.found,
            "missed": {why.value: count for why, count in source.missed.items()},
        }
    show(
        f"{len(spent['now'])} frames of {video.name}, 640 x 480, time of one thread",
        (
            Column("Looks"),
            Column("mean per frame", "ms"),
            Column("p50", "ms"),
            Column("p99", "ms"),
            Column("detection p50", "ms"),
            Column("detection p99", "ms"),
            Column("detections"),
        ),
        rows,
        "Frames without a look cost next to nothing, so a frame's median is not a look's.",
    )
    mean = figures["now"]["mean_ms_a_frame"]
    floors = [Floor("mean of the face stage per frame", mean, FLOOR_MS, at_least=False, unit=" ms")]
    return conclude("face_stage", floors, {"video": video.name, "frames": len(spent["now"]), "sources": figures})


def frames_of(video: Path, count: int) -> Iterator[Frame]:
    """`count` frames of a video as 640 x 480 at 30 per second; a shorter video is repeated."""
    cv2 = import_cv2()
    shown = 0
    while shown < count:
        with open_camera(str(video), "fast") as camera:
            for frame in camera:
                if shown == count:
                    return
                stamp_ns = round(shown * 1e9 / FPS)
                image = cv2.resize(frame.image, SIZE_PX, interpolation=cv2.INTER_AREA)
                yield Frame(shown, image, stamp_ns, stamp_ns, "media")
                shown += 1


if __name__ == "__main__":
    sys.exit(main())
