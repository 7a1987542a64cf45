"""The base classes of cameras and trackers: iterators of stamped items, and records of the drivers of addresses."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from emer_edge.core.errors import ConfigurationError, EmerEdgeError
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.address import Address, parse_address
from emer_edge.runtime.clock import monotonic_ns

Item = TypeVar("Item")
AnySensor = TypeVar("AnySensor", bound="Sensor[Any]")


class Sensor(ABC, Generic[Item]):
    """An iterator of stamped items, in order of time.

    Iterating blocks until the next item; `close()` from any thread ends it. Usable as a context manager.

    Attributes:
        source: the argument it was opened with.
        live: whether items come from a device; a file ends, a device does not.
        notes: what a reader of results should know about all of its items, in sentences.
        lag_ns: how much later than at first its items come, beyond what their stamps tell.
    """

    source: str
    live: bool
    notes: tuple[str, ...] = ()
    lag_ns: int = 0

    def start(self, start_ns: int) -> None:
        """Put time 0 of a file at this host time, so that a video and a tracker start together; live: no effect."""

    def __iter__(self) -> Iterator[Item]:
        return self

    @abstractmethod
    def __next__(self) -> Item:
        """The next item; StopIteration after the end of a file and after `close()`."""

    @abstractmethod
    def close(self) -> None:
        """Release the device; may be called twice and from any thread."""

    def __enter__(self: AnySensor) -> AnySensor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Played:
    """How a file, a folder or a recording is played.

    Args:
        pace: `real` yields an item when it is due, `fast` at once.
        start_ns: host time of time 0; None: the first read, or 0 when `fast`.
    """

    live = False
    clock = "media"

    def __init__(self, pace: str, start_ns: int | None) -> None:
        self._fast = pace == "fast"
        self._start_ns = 0 if self._fast and start_ns is None else start_ns
        self._closed = threading.Event()

    def start(self, start_ns: int) -> None:
        """Put time 0 at this host time; called before the first item is read."""
        self._start_ns = start_ns

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()

    def _started_ns(self) -> int:
        """Host time of time 0: by default that of the first read."""
        if self._start_ns is None:
            self._start_ns = monotonic_ns()
        return self._start_ns

    def _await(self, due_ns: int) -> int:
        """Wait until a time; return it, or now where that is later. StopIteration when closed meanwhile."""
        if self._closed.wait(max(0, due_ns - monotonic_ns()) / NANOSECONDS):
            raise StopIteration
        return max(due_ns, monotonic_ns())


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An entry of a registry, as its help shows it.

    Attributes:
        name: short name.
        help: description in a few words.
        parameters: parameters of its addresses, after the question mark: name -> meaning.
    """

    name: str
    help: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Driver(Kind):
    """One way to open addresses.

    Attributes:
        example: an address that it opens, for help and messages.
        schemes: the schemes whose addresses are its own.
        claims: whether an address without scheme is its own; called in the registry's order.
        whole: what follows the scheme is not parsed (see `parse_address`).
    """

    example: str
    schemes: tuple[str, ...] = ()
    claims: Callable[[Address], bool] = lambda address: False
    whole: bool = False


AnyDriver = TypeVar("AnyDriver", bound=Driver)


def find_driver(
    drivers: Iterable[AnyDriver], text: str, what: str, error: type[EmerEdgeError]
) -> tuple[AnyDriver, Address]:
    """Find the driver of an address.

    Args:
        drivers: in the order in which their `claims` are called.
        text: the address as written.
        what: `camera` or `tracker`, for messages.
        error: to raise where none knows it.

    Raises:
        ConfigurationError: the address can't be read, or has a parameter that the driver does not know.
    """
    if not text:
        raise ConfigurationError(f"the {what}'s source is empty; give a path or an address")
    drivers = tuple(drivers)
    scheme, separator, rest = text.partition("://")
    if len(rest.rpartition("@")[0].split()) > 1 and scheme.lower() != "gst":
        raise ConfigurationError(f"the {what}'s address has a blank before its @: write it as %20")
    scheme = scheme.lower() if separator else ""
    for driver in drivers:
        if scheme in driver.schemes:
            address = parse_address(text, whole=driver.whole)
            break
    else:
        address = parse_address(text)
        match = None if scheme else next((driver for driver in drivers if driver.claims(address)), None)
        if match is None:
            known = "; ".join(f"{driver.name}: {driver.example}" for driver in drivers)
            raise error(f"no {what} driver knows {address.name!r}; sources look like {known}")
        driver = match
    address.allow(*driver.parameters)
    return driver, address


def kinds_in_short(kinds: Iterable[Kind]) -> str:
    """Kinds with the names of their parameters, for a sentence."""
    descriptions = []
    for kind in kinds:
        parameters = f": {', '.join(kind.parameters)}" if kind.parameters else ""
        descriptions.append(f"{kind.example if isinstance(kind, Driver) else kind.name} ({kind.help}{parameters})")
    return "; ".join(descriptions)


def kinds_in_lines(kinds: Iterable[Kind]) -> Iterator[str]:
    """One line of help per kind, and one per parameter."""
    for kind in kinds:
        example = f": {kind.example}" if isinstance(kind, Driver) else ""
        yield f"{kind.name}{example} ({kind.help})"
        for name, meaning in kind.parameters.items():
            yield f"    {name}: {meaning}"
