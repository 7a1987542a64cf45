"""The networks of a bundle, one after the other: each is written, judged and verified by itself, then all as one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from emer_edge.bundle import VARIANTS
from emer_edge.bundle.manifest import NetworkRecord
from emer_edge.errors import GateError
from emer_edge.export.choosing.choice import Choice, choose
from emer_edge.export.joining import Member, join
from emer_edge.export.judging.evidence import Evidence
from emer_edge.export.judging.verify import reference_of, verify
from emer_edge.export.options import ExportOptions
from emer_edge.export.parts import face_encoder, fusion
from emer_edge.export.precision.variants import PartPrecision, precisions_of
from emer_edge.export.sources import Slices, Source, Sources
from emer_edge.export.workshop import Workshop
from emer_edge.spec.progress import Progress

__all__ = ["WrittenNetworks", "write_networks"]

_PARTS = ("face_encoder", "fusion")


@dataclass(frozen=True, eq=False)
class WrittenNetworks:
    """Networks in the bundle's folder.

    Attributes:
        choice: of all of them; see `emer_edge.export.joining`.
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


def write_networks(
    file: Callable[[str], Path],
    sources: Sources,
    slices: Slices | None,
    evidence: Evidence | None,
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
        ending = "" if number == 1 else f"_{number}"
        names = {part: f"{part}{ending}" for part in _PARTS}
        own = Member(source.metadata.heads, names, _choose(file, names, source, slices, evidence, options, progress))
        found = precisions_of(own.choice.precision, fusion(source.model))
        reference = reference_of(source.model, evidence, options.seed)
        differences = verify(own.choice.parts, found, reference)
        told = reference.told
        files = [own.choice.parts[f"{variant}/face_encoder"] for variant in VARIANTS]
        name = encoders.setdefault(
            b"".join(sha256(each.read_bytes()).digest() for each in files), names["face_encoder"]
        )
        member = Member(own.heads, {**names, "face_encoder": name}, own.choice, name != names["face_encoder"])
        if member.shares:
            for each, variant in zip(files, VARIANTS, strict=True):
                each.unlink()
                own.choice.parts[f"{variant}/face_encoder"] = file(f"{variant}/{name}.onnx")
        members.append(member)
        precisions |= {member.renamed(key): each for key, each in found.items()}
        errors |= {member.renamed(key): each for key, each in differences.items()}
    records = tuple(
        NetworkRecord(heads=each.heads, encoder=each.names["face_encoder"], fusion=each.names["fusion"])
        for each in members
    )
    choice = join(members, evidence, sources.classes)
    if len(members) > 1 and choice.verdict == "failed":
        failed = "; ".join(reason for trial in choice.trials.values() for reason in trial.reasons)
        raise GateError(f"the networks together lose more than the gate allows: {failed}; try --precision fp16 or fp32")
    return WrittenNetworks(choice, records if len(records) > 1 else (), precisions, errors, told)


def _choose(
    file: Callable[[str], Path],
    names: dict[str, str],
    source: Source,
    slices: Slices | None,
    evidence: Evidence | None,
    options: ExportOptions,
    progress: Progress,
) -> Choice:
    def target(relative: str) -> Path:
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
        classes={name: tuple(order) for name, order in source.metadata.classes.items()},
        threads=os.cpu_count() or 1,
        progress=progress,
    )
    return choose(shop)
