"""What runs on a machine of a cluster: looking whether it has what it needs, and the work itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from emer_edge import __version__
from emer_edge.bench.latency.environment import describe
from emer_edge.bench.spreading.base import Failure, Opening, answers_of
from emer_edge.data.clips import Clip
from emer_edge.data.hashes import clip_hash
from emer_edge.errors import EmerEdgeError, WorkerError
from emer_edge.runtime.session import Session

__all__ = ["Machine", "SharedClips", "differences", "forget", "look", "remote_answers"]

Item = TypeVar("Item")
Found = TypeVar("Found")

_COMPUTES = ("numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt")
_held: dict[tuple[Opening, int], Session] = {}
_holding = threading.Lock()


@dataclass(frozen=True)
class SharedClips:
    """Clips that every machine must have, and what tells them from others.

    Attributes:
        clips: as this machine knows them.
        marks: (n,) of each clip, the size of its sheet and a hash of its first, middle and last frame.
    """

    clips: tuple[Clip, ...]
    marks: tuple[str, ...]

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> SharedClips:
        """Look at this machine's; DataError or OSError for one that can't be read."""
        bare = tuple(replace(each) for each in clips)  # without what was read of them so far
        return cls(bare, tuple(_mark(replace(each)) for each in clips))

    def missed(self) -> str | None:
        """What of them is not the same here, or None."""
        different = []
        for clip, mark in zip(self.clips, self.marks, strict=True):
            try:
                if _mark(replace(clip)) != mark:
                    different.append(f"holds another clip {clip.name} in {clip.frames_path} or {clip.sheet_path}")
            except (EmerEdgeError, OSError) as error:
                different.append(f"can't read clip {clip.name}: {error}")
        if not different:
            return None
        more = f", and {len(different) - 1} more" if len(different) > 1 else ""
        return f"{different[0]}{more}"


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


def look(opening: Opening, clips: SharedClips) -> Machine:
    """Look whether this machine has the bundle, its engine and the clips; opens the bundle."""
    machine = Machine.here()
    try:
        _session(opening)
    except EmerEdgeError as error:
        return replace(machine, wrong=str(error))
    return replace(machine, wrong=clips.missed())


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


def remote_answers(opening: Opening, work: Callable[[Session, Item], Found], items: Sequence[Item]) -> Any:
    """What the work makes of a chunk, here; the bundle is opened once a thread, as sessions are not shared by two."""
    try:
        session = _session(opening)
    except EmerEdgeError as error:
        return Failure(WorkerError, f"{socket.gethostname()}: {error}")
    return answers_of(session, work, items)


def forget(opening: Opening) -> None:
    """Close the sessions of a bundle; nothing may be running with them."""
    with _holding:
        for key in [each for each in _held if each[0] == opening]:
            _held.pop(key).close()


def _session(opening: Opening) -> Session:
    key = opening, threading.get_ident()
    with _holding:
        found = _held.get(key)
    if found is None:
        found = opening.open()
        with _holding:
            _held[key] = found
    return found


def _mark(clip: Clip) -> str:
    return f"{Path(clip.sheet_path).stat().st_size} {clip_hash('', clip)}"
