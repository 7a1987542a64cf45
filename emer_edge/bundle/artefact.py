"""A bundle's folder: written atomically, and read once, after which it is used from memory."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final

import msgspec

from emer_edge.bundle.golden_file import GOLDEN_NAME, Golden, read_golden
from emer_edge.bundle.guard_file import GUARD_NAME, KnownFaces, read_guard
from emer_edge.bundle.manifest import MANIFEST_NAME, FileRecord, Manifest
from emer_edge.bundle.onnx_rule import check_part
from emer_edge.bundle.reading import check_names, read_inside
from emer_edge.bundle.signature import SIGNATURE_NAME, check_signature
from emer_edge.bundle.variants import VARIANTS, Variant, role_of
from emer_edge.core.errors import BundleError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import Target, name_folder, unfinished_folder

_LARGEST_MANIFEST: Final = 16 << 20
_LARGE_BYTES: Final = 256 << 20  # from here on hashing takes seconds on a board, so that its progress is shown
_OWN: Final = frozenset({MANIFEST_NAME, GOLDEN_NAME, GUARD_NAME, SIGNATURE_NAME, "report.json", "report.html"})
_SUFFIX: Final = ".onnx"


@dataclass(frozen=True)
class Part:
    """An ONNX part as it was read: `content` is what an engine gets, which never opens `path`; that is for messages."""

    path: Path
    content: bytes = field(repr=False)
    sha256: str

    @classmethod
    def of(cls, path: Path | Part) -> Part:
        """Read a file that was made here (OSError where it can't be read); a part is itself."""
        if isinstance(path, Part):
            return path
        content = path.read_bytes()
        return cls(path, content, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Bundle:
    """A bundle with checked files, of which parts and golden inputs are held until they are released."""

    path: Path
    manifest: Manifest
    manifest_sha256: str = ""  # of its file; empty where it was made up
    _held: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def part(self, variant: Variant, name: str) -> Part:
        """Return a part (`face_encoder`, `fusion`, `face_detector`); raise BundleError if absent."""
        return self.part_of(f"{variant}/{name}")

    def part_of(self, key: str) -> Part:
        """Return the part `cpu/fusion` and so on; raise BundleError if absent."""
        relative = f"{key}{_SUFFIX}"
        return Part(self.path / relative, self.content(relative), self.manifest.files[relative].sha256)

    def keys_of(self, role: str) -> list[str]:
        """All that can compute a part: `cpu/fusion`, `cpu/fusion-int8`, `tensorrt/fusion`."""
        return [f"{variant}/{name}" for variant in VARIANTS for name in self.parts(variant) if role_of(name) == role]

    def parts(self, variant: Variant) -> list[str]:
        """Names of the variant's parts, sorted; empty where the bundle has none."""
        return sorted(PurePosixPath(file).stem for file in self.manifest.files if file.startswith(f"{variant}/"))

    @property
    def hashes(self) -> dict[str, str]:
        """File -> SHA-256, the manifest's own included: what a signature covers."""
        return {name: file.sha256 for name, file in self.manifest.files.items()} | {MANIFEST_NAME: self.manifest_sha256}

    def golden(self) -> Golden:
        """The golden inputs and outputs; BundleError where there are none, or they are damaged."""
        return read_golden(self.content(GOLDEN_NAME), f"{self.path / GOLDEN_NAME}")

    def guard(self) -> dict[str, KnownFaces]:
        """Where the embeddings of training lie, by face encoder; BundleError where there is none, or it is damaged."""
        return read_guard(self.content(GUARD_NAME), f"{self.path / GUARD_NAME}")

    def content(self, relative: str) -> bytes:
        """A file's bytes, as held, or read anew once they are released; BundleError where it is absent or changed."""
        if relative not in self.manifest.files:
            there = ", ".join(sorted(self.manifest.files)) or "nothing"
            raise BundleError(f"{self.path} has no {relative}; it holds {there}; export it again")
        held = self._held.get(relative)
        return _content(self.path, relative, self.manifest.files[relative]) if held is None else held

    def release(self, keep: Collection[str] = ()) -> None:
        """Free what is held, but for the files in `keep`: engines that are loaded don't need it."""
        for relative in [each for each in self._held if each not in keep]:
            self._held.pop(relative, None)


def load_bundle(path: str | Path, *, key: str | Path | None = None, progress: Progress = silent) -> Bundle:
    """Open the bundle in folder `path`: read each of its files once, and check it.

    Args:
        path: the folder.
        key: what it must be signed by (see `check_signature`).
        progress: shows the hashing of a large one, in MB.

    Raises:
        BundleError: no bundle there; an invalid or newer manifest; a file that is missing, has another size or
            another hash, is a link, is outside the folder, or is not listed; a part that holds what no export writes;
            a signature that is asked for, and is missing or another's (other errors as `check_signature`).
    """
    folder = Path(path)
    if not folder.is_dir():
        raise BundleError(f"there is no bundle at {folder}; make one with: emer-edge export --output NAME.emer")
    if not (folder / MANIFEST_NAME).exists():
        raise BundleError(f"{folder} holds no {MANIFEST_NAME}, so it is not a bundle of emer-edge")
    data, digest = read_inside(folder, MANIFEST_NAME, _LARGEST_MANIFEST)
    bundle = Bundle(folder, Manifest.from_json(data, str(folder / MANIFEST_NAME)), digest)
    files = bundle.manifest.files
    check_names(folder, files, (MANIFEST_NAME, SIGNATURE_NAME))
    if key is not None:
        check_signature(folder, bundle.hashes, Path(key))
    done, total = 0, bundle.manifest.total_bytes
    for relative, record in files.items():
        content = _content(folder, relative, record)
        done += record.bytes
        if total > _LARGE_BYTES:
            progress("checking the bundle, MB", done >> 20, total >> 20)
        if relative.endswith(_SUFFIX):
            check_part(content, f"{folder}: {relative}")
        if relative.endswith(_SUFFIX) or relative in (GOLDEN_NAME, GUARD_NAME):
            bundle._held[relative] = content
    return bundle


def _content(folder: Path, name: str, record: FileRecord) -> bytes:
    content, digest = read_inside(folder, name, record.bytes)
    if digest != record.sha256:
        raise BundleError(f"{folder}: {name} is not the file that was exported (wrong hash); copy the bundle again")
    return content


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
            BundleError: what was written could not be loaded.
            OutputExistsError: something has come to the bundle's place meanwhile.
            BundleError: the disk refuses.
        """
        files = {}
        for file in sorted(each for each in self.folder.rglob("*") if each.is_file() and each.name != MANIFEST_NAME):
            relative, part = file.relative_to(self.folder).as_posix(), Part.of(file)
            files[relative] = FileRecord(sha256=part.sha256, bytes=len(part.content))
            if relative.endswith(_SUFFIX):
                check_part(part.content, f"{self.path}: {relative}")
        manifest = msgspec.structs.replace(manifest, files=files)
        content = manifest.to_json()
        Manifest.from_json(content, f"{self.path / MANIFEST_NAME}")
        self.add(MANIFEST_NAME, content)
        try:
            name_folder(self.folder, self._target)
        except OSError as error:
            raise BundleError(f"can't name the bundle {self.path}: {error.strerror}") from None
        return Bundle(self.path, manifest, hashlib.sha256(content).hexdigest())
