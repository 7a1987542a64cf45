from __future__ import annotations

from pathlib import Path

import msgspec

from emer_edge.bundle import Bundle, BundleWriter, Manifest

SALT = "5a17"


def write_bundle(path: Path, parts: dict[str, bytes], manifest: Manifest, **changes: object) -> Bundle:
    with BundleWriter(path) as writer:
        for name, part in parts.items():
            writer.add(name, part)
        return writer.commit(msgspec.structs.replace(manifest, **changes))
