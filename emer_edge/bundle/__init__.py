"""The artefact that export writes and everything else reads: a folder `<name>.emer/` that vouches for its own files."""

from __future__ import annotations

from emer_edge.bundle.manifest import Manifest
from emer_edge.bundle.reader import Bundle, load_bundle
from emer_edge.bundle.writer import BundleWriter

__all__ = ["Bundle", "BundleWriter", "Manifest", "load_bundle"]
