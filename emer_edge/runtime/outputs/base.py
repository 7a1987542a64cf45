"""What every output of a run offers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from emer_edge.runtime.pipeline import Summary
from emer_edge.spec.results import Result

__all__ = ["Helped", "Losing", "Output"]


class Output(Protocol):
    """Shows or writes results."""

    def begin(self) -> None:
        """Called once, before the first result."""
        ...

    def result(self, result: Result) -> bool:
        """Take a result; False when nobody reads this output any more."""
        ...

    def end(self, summary: Summary | None) -> None:
        """Called once at the end; None when the run never started."""
        ...


@runtime_checkable
class Helped(Protocol):
    """An output that has another process do a part of its work."""

    @property
    def helper_pid(self) -> int | None:
        """Number of that process, None while there is none; outputs may share one."""
        ...


@runtime_checkable
class Losing(Protocol):
    """An output that can lose items, and counts them.

    Attributes:
        name: of the output.
    """

    name: str

    def lost(self) -> dict[str, int]:
        """What was lost so far: name -> count, those above zero."""
        ...
