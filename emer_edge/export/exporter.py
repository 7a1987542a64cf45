"""From a checkpoint to a bundle: parts, precision, matching, verification, the gate; written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec

from emer_edge import __version__
from emer_edge.bundle import CPU, TENSORRT, VARIANTS
from emer_edge.bundle.artefact import BundleWriter
from emer_edge.bundle.golden_file import GOLDEN_NAME, write_golden
from emer_edge.bundle.manifest import (
    SCHEMA,
    BundledHead,
    FaceRecord,
    GateRecord,
    Manifest,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.calibration.choice import choose_clips
from emer_edge.errors import BundleError, ConfigurationError
from emer_edge.export.choosing.calibrating import calibration_clips
from emer_edge.export.choosing.choice import Choice
from emer_edge.export.golden import make_golden
from emer_edge.export.judging.accuracy import accuracy_of
from emer_edge.export.judging.evidence import MOST_CLIPS, Evidence, read_evidence
from emer_edge.export.judging.fitting import fit_temperatures, gap_of_agreeing
from emer_edge.export.judging.gate import record_of
from emer_edge.export.matching import (
    ARCFACE_TEMPLATE,
    FEWEST_FACES,
    eye_quantiles,
    find_display,
    measure_faces,
    training_samples,
)
from emer_edge.export.networks import write_networks
from emer_edge.export.options import ExportOptions, ExportSummary
from emer_edge.export.parts.detector import DetectorPart, load_detector
from emer_edge.export.report import report_html
from emer_edge.export.report.figures import figures_of, probabilities_of
from emer_edge.export.sources import Slices, Sources, open_slices, open_sources
from emer_edge.export.tensorrt_check import TensorRtCheck, check_parts
from emer_edge.runtime.faces import open_detector
from emer_edge.spec.columns import COLUMN_KEYS
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.samples import Display

__all__ = ["export_bundle"]

_MATCHED_CLIPS: Final = 150
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO})
_ROOM_MB: Final = 600
_TOOLS: Final = ("numpy", "onnx", "onnxruntime", "torch")


@dataclass(frozen=True)
class _Matched:
    face: FaceRecord
    display: Display | None
    quantiles: dict[str, tuple[float, ...]]


def export_bundle(options: ExportOptions, progress: Progress = silent) -> ExportSummary:
    """Make a bundle.

    Args:
        options: what to export and how.
        progress: told of long work.

    Raises:
        OutputExistsError: the output exists and `force` is not set.
        CheckpointError: the checkpoint can't be used.
        ConfigurationError: options that make no sense together, such as int8 of a user's checkpoint without data.
        DataError: the data can't be used.
        GateError: the precision loses more accuracy than the gate allows, or a part differs from the network.
        MissingExtraError: a package of the `export` extra is missing.
        BundleError: the bundle can't be written.
    """
    try:
        return _written(options, progress)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise BundleError(
            f"can't write {error.filename or options.output}: {error.strerror}; an export needs about "
            f"{_ROOM_MB} MB beside its output, and leaves nothing behind when it fails"
        ) from None


def _written(options: ExportOptions, progress: Progress) -> ExportSummary:
    with BundleWriter(options.output, options.force) as writer:
        sources = open_sources(options)
        detector = load_detector(options.face_detector)
        for variant in VARIANTS:
            for name, model in detector.parts.items():
                writer.add(VARIANTS[variant].file(name), model.SerializeToString())
        with open_slices(sources, options, progress) as slices:
            return _export(writer, sources, detector, slices, options, progress)


def _export(
    writer: BundleWriter,
    sources: Sources,
    detector: DetectorPart,
    slices: Slices | None,
    options: ExportOptions,
    progress: Progress,
) -> ExportSummary:
    if slices is not None and options.precision == "int8":
        # What calibration would refuse is refused before minutes of work, not after.
        calibration_clips(slices, options)
    evidence = _selection(sources, slices, options, progress)
    matched = _match(writer, detector, sources, slices, options, progress)
    written = write_networks(writer.file, sources, slices, evidence, options, progress)
    choice, classes = written.choice, sources.classes
    checks = check_parts(
        {name: writer.file(VARIANTS[TENSORRT].file(name)) for name in (*written.part_names, *detector.parts)}, progress
    )
    temperatures = dict.fromkeys(classes, 1.0)
    gap: tuple[float, ...] = ()
    gate = GateRecord(verdict="not run")
    probabilities: dict[str, Any] = {}
    accuracy: dict[str, Any] = {}
    if evidence is not None:
        outputs = choice.trials[CPU].outputs
        temperatures = fit_temperatures(outputs, evidence.labels, classes, evidence.clips)
        gap = gap_of_agreeing(outputs, evidence.labels, classes, temperatures, evidence.clips)
        gate = _gate_record(choice, evidence)
        compared = {"fp32": choice.fp32_outputs, **{name: each.outputs for name, each in choice.trials.items()}}
        probabilities = probabilities_of(compared, evidence, classes)
        accuracy = accuracy_of(compared, evidence, classes, options.seed)
    manifest = Manifest(
        schema=SCHEMA,
        name=options.output.name.removesuffix(".emer"),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions=_versions(sources.versions),
        heads=tuple(
            BundledHead(name=name, classes=classes.get(name, ()), temperature=temperatures.get(name, 1.0))
            for name in sources.heads
        ),
        window=sources.window,
        events=sources.events,
        eye_columns=COLUMN_KEYS,
        eye_quantiles=matched.quantiles,
        face=matched.face,
        detector=detector.record,
        display=matched.display,
        precision=PrecisionRecord(
            requested=options.precision,
            parts=written.precisions,
            kept_high=choice.kept_high,
            int8_macs=choice.int8_macs,
        ),
        calibration=choice.calibration,
        data=slices.record if slices is not None else sources.data,
        gate=gate,
        verification=VerificationRecord(inputs=written.verified_on, largest_error=written.errors),
        gap_quantiles=gap,
        networks=written.records,
        demo=sources.demo,
        research_only=sources.research_only or (slices is not None and not slices.synthetic),
        files={},
    )
    golden = make_golden(writer.file, manifest.all_networks, detector.parts, progress)
    writer.add(GOLDEN_NAME, write_golden(golden))
    notes = _notes(manifest, choice, slices, matched.face, checks)
    figures = figures_of(manifest, choice, writer.folder, checks, notes, probabilities, accuracy, options.arguments)
    writer.add("report.json", json.dumps(figures, indent=2, allow_nan=False).encode() + b"\n")
    writer.add("report.html", report_html(figures).encode())
    bundle = writer.commit(manifest)
    return ExportSummary(bundle.path, bundle.manifest, notes, figures)


def _selection(sources: Sources, slices: Slices | None, options: ExportOptions, progress: Progress) -> Evidence | None:
    if slices is None or not slices.selection:
        return None
    clips = choose_clips(slices.selection, MOST_CLIPS, options.seed)
    return read_evidence(clips, sources.heads, sources.window, sources.events, progress, seed=options.seed)


def _match(
    writer: BundleWriter,
    detector: DetectorPart,
    sources: Sources,
    slices: Slices | None,
    options: ExportOptions,
    progress: Progress,
) -> _Matched:
    if slices is None:
        if options.match_brightness:
            raise ConfigurationError("--match-brightness needs crops to measure: name an EMER data set with --data")
        return _Matched(FaceRecord(template_px=ARCFACE_TEMPLATE), None, {})
    clips = choose_clips(slices.training, _MATCHED_CLIPS, options.seed + 1)
    crops, rows = training_samples(clips, sources.window, sources.events, progress)
    paths = [writer.file(VARIANTS[CPU].file(name)) for name in detector.parts]
    finder = open_detector(detector.record, paths, threads=os.cpu_count() or 1)
    face = measure_faces(crops, finder, progress, options.match_brightness)
    finder.close()
    return _Matched(face, find_display(rows), eye_quantiles(rows))


def _gate_record(choice: Choice, evidence: Evidence) -> GateRecord:
    """The cpu variant's figures with the worse verdict of the two."""
    record = record_of(choice.trials[CPU].changes, evidence.participants, evidence.clips)
    if record.verdict == "not run":
        return record
    return msgspec.structs.replace(record, verdict=choice.verdict)


def _notes(
    manifest: Manifest,
    choice: Choice,
    slices: Slices | None,
    face: FaceRecord,
    checks: tuple[TensorRtCheck, ...] | None,
) -> tuple[str, ...]:
    notes = list(choice.notes)
    if manifest.demo:
        notes.insert(0, "demo weights, trained on synthetic clips: for trying the tools, not for reading people")
    if slices is not None and slices.made_up:
        notes.append("calibrated on synthetic clips that were made for it, as no data was given")
    if slices is not None and slices.skipped:
        notes.append(f"{slices.skipped} clips could not be used and were left out")
    if slices is None:
        notes.append("no data was given: the generic landmark template is used, and nothing was gated or fitted")
    elif face.template_faces == 0:
        notes.append(
            f"fewer than {FEWEST_FACES} faces were found in the data set's own crops, so live faces are aligned to the "
            "generic landmark template"
        )
    if manifest.gate.verdict == "inconclusive":
        notes.append(
            f"the accuracy gate is inconclusive on {manifest.gate.windows} windows of {manifest.gate.clips} clips of "
            f"{manifest.gate.participants} participants: intervals are wider than the margins, and more participants "
            "are what narrows them"
        )
    if manifest.research_only:
        notes.append("research only: EMER's agreement covers the data behind this bundle")
    notes += [f"TensorRT refuses {each.part}: {each.error}" for each in checks or () if not each.ok]
    return tuple(notes)


def _versions(trained_with: Mapping[str, str]) -> dict[str, str]:
    found = {"emer-edge": __version__, "python": platform.python_version()}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return {**{f"training {name}": each for name, each in trained_with.items()}, **found}
