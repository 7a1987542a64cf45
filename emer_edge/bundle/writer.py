"""Writing a bundle so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import msgspec

from emer_edge.bundle.manifest import MANIFEST_NAME, FileRecord, Manifest
from emer_edge.bundle.reader import Bundle, sha256_of
from emer_edge.errors import BundleError, OutputExistsError

__all__ = ["BundleWriter"]


class BundleWriter:
    """Collects files under a temporary name beside the target and renames the folder at `commit`.

    Use as a context manager: leaving it without `commit` removes everything.

    Args:
        path: the bundle's folder.
        force: replace a bundle that is there already.

    Raises:
        OutputExistsError: `path` exists and `force` is false, or it exists and is not a bundle.
        BundleError: the folder can't be created.
    """

    def __init__(self, path: str | Path, force: bool = False) -> None:
        self.path = Path(path)
        if self.path.exists():
            if not force:
                raise OutputExistsError(self.path)
            if not (self.path / MANIFEST_NAME).is_file():
                raise BundleError(f"{self.path} exists and is not a bundle; --force replaces bundles only")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        except OSError as error:
            raise BundleError(f"can't write beside {self.path}: {error.strerror}") from None
        self.folder.chmod(0o755)

    def __enter__(self) -> BundleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, relative: str) -> Path:
        """Return where to write a file of the bundle, its folder made."""
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def add(self, relative: str, content: bytes | Path) -> None:
        """Put a file into the bundle: its bytes, or a file to copy. Raises BundleError when the disk is full."""
        try:
            if isinstance(content, Path):
                shutil.copyfile(content, self.file(relative))
            else:
                self.file(relative).write_bytes(content)
        except OSError as error:
            raise BundleError(f"can't write {relative} of {self.path}: {error.strerror}") from None

    def commit(self, manifest: Manifest) -> Bundle:
        """Hash what was added, write the manifest (its `files` replaced), and give the bundle its name."""
        files = {
            file.relative_to(self.folder).as_posix(): FileRecord(sha256=sha256_of(file), bytes=file.stat().st_size)
            for file in sorted(self.folder.rglob("*"))
            if file.is_file() and file.name != MANIFEST_NAME
        }
        manifest = msgspec.structs.replace(manifest, files=files)
        self.add(MANIFEST_NAME, manifest.to_json())
        replaced: Path | None = None
        try:
            if self.path.exists():
                replaced = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent)) / "replaced"
                os.rename(self.path, replaced)
            os.rename(self.folder, self.path)
        except OSError as error:
            if replaced is not None and replaced.exists():
                os.rename(replaced, self.path)
            raise BundleError(f"can't name the bundle {self.path}: {error.strerror}") from None
        finally:
            if replaced is not None:
                with contextlib.suppress(OSError):
                    shutil.rmtree(replaced.parent)
        return Bundle(self.path, manifest)
