"""The artefact that export writes and all else reads: a folder `<name>.emer/` with hashes of its own files."""

from __future__ import annotations

from emer_edge.bundle.artefact import Bundle, BundleWriter, Part, load_bundle
from emer_edge.bundle.manifest import Combination, Manifest
from emer_edge.bundle.variants import CPU, TENSORRT, VARIANTS, Variant, file_of, role_of

__all__ = [
    "CPU",
    "TENSORRT",
    "VARIANTS",
    "Bundle",
    "BundleWriter",
    "Combination",
    "Manifest",
    "Part",
    "Variant",
    "file_of",
    "load_bundle",
    "role_of",
]
