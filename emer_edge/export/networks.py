"""The networks of a bundle: each is written, judged and verified by itself, then their choices are joined.

Later steps read a bundle of several networks as they read a bundle of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import msgspec

from emer_edge.bundle import CPU, role_of
from emer_edge.bundle.manifest import CalibrationRecord, NetworkRecord
from emer_edge.core.errors import GateError
from emer_edge.core.heads import GAP_HEADS, HEADS
from emer_edge.core.progress import Progress
from emer_edge.export.choosing.precision_choice import Choice, Mix, choose
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.judging.gate import Change, compare
from emer_edge.export.judging.trial import Trial
from emer_edge.export.judging.workshop import Evidence, Outputs, Workshop, blind_outputs
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.parts.fusion import fusion
from emer_edge.export.precision.macs import with_steps
from emer_edge.export.report.export_report import FallBack, PartPrecision, Timing
from emer_edge.export.sources import Slices, Sources
from emer_edge.export.verification import reference_of, verify
from emer_edge.metrics.latency import LatencySummary

_PARTS = ("face_encoder", "fusion")
_LOWEST_FIRST: tuple[PartPrecision, ...] = ("int8", "fp16", "fp32")


@dataclass(frozen=True, eq=False)
class WrittenNetworks:
    """Networks in the bundle's folder.

    Attributes:
        choice: of all of them, joined.
        records: for the manifest; empty for a single network.
        precisions: of `cpu/face_encoder` and so on, detectors included.
        errors: the same without detectors -> largest difference from torch, a share of the largest output.
        verified_on: the inputs of that comparison.
    """

    choice: Choice
    records: tuple[NetworkRecord, ...]
    precisions: dict[str, PartPrecision]
    errors: dict[str, float]
    verified_on: str


@dataclass(frozen=True, eq=False)
class Member:
    """One network of several.

    Attributes:
        heads: its outputs.
        names: `face_encoder` and `fusion` -> the part of the bundle.
        choice: of its precision.
        shares: an earlier network has the same face encoder.
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
        """The name of `cpu/fusion` and so on in the bundle; `cpu/step` stays."""
        return _renamed(key, self.names)


def write_networks(
    file: Callable[[str], Path],
    sources: Sources,
    slices: Slices | None,
    evidence: Evidence | None,
    *,
    options: ExportOptions,
    progress: Progress,
) -> WrittenNetworks:
    """Write every network's parts in the precision that passes its gate.

    The second network's parts are `face_encoder_2` and `fusion_2`. Where its encoder came out the same as an earlier
    one in both variants, it is stored, loaded and run once.

    Args:
        file: gives the file for a path inside the bundle.
        sources: the networks.
        slices: clips, or None.
        evidence: selection windows, or None.
        options: of the export.
        progress: called during long work.

    Raises:
        GateError: a precision loses more accuracy than the gate allows, or a part differs from its network.
        DataError: the data can't be used.
    """
    members: list[Member] = []
    precisions: dict[str, PartPrecision] = {}
    errors: dict[str, float] = {}
    verified_on = ""
    encoders: dict[bytes, str] = {}
    for number, source in enumerate(sources.networks, start=1):
        names = {part: part if number == 1 else f"{part}_{number}" for part in _PARTS}

        def target(relative: str, names: Mapping[str, str] = names) -> Path:
            return file(_renamed(relative, names))

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
        if evidence is not None and (faces := choice.trials[CPU].embeddings) is not None:
            blind = blind_outputs(choice.parts[f"{CPU}/fusion"], faces, evidence, shop.threads)
            choice.blind = {name: values for name, values in blind.items() if HEADS[name].view == "fer"}
        reference = reference_of(source.model, evidence, options.seed)
        differences, verified_on = verify(choice.parts, choice.precisions, reference), reference.description
        files = {key: path for key, path in choice.parts.items() if "face_encoder" in key}
        key = b"".join(sha256(path.read_bytes()).digest() for path in files.values())
        encoder = encoders.setdefault(key, names["face_encoder"])
        shares = encoder != names["face_encoder"]
        member = Member(source.metadata.heads, {**names, "face_encoder": encoder}, choice, shares)
        if member.shares:
            for own, path in files.items():
                path.unlink()
                choice.parts[own] = file(f"{member.renamed(own)}.onnx")
        members.append(member)
        precisions |= {member.renamed(key): precision for key, precision in choice.precisions.items()}
        errors |= {member.renamed(key): error for key, error in differences.items()}
    records = tuple(
        NetworkRecord(heads=member.heads, encoder=member.names["face_encoder"], fusion=member.names["fusion"])
        for member in members
    )
    joined = join(members, evidence)
    if len(members) > 1 and joined.verdict == "failed":
        failed = "; ".join(reason for trial in joined.trials.values() for reason in trial.reasons)
        raise GateError(f"the networks together lose more than the gate allows: {failed}; try --precision fp16 or fp32")
    return WrittenNetworks(joined, records if len(records) > 1 else (), precisions, errors, verified_on=verified_on)


def join(members: Sequence[Member], evidence: Evidence | None) -> Choice:
    """Join the choices of several networks into one; that of a single network is returned as it is.

    Times of a step are sums over networks, percentile by percentile; a shared encoder counts once. The gap's figures
    are added where its two heads come from different networks. Precision is the lowest of all.
    """
    if len(members) == 1:
        return members[0].choice
    choices = [member.choice for member in members]
    precision = next(precision for precision in _LOWEST_FIRST if precision in {choice.precision for choice in choices})
    before: Outputs = {name: values for choice in choices for name, values in choice.fp32_outputs.items()}
    rows = [
        msgspec.structs.replace(row, layer=f"{member.label}: {row.layer}", part=member.names[row.part])
        for member in members
        for row in member.choice.sensitivities
    ]
    int8_macs, macs = with_steps(
        {
            member.renamed(key): counts
            for member in members
            for key, counts in member.choice.macs.items()
            if not key.endswith("/step")
        }
    )
    joined = Choice(
        precision,
        {member.renamed(key): path for member in members for key, path in member.choice.parts.items()},
        _timing(members, precision),
        precisions={member.renamed(key): own for member in members for key, own in member.choice.precisions.items()},
        mixes=_mixes(members, before, evidence),
        trials={
            variant: _trial(members, [choice.trials[variant] for choice in choices], before, evidence)
            for variant in choices[0].trials
        },
        fp32_outputs=before,
        blind={name: values for choice in choices for name, values in choice.blind.items()},
        calibration=_calibration([record.calibration for record in choices]),
        ranges=tuple(
            msgspec.structs.replace(row, name=f"{member.names['face_encoder']}/{row.name}")
            for member in members
            if not member.shares
            for row in member.choice.ranges
        ),
        kept_high=tuple(f"{member.label}: {layer}" for member in members for layer in member.choice.kept_high),
        sensitivities=tuple(sorted(rows, key=lambda row: -row.shift)),
        macs=macs,
        int8_macs=int8_macs,
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
    added = {field.name: sum(getattr(part, field.name) for part in given) for field in fields(LatencySummary)}
    return LatencySummary(**{**added, "count": min(part.count for part in given)})


def _mixes(members: Sequence[Member], before: Outputs, evidence: Evidence | None) -> dict[tuple[str, str], Mix]:
    """Those that every network has: all take their encoder and their fusion alike."""
    joined = {}
    for labels in members[0].choice.mixes:
        own = [member.choice.mixes[labels] for member in members if labels in member.choice.mixes]
        if len(own) == len(members):
            trials = [mix.trial for mix in own if mix.trial is not None]
            whole = _trial(members, trials, before, evidence) if len(trials) == len(own) else None
            pairs = [(each, key) for each, mix in zip(members, own, strict=True) for key in mix.parts.items()]
            joined[labels] = Mix({each.names[role]: each.renamed(key) for each, (role, key) in pairs}, whole)
    return joined


def _trial(members: Sequence[Member], trials: Sequence[Trial], before: Outputs, evidence: Evidence | None) -> Trial:
    outputs = {name: values for trial in trials for name, values in trial.outputs.items()}
    changes = [change for trial in trials for change in trial.changes]
    if evidence is not None and not any(trial.faults for trial in trials):
        changes += _gap_changes(members, before, outputs, evidence)
    decibels = [trial.embedding_db for trial in trials if trial.embedding_db is not None]
    return Trial(
        outputs,
        tuple(changes),
        {name: share for trial in trials for name, share in trial.agreement.items()},
        min(decibels, default=None),
        faults=tuple(fault for trial in trials for fault in trial.faults),
        unchanged=all(trial.unchanged for trial in trials),
    )


def _renamed(key: str, names: Mapping[str, str]) -> str:
    """`cpu/fusion-int8` -> `cpu/fusion_2-int8`; names that are not among `names` stay."""
    variant, _, part = key.partition("/")
    role = role_of(part.removesuffix(".onnx"))
    return f"{variant}/{names.get(role, role)}{part.removeprefix(role)}"


def _gap_changes(members: Sequence[Member], before: Outputs, after: Outputs, evidence: Evidence) -> list[Change]:
    """Compare the gap where its heads come from two networks."""
    heads = set(GAP_HEADS)
    if not set(before) >= heads or any(set(member.heads) >= heads for member in members):
        return []
    one, other = ({name: outputs[name] for name in GAP_HEADS} for outputs in (before, after))
    return [change for change in compare(one, other, evidence.truth) if change.name.startswith("gap/")]


def _calibration(records: Sequence[CalibrationRecord | None]) -> CalibrationRecord | None:
    """The records differ in their method only: the clips are the same."""
    given = [record for record in records if record is not None]
    if not given:
        return None
    return msgspec.structs.replace(given[0], method=", ".join(dict.fromkeys(record.method for record in given)))


def _fall_back(members: Sequence[Member]) -> FallBack:
    """The cost of the gate over the networks that had layers put back."""
    cost = {member.label: member.choice.fall_back for member in members if member.choice.fall_back.layers}
    if len(cost) < 2:
        return next(iter(cost.values()), FallBack())
    failed: dict[str, tuple[str, ...]] = {}
    for fall_back in cost.values():
        for variant, reasons in fall_back.failed.items():
            failed[variant] = failed.get(variant, ()) + reasons

    def mean(shares: Sequence[dict[str, float]]) -> dict[str, float]:
        return {name: sum(share[name] for share in shares) / len(shares) for name in shares[0]}

    return FallBack(
        layers=tuple(f"{label}: {layer}" for label, fall_back in cost.items() for layer in fall_back.layers),
        tried=tuple(row for fall_back in cost.values() for row in fall_back.tried),
        step_ms_before=sum(fall_back.step_ms_before for fall_back in cost.values()),
        step_ms=sum(fall_back.step_ms for fall_back in cost.values()),
        int8_macs_before=mean([fall_back.int8_macs_before for fall_back in cost.values()]),
        int8_macs=mean([fall_back.int8_macs for fall_back in cost.values()]),
        failed=failed,
    )


def _notes(members: Sequence[Member], joined: Choice) -> list[str]:
    everyone = [note for note in members[0].choice.notes if all(note in member.choice.notes for member in members)]
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
