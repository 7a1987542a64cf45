"""What a bundle, a session or a recording is, in one table each: for `info`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from emer_edge.bundle import load_bundle
from emer_edge.bundle.manifest import MANIFEST_NAME, Manifest
from emer_edge.core.errors import DataError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.recordings import is_recording, open_recording
from emer_edge.data.sessions import SESSION_FILE, open_session
from emer_edge.runtime.recording.mcap_reader import is_mcap, read_head, recorded_steps_ns

_MOST_MARKERS: Final = 7


def describe(path: Path, progress: Progress = silent) -> dict[str, str] | None:
    """Describe a bundle, a session, a recording's folder or an MCAP file.

    Args:
        path: of it.
        progress: of checking a bundle's hashes.

    Returns:
        what -> text, in the order of reading; None where it is none of these, but may be a data set.

    Raises:
        BundleError, DataError: it is one, and can't be read.
        MissingExtraError: an MCAP file, without the package `mcap`.
    """
    if (path / MANIFEST_NAME).is_file():
        return _bundle(path, progress)
    if (path / SESSION_FILE).is_file():
        return _session(path)
    if is_recording(path):
        return _folder(path)
    if path.is_file() and is_mcap(path):
        return _mcap(path)
    if path.is_file():
        raise DataError(f"{path} is a file; emer-edge info describes data sets, bundles, sessions, and recordings")
    return None


def _bundle(path: Path, progress: Progress) -> dict[str, str]:
    manifest = load_bundle(path, progress=progress).manifest
    size_mb = manifest.total_bytes / 1e6
    rows = {"bundle": f"{manifest.name}, {len(manifest.files)} files with {size_mb:.1f} MB, as exported"}
    rows["made"] = f"{manifest.created} by emer-edge {manifest.versions.get('emer-edge', '(unknown)')}"
    rows["weights"] = _weights(manifest)
    for head in manifest.heads:
        rows[head.name] = ", ".join(head.classes) or "a value"
    rows["protocols"] = ", ".join(manifest.protocols)
    rows["precision"] = ", ".join(f"{part}: {kind}" for part, kind in manifest.precision.parts.items())
    gate = manifest.gate
    people = f" on {gate.windows} windows of {gate.participants} people" if gate.windows else ""
    rows["accuracy gate"] = f"{gate.verdict}{people}"
    hop_s, length_s = manifest.window.hop_ns / NANOSECONDS, manifest.window.length_ns / NANOSECONDS
    rows["window"] = f"{length_s:g} s, a result every {hop_s:g} s; eye events by the rule {manifest.events}"
    rows["without eyes"] = manifest.blind_refusal or "faces alone can be read (--tracker none)"
    rows["strange faces"] = "are told from those of training" if manifest.guard else "are not noticed: no guard"
    return rows


def _weights(manifest: Manifest) -> str:
    if manifest.demo:
        return "demo weights, trained on synthetic clips"
    if manifest.data is None:
        return "of a checkpoint, without its data"
    known = len(manifest.data.training_hashes) + len(manifest.data.selection_hashes)
    fold = f"fold {manifest.data.fold} was never seen" if manifest.data.fold else "the fold left out is unknown"
    kind = "synthetic clips" if manifest.data.synthetic else "clips"
    return f"trained with {known} {kind}; {fold}" + ("; for research only" if manifest.research_only else "")


def _session(path: Path) -> dict[str, str]:
    session = open_session(path)
    head, results = session.head, session.results
    rows = {"session": f"{head.participant}/{head.session}, {head.state}"}
    rows["time"] = f"{head.started} to {head.ended or 'an interruption'}"
    rows["by"] = f"emer-edge {head.version}, bundle {head.bundle}" + (
        "; for research only" if head.research_only else ""
    )
    rows["sensors"] = f"{head.camera}; {head.tracker}"
    states = Counter(str(result.get("state")) for result in results)
    rows["results"] = f"{len(results)}: " + ", ".join(f"{count} {state}" for state, count in states.most_common())
    if session.cut:
        rows["lost"] = f"{session.cut} lines that were being written when the run was interrupted"
    labels = Counter(marker.label for marker in session.markers)
    listed = [f"{label} ({count})" for label, count in labels.most_common()]
    more = [f"{len(listed) - _MOST_MARKERS} more"] if len(listed) > _MOST_MARKERS else []
    rows["markers"] = ", ".join(listed[:_MOST_MARKERS] + more) or "none"
    rows["baseline"] = "measured" if head.baseline else "asked for, not complete" if head.baseline_s else "none"
    rows["gaze validation"] = "measured" if head.validation else "none"
    if head.clock_jumps:
        rows["clock"] = f"the wall clock jumped {len(head.clock_jumps)} times"
    return rows


def _folder(path: Path) -> dict[str, str]:
    recording = open_recording(path)
    export = recording.export()
    seconds = (export.times_ns[-1] - export.times_ns[0]) / NANOSECONDS
    size_mb = recording.video.stat().st_size / 1e6
    rows = {"person": recording.participant or "nobody named"}
    rows["video"] = f"{recording.video.name}, {size_mb:.1f} MB"
    rows["tracker"] = (
        f"{recording.tracker.name}: {len(export.values):,} samples in {seconds:.1f} s, {export.rate_hz:g} Hz"
    )
    rows["eyes seen"] = f"in {100 * export.seen.mean():.1f} % of the samples"
    rows["offset"] = f"{recording.offset_ms:g} ms, tracker to video"
    display = recording.display or export.display
    if display:
        rows["display"] = (
            f"{display.width_px} x {display.height_px} px, {display.width_mm:g} x {display.height_mm:g} mm"
        )
    if export.notes:
        rows["guesses"] = "; ".join(export.notes)
    return rows


def _mcap(path: Path) -> dict[str, str]:
    head = read_head(path)
    steps = list(recorded_steps_ns(path, head.origin_ns))
    rows = {"recording": f"{head.started} by emer-edge {head.version}, bundle {head.bundle}"}
    who = [head.participant or "", head.session or "", f"consent {head.consent_id}" if head.consent_id else ""]
    rows["person"] = ", ".join(filter(None, who)) or "nobody named"
    rows["camera"] = f"{head.camera}, {head.width_px} x {head.height_px} at {head.fps:g}; images: {head.images}"
    rows["tracker"] = f"{head.tracker}, {head.rate_hz:g} Hz"
    span = f", {steps[0] / NANOSECONDS:.1f} to {steps[-1] / NANOSECONDS:.1f} s" if steps else ""
    rows["results"] = f"{len(steps)}{span}"
    if head.missing_columns:
        rows["columns without values"] = ", ".join(head.missing_columns)
    return rows
