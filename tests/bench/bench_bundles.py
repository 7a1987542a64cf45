from __future__ import annotations

from pathlib import Path

import msgspec

from emer_edge.bench.accuracy.clip_scores import FoldScores
from emer_edge.bench.bench_options import LatencyOptions
from emer_edge.bundle import Bundle, BundleWriter, Manifest

UNTIMED = LatencyOptions(
    repeats=1, warmup=0, rests=0, starts=0, streams=(), min_seconds=0.0, min_queries=0, stream_s=0.0
)
SALT = "5a17"


def write_bundle(path: Path, parts: dict[str, bytes], manifest: Manifest, **changes: object) -> Bundle:
    with BundleWriter(path) as writer:
        for name, part in parts.items():
            writer.add(name, part)
        return writer.commit(msgspec.structs.replace(manifest, **{"guard": None, **changes}))


def same_scores(one: FoldScores, other: FoldScores) -> bool:
    assert [clip.name for clip in one.windows.clips] == [clip.name for clip in other.windows.clips]
    assert one.windows.skipped == other.windows.skipped
    assert one.outputs.keys() == other.outputs.keys()
    names = ("face", "eye", "gaze", "face_slots", "eye_slots")
    arrays = [
        *((getattr(one.windows, name), getattr(other.windows, name)) for name in names),
        *((one.owners[owner], other.owners[owner]) for owner in one.owners),
        *((rows, other.outputs[output][head]) for output in one.outputs for head, rows in one.outputs[output].items()),
    ]
    return all(first.tobytes() == second.tobytes() for first, second in arrays)
