"""Where a bundle and the clips that it was scored on come from."""

from __future__ import annotations

import msgspec

from emer_edge.bench.records.base import Record
from emer_edge.bundle.manifest import Manifest
from emer_edge.spec.window import NANOSECONDS, EventsRule

__all__ = ["DataFacts", "FoldFacts", "Origin"]


class Origin(Record, frozen=True):
    """What a bundle's manifest says of its making.

    Attributes:
        created: UTC, ISO 8601.
        heads: head -> class names in output order; none for a value head.
        protocols: that these heads can be scored by.
        window_s, hop_s: the window, and how often a result comes, in seconds.
        events: how columns 33 to 39 were filled.
        requested: the precision that was asked for.
        calibration: method of the INT8 ranges; empty without INT8.
        calibration_windows, calibration_participants: what they were found on.
        gate: the accuracy gate's verdict.
        gate_windows, gate_clips, gate_participants: that it was judged on.
        training_clips, selection_clips: that the weights were fitted to, and that choices were made on; None where the
            bundle does not say.
        held_out: the fold that was held out; 0 when unknown.
        fingerprint: of the data set that it was trained on; empty when unknown.
        synthetic: trained on this project's own synthetic clips; None when unknown.
        research_only: EMER's agreement covers the data behind it.
        versions: tool -> version at export.
    """

    created: str
    heads: dict[str, tuple[str, ...]]
    protocols: tuple[str, ...]
    window_s: float
    hop_s: float
    events: EventsRule
    requested: str
    calibration: str
    calibration_windows: int
    calibration_participants: int
    gate: str
    gate_windows: int
    gate_clips: int
    gate_participants: int
    training_clips: int | None
    selection_clips: int | None
    held_out: int
    fingerprint: str
    synthetic: bool | None
    research_only: bool
    versions: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Origin:
        """From a manifest."""
        calibration, data, gate = manifest.calibration, manifest.data, manifest.gate
        return cls(
            created=manifest.created,
            heads={each.name: each.classes for each in manifest.heads},
            protocols=manifest.protocols,
            window_s=manifest.window.length_ns / NANOSECONDS,
            hop_s=manifest.window.hop_ns / NANOSECONDS,
            events=manifest.events,
            requested=manifest.precision.requested,
            calibration=calibration.method if calibration else "",
            calibration_windows=calibration.windows if calibration else 0,
            calibration_participants=calibration.participants if calibration else 0,
            gate=gate.verdict,
            gate_windows=gate.windows,
            gate_clips=gate.clips,
            gate_participants=gate.participants,
            training_clips=len(data.training_hashes) if data else None,
            selection_clips=len(data.selection_hashes) if data else None,
            held_out=data.fold if data else 0,
            fingerprint=data.fingerprint if data else "",
            synthetic=data.synthetic if data else None,
            research_only=manifest.research_only,
            versions=dict(manifest.versions),
        )


class FoldFacts(Record, frozen=True):
    """One fold of a data set: how many clips of how many participants."""

    fold: int
    clips: int
    participants: int


class DataFacts(Record, frozen=True):
    """The data set that the clips came from.

    Attributes:
        fingerprint: SHA-256 over clip names, folds and labels and the sizes of the sheets.
        clips, participants: that can be used.
        skipped: clips that can't.
        folds: ascending.
        regrouped: the folds are not the data set's own, because participants lay in several of those.
        shared_participants: that have clips in several folds all the same.
        stimuli: films, as clip names tell them; 0 where they don't.
        labels: class head -> class -> clips.
        synthetic: this project's own synthetic clips.
    """

    fingerprint: str
    clips: int
    participants: int
    skipped: int
    folds: tuple[FoldFacts, ...]
    regrouped: bool
    shared_participants: int
    stimuli: int
    labels: dict[str, dict[str, int]]
    synthetic: bool
