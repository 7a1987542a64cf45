"""Whole files and folders: written under a temporary name, then renamed to one that is still as it was found.

The temporary name begins with a dot and is in the same folder, hence on the same disk, where a rename is atomic. Its
writer holds a lock (flock(2)) on it that ends with the process, so whoever writes to that folder next removes what a
killed writer left there, and nothing else. A disk without such locks keeps its leftovers.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.core.errors import OutputExistsError

SYNC_S: Final = 2.0
"""What was written longer ago has been synced (fsync(2)), unless that takes longer itself."""

_UNFINISHED: Final = ".emer-edge-new"
_REPLACED: Final = ".emer-edge-old"
_LONGEST_NAME: Final = 200  # bytes of the output's own name in a temporary one; file systems allow 255
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
_MEANWHILE: Final = (
    "was made or changed by another program while this command ran, and was left as it is; choose another name, or "
    "pass --force to replace it"
)


@dataclass(frozen=True)
class Target:
    """An output, as its command found the place when it began.

    Attributes:
        path: where to write.
        found: identity of what was there and may be replaced; None: nothing was.
        writes: tells by its relative path whether a file in the folder can be this product's; None for a file.
    """

    path: Path
    found: tuple[int, ...] | None = None
    writes: Callable[[Path], bool] | None = None

    @classmethod
    def of(cls, path: Path, force: bool = False, writes: Callable[[Path], bool] | None = None) -> Target:
        """Look at the place of an output.

        Raises:
            OutputExistsError: there is something and `force` is false, or a folder there holds files of others.
        """
        target = cls(path, _identity(path), writes)
        if target.found is not None and not force:
            raise OutputExistsError(path)
        target.check()
        return target

    def check(self) -> None:
        """Raise OutputExistsError where the place is no longer as found, or files of others would be removed."""
        if _identity(self.path) != self.found:
            raise OutputExistsError(self.path, _MEANWHILE)
        if self.found is None or self.writes is None or not self.path.is_dir():
            return
        for file in sorted(self.path.rglob("*")):
            if (file.is_symlink() or not file.is_dir()) and not self.writes(file.relative_to(self.path)):
                kept = f"holds {file.relative_to(self.path)}, which emer-edge did not write"
                raise OutputExistsError(self.path, f"{kept}; move that away, or choose another name")


@contextmanager
def whole_file(path: Path | Target, private: bool = False) -> Iterator[Path]:
    """Yield an empty file to write to; it takes its place unless something fails. Missing folders are made.

    Args:
        path: the file, which replaces any other; or a target, which is decided again in the end.
        private: mode 0600, readable by this user alone.

    Raises:
        OSError: the disk refuses; it names the output, not the temporary file.
        OutputExistsError: a target is no longer as it was found.
    """
    target, path = (path, path.path) if isinstance(path, Target) else (None, path)
    mode = 0o600 if private else 0o666

    def make(unfinished: Path) -> None:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))

    with _unfinished(path, make) as (unfinished, handle):
        yield unfinished
        os.fsync(handle)  # network disks, and quotas, may refuse only now what they took before
        if target is not None:
            target.check()
        if target is None or target.found is not None or not _linked(unfinished, path):
            os.replace(unfinished, path)


def write_private(path: Path, content: bytes) -> None:
    """Write a private `whole_file`; folders that it needs are made with mode 0700."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with whole_file(path, private=True) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def whole_folder(path: Path | Target) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes its place unless something fails or it stays empty.

    Args:
        path: the folder, which replaces the one that is there now; or a target.

    Raises:
        OSError: the disk refuses; it names the output, not the temporary folder.
        OutputExistsError: the target is no longer as it was found.
    """
    target = path if isinstance(path, Target) else Target.of(path, force=True)
    with unfinished_folder(target) as unfinished:
        yield unfinished
        if any(unfinished.iterdir()):
            name_folder(unfinished, target)


@contextmanager
def unfinished_folder(target: Target) -> Iterator[Path]:
    """As `whole_folder`, but it takes its place only where `name_folder` is called before the end."""
    with _unfinished(target.path, Path.mkdir) as (unfinished, _):
        yield unfinished


@contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """Yield a private folder for work in progress, and remove it: beside an output, or among the temporary files."""

    def make(folder: Path) -> None:
        folder.mkdir(mode=0o700)

    with _unfinished(beside or Path(tempfile.gettempdir()) / "emer-edge", make) as (folder, _):
        yield folder


@contextmanager
def _unfinished(path: Path, make: Callable[[Path], None]) -> Iterator[tuple[Path, int]]:
    """Make something locked beside `path`, give it and its handle, and remove it if it is still there in the end."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent)) from None
    _sweep(path.parent)
    tried: list[Path] = []  # a signal may come at any moment
    handle = -1
    try:
        handle = _locked(path, make, tried)
        yield tried[-1], handle
    except OSError as error:
        for name in ("filename", "filename2"):
            if str(getattr(error, name)).startswith(str(tried[-1])):
                setattr(error, name, str(path) + str(getattr(error, name)).removeprefix(str(tried[-1])))
        raise
    except Exception:
        if not _is_at(handle, tried[-1]):  # what failed is only the first that missed it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
        raise
    finally:
        for unfinished in tried:
            _remove(unfinished)
        if handle >= 0:
            os.close(handle)


def _locked(path: Path, make: Callable[[Path], None], tried: list[Path]) -> int:
    while True:
        unfinished = _beside(path, _UNFINISHED)
        tried.append(unfinished)
        make(unfinished)
        try:
            handle = os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # swept before it was locked
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, unfinished):
                return handle
        except BlockingIOError:  # being swept
            pass
        except OSError:  # no locks here
            return handle
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(handle))
    except OSError:
        return False


def _sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder; give back what one of them had moved aside."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith((_UNFINISHED, _REPLACED)):
                _sweep_one(folder / name)


def _sweep_one(path: Path) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(handle)
            if not os.path.samestat(os.lstat(path), status) or status.st_uid != os.geteuid():
                return
            name = path.name[1:].rpartition(".emer-edge-")[0].rpartition(".")[0]
            if path.name.endswith(_REPLACED) and not os.path.lexists(path.with_name(name)):
                os.rename(path, path.with_name(name))
            else:
                _remove(path)
        finally:
            os.close(handle)


def name_folder(folder: Path, target: Target) -> None:
    """Rename a folder to its target and remove what was found there; keep that if the disk refuses.

    Raises:
        OSError: the disk refuses.
        OutputExistsError: the target is no longer as it was found.
    """
    target.check()
    path = target.path
    if target.found is None:
        try:
            os.rename(folder, path)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise OutputExistsError(path, _MEANWHILE) from None
            raise
        return
    replaced = _beside(path, _REPLACED)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(path, replaced)
        try:
            os.rename(folder, path)
        except BaseException:
            os.rename(replaced, path)
            raise
        _remove(replaced)
    finally:
        os.close(handle)


class Syncing:
    """Syncs open files, and the folders in which they have their names, every `SYNC_S` on a thread of its own."""

    def __init__(self, *descriptors: int, folders: Sequence[Path]) -> None:
        self._folders = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for folder in folders]
        self._descriptors = (*descriptors, *self._folders)
        self._error: OSError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emer-edge sync", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise the OSError with which the disk has refused what was written before."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Sync the rest; raise as `check`."""
        self._over.set()
        self._thread.join()
        for folder in self._folders:
            os.close(folder)
        self.check()

    def _run(self) -> None:
        over = False
        while not over and self._error is None:
            over = self._over.wait(SYNC_S)
            try:
                for descriptor in self._descriptors:
                    os.fsync(descriptor)
            except OSError as error:
                self._error = None if error.errno in (errno.EINVAL, errno.ENOTSUP) else error  # pipes, odd disks


def claim(descriptor: int) -> None:
    """Mark an open file as being written by this process, until it is closed; nothing where the disk has no locks."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_claimed(path: Path) -> bool:
    """Whether a living process has claimed a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _linked(unfinished: Path, path: Path) -> bool:
    """Give a file its name unless that is taken; False where this disk has no hard links."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise OutputExistsError(path, _MEANWHILE) from None
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _beside(path: Path, mark: str) -> Path:
    name = os.fsencode(path.name)[:_LONGEST_NAME].decode(errors="ignore")
    return path.with_name(f".{name}.{secrets.token_hex(4)}{mark}")
