"""The networks of a bundle: each is written, judged and verified by itself, then their choices become one.

Everything after it reads a bundle of many as it reads a bundle of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import msgspec

from emer_edge.bundle import VARIANTS
from emer_edge.bundle.manifest import CalibrationRecord, NetworkRecord
from emer_edge.core.errors import GateError
from emer_edge.core.heads import GAP_HEADS
from emer_edge.core.progress import Progress
from emer_edge.export.choosing.precision_choice import Choice, choose
from emer_edge.export.judging.gate import Change, compare
from emer_edge.export.judging.trial import Trial
from emer_edge.export.judging.workshop import Evidence, Outputs, Workshop
from emer_edge.export.options import ExportOptions
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.parts.fusion import fusion
from emer_edge.export.precision.writing import precisions_of
from emer_edge.export.report.export_report import FallBack, PartPrecision, Timing
from emer_edge.export.sources import Slices, Sources
from emer_edge.export.verification import reference_of, verify
from emer_edge.metrics.latency import LatencySummary

_PARTS = ("face_encoder", "fusion")
_ROUNDEST: tuple[PartPrecision, ...] = ("int8", "fp16", "fp32")


@dataclass(frozen=True, eq=False)
class WrittenNetworks:
    """Networks in the bundle's folder.

    Attributes:
        choice: of all of them; see `join`.
        records: for the manifest; empty for a single network.
        precisions: `cpu/face_encoder` and so on -> what it computes in, detectors included.
        errors: the same without detectors -> largest difference from torch, a share of the largest output.
        verified_on: what it was measured on.
    """

    choice: Choice
    records: tuple[NetworkRecord, ...]
    precisions: dict[str, PartPrecision]
    errors: dict[str, float]
    verified_on: str

    @property
    def part_names(self) -> tuple[str, ...]:
        """`face_encoder`, `fusion`, `face_encoder_2` and so on."""
        return tuple(dict.fromkeys(key.partition("/")[2] for key in self.errors))


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


def write_networks(
    file: Callable[[str], Path],
    sources: Sources,
    slices: Slices | None,
    evidence: Evidence | None,
    *,
    options: ExportOptions,
    progress: Progress,
) -> WrittenNetworks:
    """Write every network's parts in the precision that its gate takes.

    The second network's parts are `face_encoder_2` and `fusion_2`. Where its encoder came out the same as an earlier
    one in both variants, it is stored, loaded and run once.

    Args:
        file: gives the file for a path inside the bundle.
        sources: the networks.
        slices: clips, or None.
        evidence: selection windows, or None.
        options: of the export.
        progress: told of long work.

    Raises:
        GateError: a precision loses more accuracy than the gate allows, or a part differs from its network.
        DataError: the data can't be used.
    """
    members: list[Member] = []
    precisions: dict[str, PartPrecision] = {}
    errors: dict[str, float] = {}
    told = ""
    encoders: dict[bytes, str] = {}
    for number, source in enumerate(sources.networks, start=1):
        names = {part: part if number == 1 else f"{part}_{number}" for part in _PARTS}

        def target(relative: str, names: Mapping[str, str] = names) -> Path:
            path = Path(relative)
            return file(str(path.with_stem(names[path.stem])))

        shop = Workshop(
            encoder=face_encoder(source.model),
            fusion=fusion(source.model),
            target=target,
            metadata=source.metadata,
            options=options,
            slices=slices,
            evidence=evidence,
            threads=os.cpu_count() or 1,
            progress=progress,
        )
        choice = choose(shop)
        found = precisions_of(choice.precision, shop.fusion)
        reference = reference_of(source.model, evidence, options.seed)
        differences, told = verify(choice.parts, found, reference), reference.told
        files = [choice.parts[f"{variant}/face_encoder"] for variant in VARIANTS]
        key = b"".join(sha256(each.read_bytes()).digest() for each in files)
        encoder = encoders.setdefault(key, names["face_encoder"])
        member = Member(
            source.metadata.heads, {**names, "face_encoder": encoder}, choice, encoder != names["face_encoder"]
        )
        if member.shares:
            for each, variant in zip(files, VARIANTS, strict=True):
                each.unlink()
                choice.parts[f"{variant}/face_encoder"] = file(f"{variant}/{encoder}.onnx")
        members.append(member)
        precisions |= {member.renamed(key): each for key, each in found.items()}
        errors |= {member.renamed(key): each for key, each in differences.items()}
    records = tuple(
        NetworkRecord(heads=each.heads, encoder=each.names["face_encoder"], fusion=each.names["fusion"])
        for each in members
    )
    joined = join(members, evidence)
    if len(members) > 1 and joined.verdict == "failed":
        failed = "; ".join(reason for trial in joined.trials.values() for reason in trial.reasons)
        raise GateError(f"the networks together lose more than the gate allows: {failed}; try --precision fp16 or fp32")
    return WrittenNetworks(joined, records if len(records) > 1 else (), precisions, errors, verified_on=told)


def join(members: Sequence[Member], evidence: Evidence | None) -> Choice:
    """Make one choice of those of several networks.

    Times of a step are sums over networks, percentile by percentile; a shared encoder counts once. The gap's figures
    are added where its two heads come from different networks. Precision is the roundest of all.

    Args:
        members: at least one; a single one's choice comes back as it is.
        evidence: selection windows, or None.
    """
    if len(members) == 1:
        return members[0].choice
    choices = [each.choice for each in members]
    precision = next(each for each in _ROUNDEST if each in {choice.precision for choice in choices})
    before: Outputs = {name: each for choice in choices for name, each in choice.fp32_outputs.items()}
    rows = [
        msgspec.structs.replace(row, layer=f"{member.label}: {row.layer}", part=member.names[row.part])
        for member in members
        for row in member.choice.sensitivities
    ]
    macs = _macs(members)
    joined = Choice(
        precision,
        {member.renamed(key): path for member in members for key, path in member.choice.parts.items()},
        _timing(members, precision),
        _trials(members, before, evidence),
        fp32_outputs=before,
        calibration=_calibration([each.calibration for each in choices]),
        ranges=tuple(
            msgspec.structs.replace(row, name=f"{member.names['face_encoder']}/{row.name}")
            for member in members
            if not member.shares
            for row in member.choice.ranges
        ),
        kept_high=tuple(f"{member.label}: {layer}" for member in members for layer in member.choice.kept_high),
        sensitivities=tuple(sorted(rows, key=lambda row: -row.shift)),
        macs=macs,
        int8_macs={key: round(each["int8"] / max(each["total"], 1), 4) for key, each in macs.items()},
        fall_back=_fall_back(members),
        candidates=tuple(
            msgspec.structs.replace(row, why=f"{member.label}: {row.why}")
            for member in members
            for row in member.choice.candidates
        ),
    )
    joined.notes = _notes(members, joined)
    return joined


def _timing(members: Sequence[Member], precision: PartPrecision) -> Timing:
    def of(candidate: str | None) -> dict[str, LatencySummary]:
        times = {}
        for member in members:
            timed = member.choice.timing.times[candidate or member.choice.precision]
            times.update({member.names[part]: timed[part] for part in (_PARTS[1:] if member.shares else _PARTS)})
        return {**times, "step": _sum(times.values())}

    times = {"fp32": of("fp32"), precision: of(None)}
    return msgspec.structs.replace(members[0].choice.timing, times=times)


def _sum(parts: Iterable[LatencySummary]) -> LatencySummary:
    given = list(parts)
    added = {each.name: sum(getattr(part, each.name) for part in given) for each in fields(LatencySummary)}
    return LatencySummary(**{**added, "count": min(part.count for part in given)})


def _trials(members: Sequence[Member], before: Outputs, evidence: Evidence | None) -> dict[str, Trial]:
    found = {}
    for variant in members[0].choice.trials:
        trials = [each.choice.trials[variant] for each in members]
        outputs = {name: each for trial in trials for name, each in trial.outputs.items()}
        changes = [change for trial in trials for change in trial.changes]
        if evidence is not None and not any(trial.faults for trial in trials):
            changes += _gap_changes(members, before, outputs, evidence)
        decibels = [trial.embedding_db for trial in trials if trial.embedding_db is not None]
        found[variant] = Trial(
            outputs,
            tuple(changes),
            {name: share for trial in trials for name, share in trial.agreement.items()},
            min(decibels, default=None),
            faults=tuple(fault for trial in trials for fault in trial.faults),
            unchanged=all(trial.unchanged for trial in trials),
        )
    return found


def _gap_changes(members: Sequence[Member], before: Outputs, after: Outputs, evidence: Evidence) -> list[Change]:
    """Nobody has compared the gap yet where its heads come from two networks."""
    heads = set(GAP_HEADS)
    if not set(before) >= heads or any(set(member.heads) >= heads for member in members):
        return []
    one, other = ({name: each[name] for name in GAP_HEADS} for each in (before, after))
    return [each for each in compare(one, other, evidence.truth) if each.name.startswith("gap/")]


def _calibration(records: Sequence[CalibrationRecord | None]) -> CalibrationRecord | None:
    """They differ in nothing but the method: the clips are the same."""
    given = [each for each in records if each is not None]
    if not given:
        return None
    return msgspec.structs.replace(given[0], method=", ".join(dict.fromkeys(each.method for each in given)))


def _macs(members: Sequence[Member]) -> dict[str, dict[str, int]]:
    counts = {
        member.renamed(key): dict(each)
        for member in members
        for key, each in member.choice.macs.items()
        if not key.endswith("/step")
    }
    for key, each in list(counts.items()):
        step = counts.setdefault(f"{key.partition('/')[0]}/step", dict.fromkeys(each, 0))
        for kind, count in each.items():
            step[kind] += count
    return counts


def _fall_back(members: Sequence[Member]) -> FallBack:
    """What the gate cost those networks that had layers put back, one network's figures after the other's."""
    cost = {member.label: member.choice.fall_back for member in members if member.choice.fall_back.layers}
    if len(cost) < 2:
        return next(iter(cost.values()), FallBack())
    failed: dict[str, tuple[str, ...]] = {}
    for each in cost.values():
        for variant, reasons in each.failed.items():
            failed[variant] = failed.get(variant, ()) + reasons

    def mean(shares: Sequence[dict[str, float]]) -> dict[str, float]:
        return {name: sum(each[name] for each in shares) / len(shares) for name in shares[0]}

    return FallBack(
        layers=tuple(f"{label}: {layer}" for label, each in cost.items() for layer in each.layers),
        tried=tuple(row for each in cost.values() for row in each.tried),
        step_ms_before=sum(each.step_ms_before for each in cost.values()),
        step_ms=sum(each.step_ms for each in cost.values()),
        int8_macs_before=mean([each.int8_macs_before for each in cost.values()]),
        int8_macs=mean([each.int8_macs for each in cost.values()]),
        failed=failed,
    )


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
