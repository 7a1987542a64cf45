"""Collects the measurements of an export for `report.json`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from emer_edge.bundle.manifest import GateRecord, Manifest
from emer_edge.bundle.reading_records import GapRecord, WithoutEyesRecord
from emer_edge.export.choosing.precision_choice import Choice
from emer_edge.export.judging.gate import MARGINS
from emer_edge.export.report import export_report as records
from emer_edge.export.report.export_report import Estimated, ExportReport, ProbabilityScores, TensorRtCheck

_NOT_CHECKED: Final = "not checked (no TensorRT here)"
_COPIED: Final = (
    "fp32_ms",
    "final_ms",
    "timing",
    "int8_macs",
    "macs",
    "kept_high",
    "fall_back",
    "candidates",
    "ranges",
)


@dataclass(frozen=True)
class Judged:
    """The networks as written on selection windows; mostly empty without these.

    Attributes:
        temperatures: of each class head.
        gate: for the manifest, the cpu variant's figures with the worse verdict of the two.
        gap: what the gap is compared with; None without both labels.
        without_eyes: what FER loses; None without labels.
        probabilities: of `emer_edge.export.judging.fitting.probabilities_of`.
        accuracy: of `emer_edge.export.judging.fitting.accuracy_of`.
    """

    temperatures: dict[str, float]
    gate: GateRecord
    gap: GapRecord | None = None
    without_eyes: WithoutEyesRecord | None = None
    probabilities: dict[str, dict[str, ProbabilityScores]] = field(default_factory=dict)
    accuracy: dict[str, dict[str, dict[str, Estimated]]] = field(default_factory=dict)


def report_of(
    manifest: Manifest,
    choice: Choice,
    judged: Judged,
    folder: Path,
    *,
    checks: tuple[TensorRtCheck, ...] | None,
    notes: tuple[str, ...],
    data: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> ExportReport:
    """Collect the measurements of an export.

    Args:
        manifest: as it will be written.
        choice: of the precision.
        judged: on selection windows.
        folder: of the parts.
        checks: by TensorRT; None without it.
        notes: for people.
        data: the data set's table; None without data.
        arguments: of the command line, `export` among them.
    """
    errors, gate = manifest.verification.largest_error, manifest.gate
    counts = ("verdict", "windows", "clips", "participants")
    record = manifest.calibration
    return ExportReport(
        name=manifest.name,
        facts=_facts(manifest),
        notes=notes,
        data=dict(data or {}),
        parts={
            name: records.PartFigures(
                precision=precision,
                bytes=(folder / f"{name}.onnx").stat().st_size,
                largest_error=errors.get(name),
                macs=choice.macs[name]["total"] if name in choice.macs else None,
                int8_macs=choice.int8_macs.get(name),
            )
            for name, precision in manifest.precision.parts.items()
        },
        verified_on=manifest.verification.inputs,
        gate=records.GateFigures(**{name: getattr(gate, name) for name in counts}, margins=MARGINS),
        trials={variant: trial.figures for variant, trial in choice.trials.items()},
        accuracy=judged.accuracy,
        probabilities=judged.probabilities,
        sensitivity=choice.sensitivities,
        calibration=None if record is None else msgspec.convert(record, records.Calibration, from_attributes=True),
        heads={head.name: head.classes for head in manifest.heads},
        networks=manifest.all_networks,
        command=command_of(arguments),
        tensorrt=_NOT_CHECKED if checks is None else checks,
        **{name: getattr(choice, name) for name in _COPIED},
    )


def command_of(arguments: Sequence[str]) -> str:
    """The command line for others: paths by their last name, since folders reveal the machine's user."""
    return shlex.join(["emer-edge", *(_last_name(argument) for argument in arguments)]) if arguments else ""


def _last_name(argument: str) -> str:
    # HEAD=PATH and --data=PATH keep what stands before the path.
    before, equals, path = argument.rpartition("=")
    return f"{before}{equals}{Path(path).name}" if "/" in path else argument


def _facts(manifest: Manifest) -> dict[str, str]:
    shares = manifest.precision.int8_macs
    return {
        "created": manifest.created,
        "requested precision": manifest.precision.requested,
        "heads": ", ".join(manifest.head_names),
        "protocols": ", ".join(manifest.protocols) or "none complete",
        "events": manifest.events,
        "face detector": f"{manifest.detector.kind}, {manifest.detector.width_px}x{manifest.detector.height_px}",
        "landmark template": f"{manifest.face.template_faces} faces" if manifest.face.template_faces else "generic",
        "INT8 share of a step's operations": ", ".join(
            f"{key.removesuffix('/step')} {share:.1%}" for key, share in shares.items() if key.endswith("/step")
        ),
        "what a device may choose among": "; ".join(
            f"{' + '.join(each.parts.values())} (gate {each.verdict})" for each in manifest.combinations
        ),
        **_reading_facts(manifest),
        "layers kept in high precision": ", ".join(manifest.precision.kept_high) or "none",
        "tools": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
    }


def _reading_facts(manifest: Manifest) -> dict[str, str]:
    """The face guard, what the gap is compared with, and whether faces are read without eyes."""
    guard, gap, blind = manifest.guard, manifest.gap, manifest.without_eyes
    facts = {"face guard": "none", "gap": "compared with nothing: no clip has both labels"}
    if guard is not None:
        facts["face guard"] = (
            f"alarms on {guard.alarms} of {guard.people} held-out participants ({guard.alarms_left_out} by the limit "
            "of the others); on strangers not measured, as no faces of other people are at hand"
        )
    if gap is not None:
        known = f"compared with {len(gap.agreeing)} clips whose labels agree" if gap.agreeing else ""
        fitted = f"probability of different labels fitted on {gap.clips} clips" if gap.differ else ""
        facts["gap"] = "; ".join(filter(None, (known, fitted, *dict.fromkeys(gap.absent.values()))))
    lost = "" if blind is None else f"{blind.worst} loses {blind.lost_points:.1f} points on {blind.clips} clips: "
    return facts | {"without eyes": lost + (manifest.blind_refusal or "--tracker none is possible")}
