"""What an export measured, collected for `report.json`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from emer_edge.bundle.manifest import GateRecord, Manifest
from emer_edge.export.choosing.precision_choice import Choice
from emer_edge.export.judging.gate import MARGINS
from emer_edge.export.report.export_report import (
    Calibration,
    Estimated,
    ExportReport,
    GateFigures,
    Honesty,
    PartFigures,
    TensorRtCheck,
)

_NOT_CHECKED: Final = "not checked (no TensorRT here)"


@dataclass(frozen=True)
class Judged:
    """What selection windows tell of the networks as written; hardly anything without such windows.

    Attributes:
        temperatures: of each class head.
        gate: for the manifest, the cpu variant's figures with the worse verdict of the two.
        gap: percentiles of the gap among windows whose two labels agree.
        probabilities: of `emer_edge.export.judging.fitting.probabilities_of`.
        accuracy: of `emer_edge.export.judging.fitting.accuracy_of`.
    """

    temperatures: dict[str, float]
    gate: GateRecord
    gap: tuple[float, ...] = ()
    probabilities: dict[str, dict[str, Honesty]] = field(default_factory=dict)
    accuracy: dict[str, dict[str, dict[str, Estimated]]] = field(default_factory=dict)


def report_of(
    manifest: Manifest,
    choice: Choice,
    judged: Judged,
    folder: Path,
    *,
    checks: tuple[TensorRtCheck, ...] | None,
    notes: tuple[str, ...],
    arguments: Sequence[str] = (),
) -> ExportReport:
    """Collect what an export measured.

    Args:
        manifest: as it will be written.
        choice: of the precision.
        judged: on selection windows.
        folder: where the parts lie.
        checks: what TensorRT says; None where it was not asked.
        notes: for people.
        arguments: of the command line, `export` among them.
    """
    errors, gate = manifest.verification.largest_error, manifest.gate
    counts = ("verdict", "windows", "clips", "participants")
    calibration = None
    if manifest.calibration is not None:
        names = Calibration.__struct_fields__
        calibration = Calibration(**{name: getattr(manifest.calibration, name) for name in names})
    return ExportReport(
        name=manifest.name,
        facts=_facts(manifest),
        notes=notes,
        parts={
            name: PartFigures(
                precision=precision,
                bytes=(folder / f"{name}.onnx").stat().st_size,
                largest_error=errors.get(name),
                macs=choice.macs[name]["total"] if name in choice.macs else None,
                int8_macs=choice.int8_macs.get(name),
            )
            for name, precision in manifest.precision.parts.items()
        },
        verified_on=manifest.verification.inputs,
        fp32_ms=choice.fp32_ms,
        final_ms=choice.final_ms,
        timing=choice.timing,
        int8_macs=choice.int8_macs,
        macs=choice.macs,
        gate=GateFigures(**{name: getattr(gate, name) for name in counts}, margins=MARGINS),
        trials={variant: trial.figures for variant, trial in choice.trials.items()},
        accuracy=judged.accuracy,
        probabilities=judged.probabilities,
        sensitivity=choice.sensitivities,
        kept_high=choice.kept_high,
        fall_back=choice.fall_back,
        candidates=choice.candidates,
        ranges=choice.ranges,
        calibration=calibration,
        heads={each.name: each.classes for each in manifest.heads},
        networks=manifest.all_networks,
        command=command_of(arguments),
        tensorrt=_NOT_CHECKED if checks is None else checks,
    )


def command_of(arguments: Sequence[str]) -> str:
    """The command line as others may read it: paths by their last name, since folders tell whose machine it was."""
    return shlex.join(["emer-edge", *(_last_name(each) for each in arguments)]) if arguments else ""


def _last_name(argument: str) -> str:
    # HEAD=PATH and --data=PATH keep what stands before the path.
    before, equals, path = argument.rpartition("=")
    return f"{before}{equals}{Path(path).name}" if "/" in path else argument


def _facts(manifest: Manifest) -> dict[str, str]:
    calibration, gate = manifest.calibration, manifest.gate
    shares = manifest.precision.int8_macs
    return {
        "created": manifest.created,
        "precision asked for": manifest.precision.requested,
        "heads": ", ".join(manifest.head_names),
        "protocols": ", ".join(manifest.protocols) or "none complete",
        "events": manifest.events,
        "face detector": f"{manifest.detector.kind}, {manifest.detector.width_px}x{manifest.detector.height_px}",
        "landmark template": f"{manifest.face.template_faces} faces" if manifest.face.template_faces else "generic",
        "calibration": f"{calibration.method}, {calibration.windows} windows" if calibration else "none",
        "gate": f"{gate.verdict}, on {gate.windows} windows of {gate.clips} clips of {gate.participants} participants"
        if gate.windows
        else gate.verdict,
        "INT8 share of a step's operations": ", ".join(
            f"{key.removesuffix('/step')} {share:.1%}" for key, share in shares.items() if key.endswith("/step")
        ),
        "layers kept in high precision": ", ".join(manifest.precision.kept_high) or "none",
        "tools": ", ".join(f"{name} {each}" for name, each in manifest.versions.items()),
    }
