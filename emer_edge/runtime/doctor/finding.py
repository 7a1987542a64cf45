"""One line of a doctor's report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final, Literal

__all__ = ["Finding", "Level", "worst"]

Level = Literal["ok", "warning", "problem"]

_ORDER: Final[tuple[Level, ...]] = ("ok", "warning", "problem")


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what was seen.

    Attributes:
        subject: for example `onnxruntime` or `replay of cpu/fusion`.
        level: `ok`, `warning` (works, but not as well as it could) or `problem` (does not work).
        told: what was seen, with its figures.
        mend: what to do about it, a command where there is one; empty where nothing is to be done.
    """

    subject: str
    level: Level
    told: str
    mend: str = ""

    def to_dict(self) -> dict[str, str]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among findings; `ok` when there are none."""
    return max((each.level for each in findings), key=_ORDER.index, default="ok")
