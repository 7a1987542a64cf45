"""Candidate precisions of a bundle: their parts, timed side by side, and the choice of `auto`.

`auto` keeps the fastest precision that passes the gate on this machine. An inconclusive gate has shown neither a loss
beyond a margin nor its absence; it is for a person to decide (`--precision int8` takes it). FP32 is the reference and
always passes. Without selection windows nothing is gated, and FP16 is kept because of its verification.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import VARIANTS
from emer_edge.core.errors import EngineError, MissingExtraError
from emer_edge.core.progress import Progress, silent
from emer_edge.export.judging.trial import Judge, Trial, gate_verdict
from emer_edge.export.judging.workshop import Evidence, Workshop
from emer_edge.export.precision.writing import EncoderQuantiser, Parts, write_parts
from emer_edge.export.report.export_report import CandidateRow, PartPrecision, Timing, Verdict
from emer_edge.export.verification import seeded_windows
from emer_edge.metrics.latency import summarise
from emer_edge.runtime.engines import CPU_ENGINE, Engine, engines, open_engine, resolve_engine
from emer_edge.runtime.engines.timing import ROUNDS, time_in_turns

_PARTS: Final = ("face_encoder", "fusion")
_ALLOWED: Final = ("passed", "not run")

Inputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """Parts in one precision.

    Attributes:
        precision: of the whole.
        parts: their files.
        keep: layers that stay in floating point.
        trials: variant -> its trial on selection windows; empty without these.
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
    *,
    quantiser: EncoderQuantiser | None = None,
    keep: Collection[str] = (),
) -> Candidate:
    """Write the parts of a precision into a folder; arguments as those of `write_parts`."""
    parts = write_parts(folder, (shop.encoder, shop.fusion), precision, quantiser=quantiser, keep=keep)
    return Candidate(precision, parts, tuple(keep))


def time_steps(
    candidates: Mapping[str, Parts], progress: Progress = silent, rounds: int = ROUNDS, engine: str = "auto"
) -> tuple[Timing, tuple[str, ...]]:
    """Time one crop's encoding and one fusion of each candidate, one thread, on the best engine that runs here.

    Candidates whose files are the same share one measurement. Where TensorRT is there but can't run the parts, ONNX
    Runtime is timed instead.

    Args:
        candidates: name -> parts.
        progress: called for engines that are built, which takes TensorRT minutes, and for rounds.
        rounds: runs of each candidate.
        engine: a name of `emer_edge.runtime.engines.ENGINES`, or `auto`.

    Returns:
        The times, and a note where the best engine could not be taken.

    Raises:
        EngineError: ONNX Runtime refuses a part.
    """
    name = resolve_engine(engine).name
    try:
        return _timed(name, candidates, progress, rounds), ()
    except (EngineError, MissingExtraError) as error:
        if name == CPU_ENGINE:
            raise
        note = f"timed on the CPU instead of {name}: {error}"
        return _timed(CPU_ENGINE, candidates, progress, rounds), (note,)


def _timed(engine: str, candidates: Mapping[str, Parts], progress: Progress, rounds: int) -> Timing:
    variant = engines()[engine].variant
    files = {name: [parts[f"{variant}/{part}"] for part in _PARTS] for name, parts in candidates.items()}
    first: dict[bytes, str] = {}
    same_as = {
        name: first.setdefault(b"".join(sha256(path.read_bytes()).digest() for path in paths), name)
        for name, paths in files.items()
    }
    distinct = list(first.values())
    face, eye, gaze = seeded_windows(1)
    with ExitStack() as stack:
        opened: dict[str, list[tuple[Engine, Inputs]]] = {}
        for done, name in enumerate(distinct):
            progress("loading parts to time", done, len(distinct))
            encoder, fusion = (stack.enter_context(closing(open_engine(engine, path))) for path in files[name])
            crops = np.ascontiguousarray(face[0])
            embeddings = np.concatenate([encoder.run({"face": crop[None]})["embedding"] for crop in crops])
            given: Inputs = {"embeddings": embeddings[None], "eye": eye, "gaze": gaze}
            opened[name] = [(encoder, {"face": crops[:1]}), (fusion, given)]
        progress("loading parts to time", len(distinct), len(distinct))
        works = {
            f"{name}/{part}": partial(loaded.run, inputs)
            for name in distinct
            for part, (loaded, inputs) in zip(_PARTS, opened[name], strict=True)
        }
        taken_ns = time_in_turns(works, rounds, progress)
        device = opened[distinct[0]][0][0].device
    summaries = {}
    for name in distinct:
        encoding, fusing = (taken_ns[f"{name}/{part}"] for part in _PARTS)
        step = [one + other for one, other in zip(encoding, fusing, strict=True)]
        summaries[name] = dict(zip((*_PARTS, "step"), map(summarise, (encoding, fusing, step)), strict=True))
    return Timing(engine=engine, device=device, times={name: summaries[same_as[name]] for name in candidates})


def select(
    candidates: Sequence[Candidate], timing: Timing, evidence: Evidence | None, untried: Mapping[PartPrecision, str]
) -> tuple[Candidate, tuple[CandidateRow, ...], str]:
    """Choose the candidate with the least median step among those that passed the gate.

    Of equally fast candidates (on a CPU, FP16 is FP32) the one with the smaller bundle is chosen.

    Args:
        candidates: one per precision, FP32 among them.
        timing: of all of them, by precision.
        evidence: the windows that they were judged on.
        untried: precision that is not among them -> why not.

    Returns:
        The one that is kept, one row per precision for the report, and a note.
    """
    variant = engines()[timing.engine].variant

    def rank(candidate: Candidate) -> tuple[float, int]:
        return timing.medians_ms(candidate.precision)["step"], sum(map(candidate.bytes_of, VARIANTS))

    chosen = min((candidate for candidate in candidates if candidate.verdict in _ALLOWED), key=rank)
    steps = [timing.times[candidate.precision]["step"] for candidate in candidates]
    rows = [
        CandidateRow(
            precision=candidate.precision,
            step_ms=round(step.p50_ms, 3),
            step_p90_ms=round(step.p90_ms, 3),
            steps=step.count,
            bytes=candidate.bytes_of(variant),
            verdict=candidate.verdict,
            kept=candidate is chosen,
            why=_why(candidate, chosen, timing, evidence),
        )
        for candidate, step in zip(candidates, steps, strict=True)
    ]
    rows += [
        CandidateRow(precision=precision, verdict="not tried", kept=False, why=f"not tried: {why}")
        for precision, why in untried.items()
    ]
    fastest = f"the fastest that passes the gate here ({timing.engine}, {timing.device})"
    note = f"auto keeps {chosen.precision}, {fastest}; the table says why"
    return chosen, tuple(rows), note


def _why(candidate: Candidate, chosen: Candidate, timing: Timing, evidence: Evidence | None) -> str:
    mine, best = (timing.medians_ms(one.precision)["step"] for one in (candidate, chosen))
    took = f"a step takes {mine:.2f} ms"
    if candidate is chosen:
        return f"kept, {took}, gate {candidate.verdict}"
    if candidate.verdict == "failed":
        failed = next(trial for trial in candidate.trials.values() if trial.verdict == "failed")
        return f"dropped, {took}, the gate fails: {failed.reasons[0]}"
    if candidate.verdict == "inconclusive":
        people = ""
        if evidence is not None:
            people = f" on {len(evidence.readers)} clips of {evidence.truth.people} participants"
        doubts = [reason for trial in candidate.trials.values() for reason in trial.reasons]
        return (
            f"dropped, {took}, the gate is inconclusive{people}"
            + (f" ({doubts[0]})" if doubts else "")
            + f"; --precision {candidate.precision} takes it anyway"
        )
    if timing.times[candidate.precision] is timing.times[chosen.precision]:
        return f"dropped, the same files as {chosen.precision} here, and a larger bundle"
    return f"dropped, {took}, {chosen.precision} takes {best:.2f} ms"
