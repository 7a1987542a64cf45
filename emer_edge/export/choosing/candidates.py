"""One precision that a bundle might get: its parts, written aside, and how they do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from emer_edge.export.judging.gate import Verdict
from emer_edge.export.judging.trial import Judge, Trial
from emer_edge.export.precision.quantiser import EncoderQuantiser
from emer_edge.export.precision.variants import PartPrecision, Parts, write_parts
from emer_edge.export.workshop import Workshop

__all__ = ["Candidate", "build", "gate_verdict"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """Parts in one precision.

    Attributes:
        precision: asked of them.
        parts: their files.
        keep: layers that stay in floating point.
        trials: variant -> how it did on selection windows; empty without these.
    """

    precision: PartPrecision
    parts: Parts
    keep: tuple[str, ...] = ()
    trials: Mapping[str, Trial] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | Literal["not run"]:
        """The worst verdict among variants."""
        return gate_verdict(self.trials)

    def bytes_of(self, variant: str) -> int:
        """Size of a variant's encoder and fusion."""
        return sum(path.stat().st_size for key, path in self.parts.items() if key.startswith(f"{variant}/"))

    def judged(self, judge: Judge, label: str, until_failed: bool = False) -> Candidate:
        """The same with its trials; `label` and `until_failed` as `Judge` takes them."""
        return replace(self, trials=judge(self.parts, self.precision, label, until_failed))


def build(
    shop: Workshop,
    folder: Path,
    precision: PartPrecision,
    quantiser: EncoderQuantiser | None = None,
    keep: Collection[str] = (),
) -> Candidate:
    """Write the parts of a precision into a folder.

    Args:
        shop: the export.
        folder: made where it is missing.
        precision: of the parts.
        quantiser: needed for int8.
        keep: layers that stay in floating point.
    """

    def target(relative: str) -> Path:
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        return folder / relative

    return Candidate(precision, write_parts(target, shop.encoder, shop.fusion, precision, quantiser, keep), tuple(keep))


def gate_verdict(trials: Mapping[str, Trial]) -> Verdict | Literal["not run"]:
    """The worst verdict among the trials of all variants; `not run` where there are none."""
    verdicts = {each.verdict for each in trials.values()}
    if not verdicts:
        return "not run"
    if "failed" in verdicts:
        return "failed"
    return "passed" if verdicts == {"passed"} else "inconclusive"
