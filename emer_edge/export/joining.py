"""Several networks' choices as one, so that everything after it reads a bundle of many as it reads a bundle of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec

from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.export.choosing.choice import Choice
from emer_edge.export.choosing.timing import Timing
from emer_edge.export.judging.evidence import Evidence, Outputs
from emer_edge.export.judging.gate import Change, compare
from emer_edge.export.judging.trial import Trial
from emer_edge.export.precision.variants import PartPrecision
from emer_edge.metrics.latency import LatencySummary

__all__ = ["Member", "join"]

_GAP_HEADS = frozenset({"er-7", "fer-7"})
_ROUNDEST: tuple[PartPrecision, ...] = ("int8", "fp16", "fp32")


@dataclass(frozen=True, eq=False)
class Member:
    """One network of several.

    Attributes:
        heads: those that it gives.
        names: `face_encoder` and `fusion` -> the part of the bundle.
        choice: what was chosen for it.
        shares: whether an earlier network brings the face encoder already.
    """

    heads: tuple[str, ...]
    names: Mapping[str, str]
    choice: Choice
    shares: bool = False

    @property
    def label(self) -> str:
        """Its heads, for people."""
        return "+".join(self.heads)

    def renamed(self, key: str) -> str:
        """Name `cpu/fusion` and the like as in the bundle; `cpu/step` stays."""
        variant, _, part = key.partition("/")
        return f"{variant}/{self.names.get(part, part)}"


def join(members: Sequence[Member], evidence: Evidence | None, classes: Mapping[str, tuple[str, ...]]) -> Choice:
    """Make one choice of those of several networks.

    Times of a step are sums over networks, percentile by percentile; a shared encoder counts once. The gap's figures
    are added where its two heads come from different networks. Precision is the roundest of all.

    Args:
        members: at least one; a single one's choice comes back as it is.
        evidence: selection windows, or None.
        classes: class head -> class names in output order.
    """
    if len(members) == 1:
        return members[0].choice
    choices = [each.choice for each in members]
    precision = next(each for each in _ROUNDEST if each in {choice.precision for choice in choices})
    before: Outputs = {name: each for choice in choices for name, each in choice.fp32_outputs.items()}
    joined = Choice(
        precision,
        {member.renamed(key): path for member in members for key, path in member.choice.parts.items()},
        _timing(members, precision),
        _trials(members, before, evidence, classes),
    )
    joined.fp32_outputs = before
    joined.calibration = _calibration([each.calibration for each in choices])
    joined.ranges = tuple(
        {**row, "name": f"{member.names['face_encoder']}/{row['name']}"}
        for member in members
        if not member.shares
        for row in member.choice.ranges
    )
    joined.kept_high = tuple(f"{member.label}: {layer}" for member in members for layer in member.choice.kept_high)
    rows = [
        replace(row, layer=f"{member.label}: {row.layer}", part=member.names[row.part])
        for member in members
        for row in member.choice.sensitivities
    ]
    joined.sensitivities = tuple(sorted(rows, key=lambda row: -row.shift))
    joined.macs, joined.int8_macs = _macs(members)
    joined.fall_back = _fall_back(members)
    joined.candidates = tuple(
        {**row, "why": f"{member.label}: {row['why']}"} for member in members for row in member.choice.candidates
    )
    joined.notes = _notes(members, joined)
    return joined


def _timing(members: Sequence[Member], precision: PartPrecision) -> Timing:
    def of(candidate: str | None) -> dict[str, LatencySummary]:
        times = {}
        for member in members:
            timed = member.choice.timing.times[candidate or member.choice.precision]
            kept = ("fusion",) if member.shares else ("face_encoder", "fusion")
            times.update({member.names[part]: timed[part] for part in kept})
        return {**times, "step": _sum(times.values())}

    first = members[0].choice.timing
    notes = tuple(dict.fromkeys(note for each in members for note in each.choice.timing.notes))
    return Timing(first.engine, first.device, notes, {"fp32": of("fp32"), precision: of(None)})


def _sum(parts: Iterable[LatencySummary]) -> LatencySummary:
    given = list(parts)
    added = {each.name: sum(getattr(part, each.name) for part in given) for each in fields(LatencySummary)}
    return LatencySummary(**{**added, "count": min(part.count for part in given)})


def _trials(
    members: Sequence[Member], before: Outputs, evidence: Evidence | None, classes: Mapping[str, tuple[str, ...]]
) -> dict[str, Trial]:
    found = {}
    for variant in members[0].choice.trials:
        trials = [each.choice.trials[variant] for each in members]
        outputs = {name: each for trial in trials for name, each in trial.outputs.items()}
        changes = [change for trial in trials for change in trial.changes]
        if evidence is not None and not any(trial.faults for trial in trials):
            changes += _gap_changes(members, before, outputs, evidence, classes)
        decibels = [trial.embedding_db for trial in trials if trial.embedding_db is not None]
        found[variant] = Trial(
            outputs,
            tuple(changes),
            {name: share for trial in trials for name, share in trial.agreement.items()},
            min(decibels, default=None),
            tuple(fault for trial in trials for fault in trial.faults),
            all(trial.unchanged for trial in trials),
        )
    return found


def _gap_changes(
    members: Sequence[Member],
    before: Outputs,
    after: Outputs,
    evidence: Evidence,
    classes: Mapping[str, tuple[str, ...]],
) -> list[Change]:
    """Nobody has compared the gap yet where its heads come from two networks."""
    if not set(before) >= _GAP_HEADS or any(set(member.heads) >= _GAP_HEADS for member in members):
        return []
    one, other = ({name: each[name] for name in _GAP_HEADS} for each in (before, after))
    changes = compare(one, other, evidence.labels, evidence.participants, classes, clips=evidence.clips)
    return [each for each in changes if each.name.startswith("gap/")]


def _calibration(records: Sequence[CalibrationRecord | None]) -> CalibrationRecord | None:
    """They differ in nothing but the method: the clips are the same."""
    given = [each for each in records if each is not None]
    if not given:
        return None
    return msgspec.structs.replace(given[0], method=", ".join(dict.fromkeys(each.method for each in given)))


def _macs(members: Sequence[Member]) -> tuple[dict[str, dict[str, int]], dict[str, float]]:
    counts: dict[str, dict[str, int]] = {}
    for member in members:
        for key, each in member.choice.macs.items():
            if not key.endswith("/step"):
                counts[member.renamed(key)] = dict(each)
    for key, each in list(counts.items()):
        step = counts.setdefault(f"{key.partition('/')[0]}/step", dict.fromkeys(each, 0))
        for kind, count in each.items():
            step[kind] += count
    return counts, {key: round(each["int8"] / max(each["total"], 1), 4) for key, each in counts.items()}


def _fall_back(members: Sequence[Member]) -> dict[str, Any]:
    """What the gate cost those networks that had layers put back, one network's figures after the other's."""
    cost = {member.label: member.choice.fall_back for member in members if member.choice.fall_back}
    if len(cost) < 2:
        return next(iter(cost.values()), {})
    joined: dict[str, Any] = {
        "layers": [f"{label}: {layer}" for label, each in cost.items() for layer in each["layers"]],
        "tried": [row for each in cost.values() for row in each["tried"]],
        "failed": {},
    }
    for each in cost.values():
        for variant, reasons in each["failed"].items():
            joined["failed"].setdefault(variant, []).extend(reasons)
    for key in ("step_ms_before", "step_ms"):
        joined[key] = sum(each[key] for each in cost.values())
    for key in ("int8_macs_before", "int8_macs"):
        shares = [each[key] for each in cost.values()]
        joined[key] = {name: sum(each[name] for each in shares) / len(shares) for name in shares[0]}
    return joined


def _notes(members: Sequence[Member], joined: Choice) -> list[str]:
    everyone = [note for note in members[0].choice.notes if all(note in each.choice.notes for each in members)]
    own = [f"{member.label}: {note}" for member in members for note in member.choice.notes if note not in everyone]
    encoders = len({member.names["face_encoder"] for member in members})
    step = joined.final_ms["step"]
    if encoders == 1:
        cost = f"{len(members)} networks share one face encoder: a step takes {step:.2f} ms here"
    else:
        cost = (
            f"{len(members)} networks cost {encoders} face encoders: every face is encoded {encoders} times and a step "
            f"takes {step:.2f} ms here; one network trained for all heads needs one"
        )
    return [cost, *everyone, *own]
