"""Which way work is spread."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from emer_edge.bench.spreading.base import InTurn, Opening, Spread
from emer_edge.bench.spreading.on_dask import OnDask
from emer_edge.bench.spreading.processes import InProcesses
from emer_edge.data.clips import Clip
from emer_edge.errors import ConfigurationError
from emer_edge.extras import require
from emer_edge.runtime.session import Session

__all__ = ["Spreading"]

_ADDRESS: Final = re.compile(r"(tcp|tls)://[^\s/]+:\d+")


@dataclass(frozen=True, kw_only=True)
class Spreading:
    """Where work is done.

    Attributes:
        workers: processes of this machine; 0 and 1 stay in this one.
        scheduler: address of a Dask scheduler, or None.

    Raises:
        ConfigurationError: fewer than none, both, or an address that is none.
        MissingExtraError: a scheduler is named, and Dask is not installed.
    """

    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigurationError(f"workers are a number from 0 on, not {self.workers}")
        if self.scheduler is None:
            return
        if self.workers > 1:
            raise ConfigurationError(
                "clips are scored by --workers of this machine or by those of a --scheduler, not by both"
            )
        if not _ADDRESS.fullmatch(self.scheduler):
            raise ConfigurationError(
                f"a scheduler's address is tcp://HOST:PORT or tls://HOST:PORT, for example tcp://host:8786, not "
                f"{self.scheduler!r}"
            )
        require("--scheduler", ("distributed",), "distributed")

    @contextmanager
    def over(self, session: Session, clips: Sequence[Clip]) -> Iterator[Spread]:
        """Spread work on these clips by the bundle of a session; what was started for it ends with the context."""
        if self.scheduler is not None:
            with OnDask(self.scheduler, Opening.of(session), clips) as machines:
                yield machines
        elif self.workers > 1:
            with InProcesses(Opening.of(session), self.workers) as processes:
                yield processes
        else:
            yield InTurn(session)
