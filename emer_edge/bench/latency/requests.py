"""What a measuring process is asked, one JSON line a request; it answers each with one."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["Loop", "Open", "Opened", "Request", "Rested", "Stream", "Together"]

from emer_edge.bench.records import Loading


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class Open(_Request, frozen=True, kw_only=True):
    """Open a bundle; see `Candidate`. The answer is `Opened`."""

    bundle: str
    engine: str
    threads: int
    started_ns: int


class Loop(_Request, frozen=True, kw_only=True):
    """Do a part in a closed loop; see `closed_loop`. The answer is a `Turn`."""

    part: str
    seconds: float = 0.0
    queries: int = 0
    seed: int = 0


class Rested(_Request, frozen=True, kw_only=True):
    """Do live steps after pauses. The answer is a `Turn`."""

    steps: int


class Together(_Request, frozen=True, kw_only=True):
    """Do live steps of several people. The answer is a `Turn`."""

    streams: int
    steps: int


class Stream(_Request, frozen=True, kw_only=True):
    """Run the live pipeline; see `measure_stream`. The answer is a `Streaming`."""

    bundle: str
    engine: str
    threads: int
    seconds: float
    streams: int = 1


Request: TypeAlias = Open | Loop | Rested | Together | Stream


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle is open; the fields are those of `Candidate`."""

    engine: str
    device: str
    loading: Loading
    first_ms: float
