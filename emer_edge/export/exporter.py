"""From a checkpoint to a bundle: parts, precision, matching, verification, the gate; written whole or not at all."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec

from emer_edge import __version__
from emer_edge.bundle import CPU, TENSORRT, file_of
from emer_edge.bundle.artefact import BundleWriter
from emer_edge.bundle.golden_file import GOLDEN_NAME, write_golden
from emer_edge.bundle.guard_file import GUARD_NAME, write_guard
from emer_edge.bundle.manifest import (
    SCHEMA,
    BundledHead,
    FaceRecord,
    GateRecord,
    Manifest,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.bundle.reading_records import GuardRecord
from emer_edge.bundle.tensorrt_rule import ensure_buildable
from emer_edge.calibration.crops import choose_clips
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import BundleError, ConfigurationError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.samples import Display
from emer_edge.core.window import EVENT_CONSTANTS
from emer_edge.export import matching
from emer_edge.export.choosing.calibrating import calibration_clips
from emer_edge.export.choosing.precision_choice import may_run
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.judging.fitting import (
    accuracy_of,
    fit_temperatures,
    gap_record,
    probabilities_of,
    without_eyes_record,
)
from emer_edge.export.judging.gate import record_of
from emer_edge.export.judging.guarding import make_guard
from emer_edge.export.judging.workshop import MOST_CLIPS, Evidence, read_evidence
from emer_edge.export.networks import WrittenNetworks, write_networks
from emer_edge.export.parts.face_parts import DetectorPart, load_detector
from emer_edge.export.precision.fp16 import overflows, to_fp16
from emer_edge.export.report.collecting import Judged, report_of
from emer_edge.export.report.export_report import ExportReport, PartPrecision, TensorRtCheck
from emer_edge.export.report.page import report_html
from emer_edge.export.sources import Slices, Sources, open_slices, open_sources
from emer_edge.export.verification import check_parts, detector_image, make_golden
from emer_edge.runtime.faces import ARCFACE_TEMPLATE, open_detector

_MATCHED_CLIPS: Final = 150
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO})
_ROOM_MB: Final = 600
_TOOLS: Final = ("numpy", "onnx", "onnxruntime", "torch")


@dataclass(frozen=True)
class ExportSummary:
    """A bundle that was made: its folder, its manifest and its `report.json`."""

    path: Path
    manifest: Manifest
    report: ExportReport


def check_export(options: ExportOptions) -> None:
    """Raise as `export_bundle` does for its output, checkpoints and detector, before a data set is read."""
    BundleWriter(options.output, options.force)
    open_sources(options)
    load_detector(options.face_detector)


def export_bundle(options: ExportOptions, progress: Progress = silent) -> ExportSummary:
    """Make a bundle.

    Args:
        options: what to export and how.
        progress: called during long work.

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
        with BundleWriter(options.output, options.force) as writer:
            sources = open_sources(options)
            detector = load_detector(options.face_detector)
            for name, model in detector.parts.items():
                writer.add(file_of(CPU, name), model.SerializeToString())
            with open_slices(sources, options, progress) as slices:
                return _Export(writer, sources, detector, slices, options=options, progress=progress).written()
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise BundleError(
            f"can't write {error.filename or options.output}: {error.strerror}; an export needs about "
            f"{_ROOM_MB} MB beside its output, and leaves nothing behind when it fails"
        ) from None


_Matched = tuple[FaceRecord, Display | None, dict[str, tuple[float, ...]]]
"""The face, the training display and each eye column's quantiles."""


@dataclass(frozen=True, eq=False)
class _Export:
    """An export in progress."""

    writer: BundleWriter
    sources: Sources
    detector: DetectorPart
    slices: Slices | None
    options: ExportOptions
    progress: Progress

    def written(self) -> ExportSummary:
        writer, sources, options, progress = self.writer, self.sources, self.options, self.progress
        if self.slices is not None and "int8" in options.precisions:
            # Fails here, before minutes of work, where calibration would.
            calibration_clips(self.slices, options)
        evidence = self.selection()
        matched = self.match()
        made = write_networks(writer.file, sources, self.slices, evidence, options=options, progress=progress)
        made.choice.notes += self.add_detectors(made.precisions)
        parts = {
            key.partition("/")[2]: writer.file(f"{key}.onnx")
            for key in made.precisions
            if key.startswith(f"{TENSORRT}/")
        }
        ensure_buildable({name: path.read_bytes() for name, path in parts.items()})
        checks = check_parts(parts, progress)
        judged = self.judged(made, evidence)
        manifest = self.manifest(made, matched, judged, self.guard(made, evidence))
        golden = make_golden(writer.file, manifest, self.detector.parts, progress)
        writer.add(GOLDEN_NAME, write_golden(golden))
        notes = tuple(self.notes(manifest, made.choice.notes, checks))
        report = report_of(
            manifest,
            made.choice,
            judged,
            writer.folder,
            checks=checks,
            notes=notes,
            data=None if self.slices is None else self.slices.overview,
            arguments=options.arguments,
        )
        writer.add("report.json", report.to_json())
        writer.add("report.html", report_html(report).encode())
        bundle = writer.commit(manifest)
        return ExportSummary(bundle.path, bundle.manifest, report)

    def selection(self) -> Evidence | None:
        """Windows to judge on; None without selection clips."""
        sources, slices, seed = self.sources, self.slices, self.options.seed
        if slices is None or not slices.selection:
            return None
        return read_evidence(
            choose_clips(slices.selection, MOST_CLIPS, seed),
            sources.window,
            sources.events,
            heads=sources.heads,
            classes=sources.classes,
            seed=seed,
            progress=self.progress,
        )

    def add_detectors(self, precisions: dict[str, PartPrecision]) -> list[str]:
        """Write TensorRT's detectors, in FP16 where `precisions` says so and FP16 holds their numbers; else say why."""
        notes = []
        for name, model in self.detector.parts.items():
            key = f"{TENSORRT}/{name}"
            if precisions[key] == "fp16":
                if beyond := overflows(model, (), detector_image(model)):
                    precisions[key] = "fp32"
                    notes.append(f"{key} stays FP32: {beyond[0]}")
                else:
                    model = to_fp16(model)
            self.writer.add(file_of(TENSORRT, name), model.SerializeToString())
        return notes

    def match(self) -> _Matched:
        """Measure what a device must match, on training clips."""
        sources, options = self.sources, self.options
        if self.slices is None:
            if options.match_brightness:
                raise ConfigurationError("--match-brightness needs crops to measure: name an EMER data set with --data")
            return FaceRecord(template_px=ARCFACE_TEMPLATE), None, {}
        clips = choose_clips(self.slices.training, _MATCHED_CLIPS, options.seed + 1)
        crops, rows = matching.training_samples(clips, sources.window, sources.events, self.progress)
        paths = [self.writer.file(file_of(CPU, name)) for name in self.detector.parts]
        finder = open_detector(self.detector.record, paths, threads=os.cpu_count() or 1)
        face = matching.measure_faces(crops, finder, self.progress, options.match_brightness)
        finder.close()
        return face, matching.find_display(rows), matching.eye_quantiles(rows)

    def judged(self, made: WrittenNetworks, evidence: Evidence | None) -> Judged:
        """Judge the networks as written on selection windows."""
        choice, classes = made.choice, self.sources.classes
        if evidence is None:
            return Judged(dict.fromkeys(classes, 1.0), GateRecord(verdict="not run"))
        truth, outputs = evidence.truth, choice.trials[CPU].outputs
        temperatures = fit_temperatures(outputs, truth)
        gate = record_of(choice.trials[CPU].changes, truth)
        if gate.verdict != "not run":
            gate = msgspec.structs.replace(gate, verdict=choice.verdict)
        compared = {"fp32": choice.fp32_outputs, **{name: trial.outputs for name, trial in choice.trials.items()}}
        return Judged(
            temperatures,
            gate,
            gap=gap_record(outputs, truth, temperatures),
            without_eyes=without_eyes_record(outputs, choice.blind, truth),
            probabilities=probabilities_of(compared, truth),
            accuracy=accuracy_of(compared, truth, self.options.seed),
        )

    def guard(self, made: WrittenNetworks, evidence: Evidence | None) -> GuardRecord | None:
        """Write the face guard, or say why there is none."""
        if self.slices is None:
            return None
        encoders = {key: path for key, path in made.choice.parts.items() if "/face_encoder" in key}
        guard = make_guard(
            encoders, self.slices, evidence, self.sources, seed=self.options.seed, progress=self.progress
        )
        if isinstance(guard, str):
            made.choice.notes.append(guard)
            return None
        self.writer.add(GUARD_NAME, write_guard(guard[0]))
        return guard[1]

    def manifest(self, made: WrittenNetworks, matched: _Matched, judged: Judged, guard: GuardRecord | None) -> Manifest:
        sources, slices, choice, classes = self.sources, self.slices, made.choice, self.sources.classes
        face, display, quantiles = matched
        return Manifest(
            schema=SCHEMA,
            name=self.options.output.name.removesuffix(".emer"),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            versions={
                **{f"training {name}": version for name, version in sources.versions.items()},
                "emer-edge": __version__,
                "python": platform.python_version(),
                **{tool: str(import_module(tool).__version__) for tool in _TOOLS},
            },
            heads=tuple(
                BundledHead(name=name, classes=classes.get(name, ()), temperature=judged.temperatures.get(name, 1.0))
                for name in sources.heads
            ),
            window=sources.window,
            events=sources.events,
            events_constants=EVENT_CONSTANTS[sources.events],
            eye_columns=COLUMN_KEYS,
            eye_quantiles=quantiles,
            face=face,
            detector=self.detector.record,
            display=display,
            precision=PrecisionRecord(
                requested=self.options.precision,
                parts=made.precisions,
                kept_high=choice.kept_high,
                int8_macs=choice.int8_macs,
            ),
            calibration=choice.calibration,
            data=slices.record if slices is not None else sources.data,
            gate=judged.gate,
            verification=VerificationRecord(inputs=made.verified_on, largest_error=made.errors),
            gap=judged.gap,
            guard=guard,
            without_eyes=judged.without_eyes,
            networks=made.records,
            combinations=may_run(choice),
            demo=sources.demo,
            weights=sources.weights,
            research_only=sources.research_only or (slices is not None and not slices.synthetic),
            files={},
        )

    def notes(self, manifest: Manifest, chosen: list[str], checks: tuple[TensorRtCheck, ...] | None) -> Iterator[str]:
        """For the user, one sentence each."""
        slices, gate = self.slices, manifest.gate
        if manifest.demo:
            yield "demo weights, trained on synthetic clips: for trying the tools, not for reading people"
        if manifest.weights:
            yield f"face encoder: {manifest.weights}"
        yield from self.sources.notes
        yield from chosen
        if slices is not None and slices.made_up:
            yield "calibrated on synthetic clips that were made for it, as no data was given"
        if slices is None:
            yield "no data was given: the generic landmark template is used; nothing was gated or fitted"
        elif manifest.face.template_faces == 0:
            yield (
                f"fewer than {matching.FEWEST_FACES} faces were found in the data set's own crops, so live faces are "
                "aligned to the generic landmark template"
            )
        if gate.verdict == "inconclusive":
            yield (
                f"the accuracy gate is inconclusive on {gate.windows} windows of {gate.clips} clips of "
                f"{gate.participants} participants: its intervals are wider than the margins (of one participant there "
                "are none), and only more participants narrow them"
            )
        if manifest.research_only:
            yield "research only: EMER's agreement covers the data behind this bundle"
        yield from (f"TensorRT refuses {check.part}: {check.error}" for check in checks or () if not check.ok)
