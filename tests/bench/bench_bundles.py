from __future__ import annotations

from pathlib import Path

import msgspec

from emer_edge.bench.options import LatencyOptions
from emer_edge.bundle import Bundle, BundleWriter, Manifest

UNTIMED = LatencyOptions(
    repeats=1, warmup=0, rests=0, starts=0, streams=(), min_seconds=0.0, min_queries=0, stream_s=0.0
)
SALT = "5a17"


def write_bundle(path: Path, parts: dict[str, bytes], manifest: Manifest, **changes: object) -> Bundle:
    with BundleWriter(path) as writer:
        for name, part in parts.items():
            writer.add(name, part)
        return writer.commit(msgspec.structs.replace(manifest, **changes))
