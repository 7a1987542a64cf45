"""`report.json`: everything that an export measured, as plain data.

- `schema`, `name`, `facts`, `notes`: version of this layout, the bundle, what people ask first and should know;
- `parts`: `cpu/face_encoder` and so on -> `precision`, `bytes`, `largest_error` against torch, `macs`, `int8_macs`;
- `verified_on`: what `largest_error` was measured on;
- `fp32_ms`, `final_ms`: medians of `face_encoder`, `fusion` and `step` before and after, side by side in one run;
- `timing`: that run: `engine`, `device`, `threads`, `times` (candidate -> part -> percentiles with their count);
- `int8_macs`, `macs`: share of INT8 operations, and operations, of each part and of `cpu/step` and `tensorrt/step`;
- `gate`: `verdict`, `windows`, `clips`, `participants`, `margins`;
- `trials`: variant -> `verdict`, `changes` (a figure each, with interval, margin and verdict), `agreement`,
  `embedding_db`, `faults`;
- `accuracy`: `fp32` and variant -> head -> `war` and `uar`, or `mae` -> figure and 95 % limits;
- `probabilities`: `fp32` and variant -> class head -> `temperature`, `ece`, `nll`, `brier`, `reliability` (bins);
- `sensitivity`: a layer each, the most sensitive first (`emer_edge.export.choosing.sensitivity.LayerSensitivity`);
- `kept_high`: layers that stay in floating point, by hand or for the gate;
- `fall_back`: layers put back for the gate, what was tried, what it cost; empty where none was;
- `calibration`: of int8, the manifest's record without hashes; null otherwise;
- `heads`, `networks`: class names in output order by head (none for values); heads and parts of each network;
- `command`: what was typed, folders left out; empty where export was called from Python;
- `candidates`: of `--precision auto`, a row for each precision with `kept` and `why`; empty otherwise;
- `ranges`: of int8, what calibration met in each tensor and made of it;
- `tensorrt`: what TensorRT says of each part, or why it was not asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import Manifest
from emer_edge.export.choosing.choice import Choice
from emer_edge.export.judging.evidence import Evidence, Outputs
from emer_edge.export.judging.fitting import cross_fitted, fit_temperatures, own_order
from emer_edge.export.judging.gate import BRIER_MARGIN, CLASS_MARGIN, ECE_MARGIN, GAP_MARGIN, NLL_MARGIN, VALUE_MARGIN
from emer_edge.export.tensorrt_check import NOT_CHECKED, TensorRtCheck
from emer_edge.metrics.calibration import brier, ece, nll, reliability

__all__ = ["command_of", "figures_of", "probabilities_of"]

_SCHEMA: Final = 3


def figures_of(
    manifest: Manifest,
    choice: Choice,
    folder: Path,
    checks: tuple[TensorRtCheck, ...] | None,
    notes: tuple[str, ...],
    probabilities: Mapping[str, Any],
    accuracy: Mapping[str, Any],
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """Collect what an export measured.

    Args:
        manifest: as it will be written.
        choice: of the precision.
        folder: where the parts lie.
        checks: what TensorRT says; None where it was not asked.
        notes: for people.
        probabilities: of `probabilities_of`.
        accuracy: of `emer_edge.export.judging.accuracy.accuracy_of`.
        arguments: of the command line, `export` among them.
    """
    parts: dict[str, dict[str, Any]] = {}
    for name, precision in manifest.precision.parts.items():
        parts[name] = {"precision": precision, "bytes": (folder / f"{name}.onnx").stat().st_size}
        if name in manifest.verification.largest_error:
            parts[name]["largest_error"] = manifest.verification.largest_error[name]
        if name in choice.macs:
            parts[name] |= {"macs": choice.macs[name]["total"], "int8_macs": choice.int8_macs[name]}
    gate = manifest.gate
    return {
        "schema": _SCHEMA,
        "name": manifest.name,
        "facts": _facts(manifest),
        "notes": list(notes),
        "parts": parts,
        "verified_on": manifest.verification.inputs,
        "fp32_ms": choice.fp32_ms,
        "final_ms": choice.final_ms,
        "timing": choice.timing.to_builtins(),
        "int8_macs": choice.int8_macs,
        "macs": choice.macs,
        "gate": {
            "verdict": gate.verdict,
            "windows": gate.windows,
            "clips": gate.clips,
            "participants": gate.participants,
            "margins": {
                "war": CLASS_MARGIN,
                "uar": CLASS_MARGIN,
                "mae": VALUE_MARGIN,
                "ece": ECE_MARGIN,
                "nll": NLL_MARGIN,
                "brier": BRIER_MARGIN,
                "gap/shift": GAP_MARGIN,
                "gap/auroc": CLASS_MARGIN,
            },
        },
        "trials": {variant: trial.to_builtins() for variant, trial in choice.trials.items()},
        "accuracy": dict(accuracy),
        "probabilities": dict(probabilities),
        "sensitivity": [each.to_builtins() for each in choice.sensitivities],
        "kept_high": list(choice.kept_high),
        "fall_back": choice.fall_back,
        "candidates": list(choice.candidates),
        "ranges": list(choice.ranges),
        "calibration": _calibration(manifest),
        "heads": {each.name: list(each.classes) for each in manifest.heads},
        "networks": [msgspec.to_builtins(each) for each in manifest.all_networks],
        "command": command_of(arguments),
        "tensorrt": NOT_CHECKED if checks is None else [each.to_builtins() for each in checks],
    }


def probabilities_of(
    outputs: Mapping[str, Outputs], evidence: Evidence, classes: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """How honest the probabilities of each precision are, by temperatures that were fitted on other participants.

    Args:
        outputs: `fp32` or variant -> head -> (n, C) raw outputs.
        evidence: the selection windows.
        classes: class head -> class names in output order.

    Returns:
        The same keys -> labelled class head -> `temperature` (fitted on all windows, as a bundle holds it), `ece`,
        `nll`, `brier` and `reliability`, a list of `low`, `high`, `count`, `confidence`, `accuracy` for each bin.
    """
    found: dict[str, Any] = {}
    for key, given in outputs.items():
        fitted = fit_temperatures(given, evidence.labels, classes, evidence.clips)
        crossed = cross_fitted(given, evidence.labels, classes, evidence.participants, evidence.clips)
        found[key] = {}
        for name, order in classes.items():
            known = np.isfinite(evidence.labels[name])
            if known.any() and np.isfinite(given[name]).all():
                truth = own_order(evidence.labels[name][known], name, order)
                found[key][name] = {"temperature": round(fitted[name], 4), **_honesty(crossed[name][known], truth)}
    return found


def command_of(arguments: Sequence[str]) -> str:
    """The command line as others may read it: paths by their last name, since folders tell whose machine it was."""
    return shlex.join(["emer-edge", *(_last_name(each) for each in arguments)]) if arguments else ""


def _last_name(argument: str) -> str:
    # HEAD=PATH and --data=PATH keep what stands before the path.
    before, equals, path = argument.rpartition("=")
    return f"{before}{equals}{Path(path).name}" if "/" in path else argument


def _calibration(manifest: Manifest) -> dict[str, Any] | None:
    if manifest.calibration is None:
        return None
    told: dict[str, Any] = msgspec.to_builtins(manifest.calibration)
    del told["clip_hashes"]
    return told


def _honesty(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "ece": round(ece(probabilities, truth), 5),
        "nll": round(nll(probabilities, truth), 5),
        "brier": round(brier(probabilities, truth), 5),
        "reliability": [[round(each, 5) for each in astuple(bin_)] for bin_ in reliability(probabilities, truth)],
    }


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
