"""What all ways to spread work have in common, and the way that spreads nothing."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from emer_edge.bundle import load_bundle
from emer_edge.bundle.manifest import MANIFEST_NAME
from emer_edge.errors import BundleError, EmerEdgeError, WorkerError
from emer_edge.runtime.session import Session

__all__ = ["AHEAD", "CHUNK", "Failure", "InTurn", "Opening", "Spread", "answers_of", "chunks_of"]

Item = TypeVar("Item")
Found = TypeVar("Found")

CHUNK: Final = 2
"""Items dealt at a time: a clip takes about a second, so a message costs nothing, and the last ones end together."""
AHEAD: Final = 2
"""Chunks a worker that are dealt, or answered and not yet taken."""


class Spread(Protocol):
    """A way to do the same work on many items.

    Attributes:
        notes: what a reader of the figures has to know of how they were computed.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences; empty for nothing to say."""
        ...

    def map_ordered(self, work: Callable[[Session, Item], Found], items: Sequence[Item]) -> Iterator[Found]:
        """Give what the work makes of each item, in the order of the items.

        Args:
            work: a function of a module, or a `partial` of one; it depends on the session and the item alone.
            items: what is worked on; picklable.

        Raises:
            EmerEdgeError: the work raised it.
            WorkerError: a worker ended, or differs from this machine.
        """
        ...


class InTurn:
    """One item after the other, in this process.

    Args:
        session: what the work is done with.
    """

    notes = ()

    def __init__(self, session: Session) -> None:
        self._session = session

    def map_ordered(self, work: Callable[[Session, Item], Found], items: Sequence[Item]) -> Iterator[Found]:
        """See `Spread`."""
        return (work(self._session, each) for each in items)


@dataclass(frozen=True)
class Opening:
    """How a worker opens the bundle that this process has open.

    Attributes:
        bundle: its folder, absolute.
        manifest_sha256: of its manifest, which holds the hash of every file.
        engine: that computes here; never `auto`, which may choose differently elsewhere.
    """

    bundle: Path
    manifest_sha256: str
    engine: str

    @classmethod
    def of(cls, session: Session) -> Opening:
        """Of an open session."""
        folder = session.bundle.path.resolve()
        return cls(folder, _manifest_hash(folder), session.engine_name)

    def open(self) -> Session:
        """Open it with one thread, after every file has been checked.

        Raises:
            BundleError: there is no bundle, a broken one, or another one.
            EngineError: the engine is not there.
        """
        bundle = load_bundle(self.bundle)
        if _manifest_hash(self.bundle) != self.manifest_sha256:
            raise BundleError(f"{self.bundle} is another bundle than the one that is measured; copy that one here")
        return Session(bundle, self.engine, 1)


@dataclass(frozen=True)
class Failure:
    """What work raised, in a form that survives the way back to the process that asked.

    Attributes:
        kind: class of the error.
        message: its text; of a programming error, its traceback.
    """

    kind: type[Exception]
    message: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Keep the text of errors that are raised on purpose, and the traceback of others."""
        if isinstance(error, MemoryError):
            return cls(WorkerError, "memory ran out in a worker; use fewer of them")
        if not isinstance(error, EmerEdgeError):
            return cls(RuntimeError, f"a worker failed:\n{''.join(traceback.format_exception(error))}")
        # An error that builds its own text can't be built again from it: its parent can.
        plain = next(each for each in type(error).__mro__ if "__init__" not in vars(each))
        return cls(plain if issubclass(plain, Exception) else EmerEdgeError, str(error))

    def raised(self) -> Exception:
        """The error, to be raised again."""
        return self.kind(self.message)


def answers_of(
    session: Session, work: Callable[[Session, Item], Found], items: Sequence[Item]
) -> list[Found] | Failure:
    """What the work makes of the items of a chunk, or why it makes nothing of them."""
    try:
        return [work(session, each) for each in items]
    except Exception as error:
        return Failure.of(error)


def chunks_of(items: Sequence[Item]) -> list[Sequence[Item]]:
    """The items in their order, `CHUNK` at a time."""
    return [items[at : at + CHUNK] for at in range(0, len(items), CHUNK)]


def _manifest_hash(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest()
    except OSError as error:
        raise WorkerError(f"can't read the manifest of {folder}: {error.strerror or error}") from None
