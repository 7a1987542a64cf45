"""`--precision auto`: the fastest precision that passes the gate on the machine at hand, and why.

Only a precision that passed is kept: an inconclusive gate has shown no loss beyond a margin, and has not shown its
absence either, which is for a person to decide (`--precision int8` takes it). FP32 always passes, being what the others
are held against. Without selection windows nothing is gated, and FP16 is kept on the strength of its verification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emer_edge.bundle import VARIANTS
from emer_edge.export.choosing.candidates import Candidate
from emer_edge.export.choosing.timing import Timing
from emer_edge.export.judging.evidence import Evidence
from emer_edge.runtime.engines import engines

__all__ = ["Selection", "select"]

_ALLOWED: Final = ("passed", "not run")


@dataclass(frozen=True, eq=False)
class Selection:
    """A choice among candidates.

    Attributes:
        chosen: the candidate that is kept.
        rows: for the report, a precision each: `precision`, `step_ms`, `step_p90_ms`, `bytes` of encoder and fusion in
            the variant that was timed, `verdict`, `kept`, `why`.
        told: for the user.
    """

    chosen: Candidate
    rows: tuple[dict[str, Any], ...]
    told: str


def select(
    candidates: Sequence[Candidate], timing: Timing, evidence: Evidence | None, untried: Mapping[str, str]
) -> Selection:
    """Choose the candidate with the least median step among those that the gate lets through.

    Of candidates that are equally fast (on a CPU, FP16 is FP32) the one whose bundle is smaller is chosen.

    Args:
        candidates: one a precision, FP32 among them.
        timing: of all of them, by precision.
        evidence: what they were judged on.
        untried: precision that is not among them -> why not.
    """
    variant = engines()[timing.engine].variant

    def rank(each: Candidate) -> tuple[float, int]:
        return timing.medians_ms(each.precision)["step"], sum(map(each.bytes_of, VARIANTS))

    allowed = [each for each in candidates if each.verdict in _ALLOWED]
    chosen = min(allowed, key=rank)
    rows: list[dict[str, Any]] = []
    for each in candidates:
        step = timing.times[each.precision]["step"]
        rows.append(
            {
                "precision": each.precision,
                "step_ms": round(step.p50_ms, 3),
                "step_p90_ms": round(step.p90_ms, 3),
                "steps": step.count,
                "bytes": each.bytes_of(variant),
                "verdict": each.verdict,
                "kept": each is chosen,
                "why": _why(each, chosen, timing, evidence),
            }
        )
    for precision, why in untried.items():
        empty = dict.fromkeys(("step_ms", "step_p90_ms", "steps", "bytes"))
        rows.append(
            {"precision": precision, **empty, "verdict": "not tried", "kept": False, "why": f"not tried: {why}"}
        )
    told = "; ".join(f"{row['precision']}: {row['why']}" for row in rows)
    return Selection(chosen, tuple(rows), f"auto keeps {chosen.precision} ({timing.engine}, {timing.device}). {told}")


def _why(each: Candidate, chosen: Candidate, timing: Timing, evidence: Evidence | None) -> str:
    mine, best = (timing.medians_ms(one.precision)["step"] for one in (each, chosen))
    took = f"a step takes {mine:.2f} ms"
    if each is chosen:
        return f"kept, {took}, gate {each.verdict}"
    if each.verdict == "failed":
        reasons = [reason for trial in each.trials.values() if trial.verdict == "failed" for reason in trial.reasons]
        return f"dropped, {took}, the gate fails: {reasons[0]}"
    if each.verdict == "inconclusive":
        people = "" if evidence is None else f" on {len(evidence.readers)} clips of {evidence.people} participants"
        doubts = [reason for trial in each.trials.values() for reason in trial.reasons]
        return (
            f"dropped, {took}, the gate is inconclusive{people}"
            + (f" ({doubts[0]})" if doubts else "")
            + f"; --precision {each.precision} takes it all the same"
        )
    if timing.times[each.precision] is timing.times[chosen.precision]:
        return f"dropped, the same files as {chosen.precision} here, and a larger bundle"
    return f"dropped, {took}, {chosen.precision} takes {best:.2f} ms"
