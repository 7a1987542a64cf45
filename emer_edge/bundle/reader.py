"""Opening a bundle: nothing of it is used before every file has been checked against the manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from emer_edge.bundle.manifest import MANIFEST_NAME, FileRecord, Manifest, Variant
from emer_edge.errors import BundleError
from emer_edge.spec.progress import Progress, silent

if TYPE_CHECKING:
    from emer_edge.runtime.session import Session

__all__ = ["Bundle", "load_bundle", "sha256_of"]

_LARGEST_MANIFEST: Final = 16 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files have been checked.

    Attributes:
        path: its folder.
        manifest: what it says about itself.
    """

    path: Path
    manifest: Manifest

    def part(self, variant: Variant, name: str) -> Path:
        """Return the ONNX file of a part (`face_encoder`, `fusion`, `face_detector`); raise BundleError if absent."""
        relative = f"{variant}/{name}.onnx"
        if relative not in self.manifest.files:
            held = ", ".join(sorted(self.manifest.files)) or "nothing"
            raise BundleError(f"{self.path} has no {relative}; it holds {held}; export it again")
        return self.path / relative

    def open(self, engine: str = "auto", threads: int = 1, progress: Progress = silent) -> Session:
        """Load the parts into an engine.

        Args:
            engine: `onnxruntime`, `tensorrt`, or `auto`.
            threads: intra-op threads of CPU engines.
            progress: told while engines are built, which TensorRT needs once a machine.

        Raises:
            EngineError: the engine is unavailable or refuses a part.
        """
        from importlib import import_module

        session: Session = import_module("emer_edge.runtime.session").Session(self, engine, threads, progress)
        return session


def load_bundle(path: str | Path) -> Bundle:
    """Open the bundle in folder `path`.

    Raises:
        BundleError: no bundle there; an invalid or newer manifest; a file that is missing, has another size or
            another hash, or lies outside the folder.
    """
    folder = Path(path)
    manifest_path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise BundleError(f"there is no bundle at {folder}; make one with: emer-edge export --output NAME.emer")
    if not manifest_path.is_file():
        raise BundleError(f"{folder} holds no {MANIFEST_NAME}, so it is not a bundle of emer-edge")
    if manifest_path.stat().st_size > _LARGEST_MANIFEST:
        raise BundleError(f"{manifest_path} is larger than {_LARGEST_MANIFEST >> 20} MB; it is not a manifest")
    manifest = Manifest.from_json(manifest_path.read_bytes(), str(manifest_path))
    for relative, record in manifest.files.items():
        _check(folder, relative, record)
    return Bundle(folder, manifest)


def _check(folder: Path, relative: str, record: FileRecord) -> None:
    name = PurePosixPath(relative)
    file = folder / name
    if name.is_absolute() or ".." in name.parts or "\\" in relative or not name.parts:
        raise BundleError(f"{folder}: the manifest names {relative!r}, which leaves the folder; don't use this bundle")
    if not file.is_file():
        raise BundleError(f"{folder} lacks {relative}, which its manifest names; copy the bundle again")
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{folder}: {relative} is a link that leaves the folder; don't use this bundle")
    if file.stat().st_size != record.bytes or sha256_of(file) != record.sha256:
        raise BundleError(f"{folder}: {relative} is not the file that was exported (wrong hash); copy the bundle again")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
