"""What runs where clips are worked on: opening the bundle once a process, the work, a look at what a machine has."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from emer_edge import __version__
from emer_edge.bench.latency.machine_state import describe
from emer_edge.bundle import load_bundle
from emer_edge.bundle.manifest import MANIFEST_NAME
from emer_edge.core.errors import BundleError, EmerEdgeError, WorkerError
from emer_edge.data.dataset import Clip, clip_hash
from emer_edge.data.images import import_cv2
from emer_edge.runtime.session import Session

Item = TypeVar("Item")
Found = TypeVar("Found")

_COMPUTES: Final = ("numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt")


@dataclass(frozen=True)
class Opening:
    """How a worker opens the bundle that this process has open.

    Attributes:
        bundle: its folder, absolute.
        manifest_sha256: of its manifest, which holds the hash of every file.
        engine: that computes here; never `auto`, which may choose differently elsewhere.
        threads: intra-op threads.
    """

    bundle: Path
    manifest_sha256: str
    engine: str
    threads: int = 1

    @classmethod
    def of(cls, session: Session) -> Opening:
        """Of an open session."""
        folder = session.bundle.path.resolve()
        return cls(folder, _manifest_hash(folder), session.engine_name)

    def open(self) -> Session:
        """Open it, after every file has been checked.

        Raises:
            BundleError: there is no bundle, a broken one, or another one.
            EngineError: the engine is not there.
        """
        bundle = load_bundle(self.bundle)
        if _manifest_hash(self.bundle) != self.manifest_sha256:
            raise BundleError(f"{self.bundle} is another bundle than the one that is measured; copy that one here")
        import_cv2().setNumThreads(self.threads)
        return Session(bundle, self.engine, self.threads)


_held: dict[Opening, Session] = {}
"""The bundle that this process has open for others: one at a time."""
_using = threading.Lock()


def _held_session(opening: Opening) -> Session:
    """The session of a bundle, opened by the first work on it; whoever calls holds `_using`."""
    if opening not in _held:
        _close_held()
        _held[opening] = opening.open()
    return _held[opening]


def _close_held() -> None:
    while _held:
        _held.popitem()[1].close()


def forget() -> None:
    """Close the bundle that this process has open for others."""
    with _using:
        _close_held()


def answers(opening: Opening, work: Callable[[Session, Item], Found], items: Sequence[Item]) -> list[Found]:
    """What a worker makes of a chunk; a session is not shared by two threads at once."""
    with _using:
        session = _held_session(opening)
        return [work(session, each) for each in items]


def end_with_parent() -> None:
    """Let this process end with the one that started it, however that ends."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@dataclass(frozen=True)
class Machine:
    """A machine, as far as it matters to the figures.

    Attributes:
        host: its name.
        version: of this tool.
        computes: its processor and the libraries that compute, for people.
        wrong: why it can't take part; None when it can.
    """

    host: str
    version: str
    computes: str
    wrong: str | None = None

    @classmethod
    def here(cls) -> Machine:
        """The one that this runs on."""
        found = describe()
        libraries = ", ".join(f"{name} {found.versions[name]}" for name in _COMPUTES if name in found.versions)
        return cls(socket.gethostname(), __version__, f"{found.cpu or found.machine}, {libraries}")


def marked(clips: Sequence[Clip]) -> list[tuple[Clip, str]]:
    """Clips and what tells them from others: the size of the sheet and a hash of the first, middle and last frame.

    Raises:
        DataError, OSError: one can't be read.
    """
    bare = [replace(each) for each in clips]  # without what was read of them so far
    return [(each, f"{each.sheet_path.stat().st_size} {clip_hash('', replace(each))}") for each in bare]


def look(opening: Opening, clips: Sequence[tuple[Clip, str]]) -> Machine:
    """Look whether this machine has the bundle, its engine and the marked clips; opens the bundle."""
    machine = Machine.here()
    different = []
    try:
        with _using:
            _held_session(opening)
    except EmerEdgeError as error:
        return replace(machine, wrong=str(error))
    for clip, mark in clips:
        try:
            if marked([clip])[0][1] != mark:
                different.append(f"holds another clip {clip.name} in {clip.frames_path} or {clip.sheet_path}")
        except (EmerEdgeError, OSError) as error:
            different.append(f"can't read clip {clip.name}: {error}")
    more = f", and {len(different) - 1} more" if len(different) > 1 else ""
    return replace(machine, wrong=f"{different[0]}{more}" if different else None)


def differences(here: Machine, found: Mapping[str, Machine | BaseException]) -> tuple[str, ...]:
    """What is to be said of the machines.

    Args:
        here: the machine that asks.
        found: address -> what `look` gave there, or what it raised.

    Returns:
        A note where others compute with another processor or other libraries.

    Raises:
        WorkerError: a machine can't take part.
    """
    wrong = []
    others: dict[str, list[str]] = {}
    for address, each in sorted(found.items()):
        if isinstance(each, BaseException):
            wrong.append(f"{address}: {each}; is emer-edge installed there?")
        elif each.version != here.version:
            wrong.append(f"{each.host} ({address}) has emer-edge {each.version}, this machine {here.version}")
        elif each.wrong is not None:
            wrong.append(f"{each.host} ({address}): {each.wrong}")
        elif each.computes != here.computes:
            others.setdefault(each.computes, []).append(each.host)
    if wrong:
        raise WorkerError(
            f"{len(wrong)} of {len(found)} Dask workers can't take part; {'; '.join(wrong)}. Every machine needs this "
            "version, and the bundle and the data set under the same paths as here (a shared folder will do)"
        )
    return tuple(
        f"clips were scored on {', '.join(sorted(set(hosts)))} ({computes}) too, this machine is {here.computes}: the "
        "last digits may differ from a run on one of them"
        for computes, hosts in others.items()
    )


def _manifest_hash(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest()
    except OSError as error:
        raise WorkerError(f"can't read the manifest of {folder}: {error.strerror or error}") from None
