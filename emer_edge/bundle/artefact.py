"""A bundle's folder: written atomically, and read only after all its files have been checked."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, cast

import msgspec

from emer_edge.bundle.golden_file import GOLDEN_NAME
from emer_edge.bundle.manifest import MANIFEST_NAME, FileRecord, Manifest
from emer_edge.bundle.variants import VARIANTS, Variant, file_of, role_of
from emer_edge.core.errors import BundleError
from emer_edge.core.whole_file import Target, name_folder, unfinished_folder

_LARGEST_MANIFEST: Final = 16 << 20
_OWN: Final = frozenset({MANIFEST_NAME, GOLDEN_NAME, "report.json", "report.html"})


@dataclass(frozen=True)
class Bundle:
    """A bundle with checked files."""

    path: Path
    manifest: Manifest

    def part(self, variant: Variant, name: str) -> Path:
        """Return the ONNX file of a part (`face_encoder`, `fusion`, `face_detector`); raise BundleError if absent."""
        relative = file_of(variant, name)
        if relative not in self.manifest.files:
            held = ", ".join(sorted(self.manifest.files)) or "nothing"
            raise BundleError(f"{self.path} has no {relative}; it holds {held}; export it again")
        return self.path / relative

    def part_of(self, key: str) -> Path:
        """Return the ONNX file of `cpu/fusion` and so on; raise BundleError if absent."""
        variant, _, name = key.partition("/")
        return self.part(cast(Variant, variant), name)

    def keys_of(self, role: str) -> list[str]:
        """All that can compute a part: `cpu/fusion`, `cpu/fusion-int8`, `tensorrt/fusion`."""
        return [f"{variant}/{name}" for variant in VARIANTS for name in self.parts(variant) if role_of(name) == role]

    def parts(self, variant: Variant) -> dict[str, Path]:
        """The variant's parts by name; empty where the bundle has none."""
        files = {
            name: file_of(variant, name) for name in sorted({PurePosixPath(path).stem for path in self.manifest.files})
        }
        return {name: self.path / file for name, file in files.items() if file in self.manifest.files}


def load_bundle(path: str | Path) -> Bundle:
    """Open the bundle in folder `path`.

    Raises:
        BundleError: no bundle there; an invalid or newer manifest; a file that is missing, has another size or
            another hash, or is outside the folder.
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


def _writes(file: Path) -> bool:
    """Whether a file of a bundle, by its path in it, is one of those that an export writes."""
    return file.as_posix() in _OWN or (file.suffix == ".onnx" and file.parts[0] in VARIANTS and len(file.parts) == 2)


class BundleWriter:
    """Collects files in a temporary folder, which `commit` renames; a context manager that removes it otherwise.

    Args:
        path: the bundle's folder.
        force: replace a bundle that is there already.

    Attributes:
        folder: the temporary folder, once entered.

    Raises:
        OutputExistsError: `path` exists and `force` is false, or the bundle there holds files of others.
        BundleError: it exists and is not a bundle, or the folder can't be created.
    """

    folder: Path

    def __init__(self, path: str | Path, force: bool = False) -> None:
        self.path = Path(path)
        if force and self.path.exists() and not (self.path / MANIFEST_NAME).is_file():
            raise BundleError(f"{self.path} exists and is not a bundle; --force replaces bundles only")
        self._target = Target.of(self.path, force, _writes)
        self._unfinished = ExitStack()

    def __enter__(self) -> BundleWriter:
        try:
            self.folder = self._unfinished.enter_context(unfinished_folder(self._target))
        except OSError as error:
            raise BundleError(f"can't write beside {self.path}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._unfinished.__exit__(kind, error, trace)
        except OSError as gone:
            raise BundleError(f"can't write {self.path}: {gone.strerror}") from None

    def file(self, relative: str) -> Path:
        """Return where to write a file of the bundle, and make its folder."""
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def add(self, relative: str, content: bytes | Path) -> None:
        """Put bytes, or a copy of a file, into the bundle; BundleError when the disk is full."""
        try:
            if isinstance(content, Path):
                shutil.copyfile(content, self.file(relative))
            else:
                self.file(relative).write_bytes(content)
        except OSError as error:
            raise BundleError(f"can't write {relative} of {self.path}: {error.strerror}") from None

    def commit(self, manifest: Manifest) -> Bundle:
        """Hash the files, write the manifest with their hashes, and rename the folder.

        Raises:
            OutputExistsError: something has come to the bundle's place meanwhile.
            BundleError: the disk refuses.
        """
        files = {
            file.relative_to(self.folder).as_posix(): FileRecord(sha256=sha256_of(file), bytes=file.stat().st_size)
            for file in sorted(self.folder.rglob("*"))
            if file.is_file() and file.name != MANIFEST_NAME
        }
        manifest = msgspec.structs.replace(manifest, files=files)
        self.add(MANIFEST_NAME, manifest.to_json())
        try:
            name_folder(self.folder, self._target)
        except OSError as error:
            raise BundleError(f"can't name the bundle {self.path}: {error.strerror}") from None
        return Bundle(self.path, manifest)
