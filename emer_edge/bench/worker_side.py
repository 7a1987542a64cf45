"""What runs where clips are worked on: opening the bundle once per process, the work, a check of the machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final, TypeVar

from emer_edge import __version__
from emer_edge.bench.latency.machine_state import describe
from emer_edge.bundle import load_bundle
from emer_edge.core.errors import BundleError, EmerEdgeError, WorkerError
from emer_edge.core.leaving import end_with_parent
from emer_edge.data.dataset import Clip, clip_hash
from emer_edge.data.images import import_cv2
from emer_edge.runtime.session import Session

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_BEGIN_S: Final = 120.0  # to start all workers
_COMPUTES: Final = ("numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt")


@dataclass(frozen=True)
class Opening:
    """How a worker opens the bundle that this process has open.

    Attributes:
        bundle: its folder, absolute.
        manifest_sha256: of its manifest, which holds the hash of every file.
        engine: that computes here; `auto` only where several do.
        parts: part of the networks and its file, so that nothing is chosen differently elsewhere.
    """

    bundle: Path
    manifest_sha256: str
    engine: str
    parts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, session: Session) -> Opening:
        """From an open session."""
        bundle = session.bundle
        engines = {session.parts[role].engine for role in session.networks}
        engine = session.engine_name if len(engines) == 1 else "auto"
        return cls(bundle.path.resolve(), bundle.manifest_sha256, engine, tuple(session.networks.items()))

    def open(self) -> Session:
        """Open it with one thread, after every file has been checked.

        Raises:
            BundleError: there is no bundle, a broken one, or another one.
            EngineError: the engine is not there.
        """
        bundle = load_bundle(self.bundle)
        if bundle.manifest_sha256 != self.manifest_sha256:
            raise BundleError(f"{self.bundle} is another bundle than the one that is measured; copy that one here")
        import_cv2().setNumThreads(1)
        return Session(bundle, self.engine, threads=1, parts=dict(self.parts) or None)


_held: dict[Opening, Session] = {}
"""The bundle that this process has open for others: one at a time."""
_using = threading.Lock()


def _held_session(opening: Opening) -> Session:
    """The session of a bundle, opened by the first work on it; the caller holds `_using`."""
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


def answers(opening: Opening, work: Callable[[Session, Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """The work on a chunk; a session is not shared by two threads at once."""
    with _using:
        session = _held_session(opening)
        return [work(session, item) for item in items]


def begin(all_here: Barrier) -> None:
    """Let this process end with the one that started it, however that ends, and wait until all workers are here.

    An idle worker would keep its executor from starting the next one at once. One that is started later, while another
    dies, makes Python 3.11's executor fail ("dictionary changed size during iteration").
    """
    end_with_parent()
    all_here.wait(_BEGIN_S)


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
        """This machine."""
        machine = describe()
        libraries = ", ".join(f"{name} {machine.versions[name]}" for name in _COMPUTES if name in machine.versions)
        return cls(socket.gethostname(), __version__, f"{machine.cpu or machine.machine}, {libraries}")


def marked(clips: Sequence[Clip]) -> list[tuple[Clip, str]]:
    """Clips and what identifies them: the size of the sheet and a hash of the first, middle and last frame.

    Raises:
        DataError, OSError: one can't be read.
    """
    bare = [replace(clip) for clip in clips]  # without what was read of them so far
    return [(clip, f"{clip.sheet_path.stat().st_size} {clip_hash('', replace(clip))}") for clip in bare]


def look(opening: Opening, clips: Sequence[tuple[Clip, str]]) -> Machine:
    """Check that this machine has the bundle, its engine and the marked clips; opens the bundle."""
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


def differences(here: Machine, machines: Mapping[str, Machine | BaseException]) -> tuple[str, ...]:
    """Compare the machines with this one.

    Args:
        here: the machine that compares.
        machines: address -> what `look` gave there, or what it raised.

    Returns:
        A note where others compute with another processor or other libraries.

    Raises:
        WorkerError: a machine can't take part.
    """
    wrong = []
    others: dict[str, list[str]] = {}
    for address, machine in sorted(machines.items()):
        if isinstance(machine, BaseException):
            wrong.append(f"{address}: {machine}; is emer-edge installed there?")
        elif machine.version != here.version:
            wrong.append(f"{machine.host} ({address}) has emer-edge {machine.version}, this machine {here.version}")
        elif machine.wrong is not None:
            wrong.append(f"{machine.host} ({address}): {machine.wrong}")
        elif machine.computes != here.computes:
            others.setdefault(machine.computes, []).append(machine.host)
    if wrong:
        raise WorkerError(
            f"{len(wrong)} of {len(machines)} Dask workers can't take part; {'; '.join(wrong)}. Every machine needs "
            "this version, and the bundle and the data set under the same paths as here (a shared folder will do)"
        )
    return tuple(
        f"clips were scored on {', '.join(sorted(set(hosts)))} ({computes}) too, this machine is {here.computes}: the "
        "last digits may differ from a run on one of them"
        for computes, hosts in others.items()
    )
