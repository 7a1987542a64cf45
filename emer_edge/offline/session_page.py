"""The page of a study's report: figures by stimulus, courses, maps, areas, validation, and a methods paragraph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from emer_edge import __version__
from emer_edge.bundle import Bundle
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.results import State
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS, NANOSECONDS, NEW_RULE
from emer_edge.metrics import RESAMPLES
from emer_edge.offline.stimuli import FIGURES, WHOLE, SegmentFigures
from emer_edge.offline.study import EYES, StudySession
from emer_edge.offline.study_figures import Study
from emer_edge.report.bars import Bar, dots
from emer_edge.report.course import course
from emer_edge.report.heat_map import heat_map_svg
from emer_edge.report.html import (
    Block,
    Details,
    Facts,
    Figure,
    Paragraph,
    Quote,
    Section,
    Tile,
    Tiles,
    to_html,
)
from emer_edge.report.table import Cell, Table
from emer_edge.report.words import INTERVALS, WHISKERS, in_order, sentence
from emer_edge.signals.time_units import nominal_rate_hz

_COURSES: Final = {
    "Valence": ("valence (-1 to 1)", {"felt (ER)": "er-valence", "shown (FER)": "fer-valence"}),
    "Arousal": ("arousal (-1 to 1)", {"felt (ER)": "er-arousal", "shown (FER)": "fer-arousal"}),
    "Gap of felt and shown": ("distance (0 to 1)", {"gap": "gap distance"}),
    "Pupils": ("diameter (mm)", {eye: f"pupil {eye}" for eye in EYES}),
}  # fmt: skip
_FIGURES: Final = "mean:3 | from baseline:3 | peak:3 | peak after (s):1 | coverage (%):0"
_SHOWN: Final = tuple(at for at, name in enumerate(FIGURES) if name != "peak_change")
_OPEN: Final = 3  # sessions; of more, each opens at a click
_FIRST: Final = ("gap distance", "er-valence", "er-arousal")


def page(study: Study, bundle: Bundle | None, tables: Mapping[str, int]) -> str:
    """The page; `tables` are the files beside it and their rows."""
    people, sessions = len({one.participant for one in study.sessions}), len(study.sessions)
    runs = [one for one in study.sessions if one.states]
    sections = [Section("Summary", tuple(_summary(study, runs)))]
    for heading, blocks in (
        ("Stimuli", _stimuli(study)), ("Courses", _courses(study, runs)), ("Fixation maps", _maps(study)),
        ("Areas of interest", _areas(study)), ("Gaze validation", _validations(runs)),
        ("Methods", [Quote(methods(study, runs, bundle))] if runs else []),
        ("Tables", [Facts(tuple((name, f"{rows:,} rows") for name, rows in tables.items()))]),
    ):  # fmt: skip
        if made := tuple(blocks):
            sections.append(Section(heading, made))
    bundles = "" if not runs else f"; {runs[0].bundle}"
    subtitle = f"{people:,} participants, {sessions:,} sessions{bundles}; emer-edge {__version__}"
    return to_html("Session report" if runs else "Fixation maps", subtitle, sections)


def _summary(study: Study, runs: Sequence[StudySession]) -> Iterator[Block]:
    for note in _demo_notes(runs):
        yield Paragraph(f"{sentence(note)} Figures say nothing about people.", warning=True)
    if study.missing:
        yield Paragraph(sentence(study.missing), warning=True)
    if runs:
        windows = sum(len(one.states) for one in runs)
        held = sum(one.states.count(State.OK.value) for one in runs)
        seconds = sum(one.ends_ns - one.begins_ns for one in runs) / NANOSECONDS
        yield Tiles((
            Tile("Participants", f"{len({one.participant for one in runs})}", f"{len(runs):,} sessions"),
            Tile("Stimuli", f"{len(set(study.stimuli) - {WHOLE})}", f"{len(study.figures):,} showings"),
            Tile("Recorded", f"{seconds / 60:.1f} min", f"{windows:,} windows"),
            Tile("Coverage", f"{held / windows:.0%}", "of windows hold both emotions"),
        ))  # fmt: skip
    if study.notes:
        yield Details(f"{len(study.notes):,} notes", tuple(Paragraph(sentence(note)) for note in study.notes))


def _stimuli(study: Study) -> Iterator[Block]:
    found = {stimulus: study.estimates(stimulus) for stimulus in study.stimuli}
    if not found:
        return
    corrected = any(one.baseline_words for one in study.figures)
    at, what = (1, "change from baseline") if corrected else (0, "mean")
    for title, (_, lines) in _COURSES.items():
        named = {series: name for series, name in lines.items() if name in study.measures}
        bars = [Bar(stimulus, estimates[name][at], series)
                for stimulus, (_, _, estimates) in found.items() for series, name in named.items()]  # fmt: skip
        if any(bar.estimate.ends for bar in bars):
            yield Figure(dots(title, what, bars, 3, guides=(0.0,) if corrected else ()), WHISKERS)
    for name, unit in study.measures.items():
        head = name.partition(" ")[0]
        if not isinstance(HEADS.get(head), ClassHead) and unit != "probability":
            rows: list[tuple[Cell, ...]] = []
            for stimulus, (ones, people, estimates) in found.items():
                rows.append(
                    (stimulus, people, sum(one.windows for one in ones), *(estimates[name][at] for at in _SHOWN))
                )
            table = Table.of(f"{name} ({unit})", f"Stimulus | people | windows | {_FIGURES}", rows, INTERVALS)
            if any(one.ends for _, _, own in found.values() for one in own[name][:-1]):
                yield table if name in _FIRST else Details(table.title, (table,))
    for head in in_order({name.partition(" ")[0] for name in study.measures}):
        if isinstance(kind := HEADS[head], ClassHead):
            header = " | ".join(f"{label} (%):0" for label in kind.classes)
            means: list[tuple[Cell, ...]] = []
            for stimulus, (_, _, estimates) in found.items():
                means.append((stimulus, *(estimates[f"{head} {label}"][0] for label in kind.classes)))
            table = Table.of(f"{head}: mean probability", f"Stimulus | {header}", means, INTERVALS)
            yield Details(table.title, (table,))


def _courses(study: Study, runs: Sequence[StudySession]) -> Iterator[Block]:
    for session in runs:
        own = [one for one in study.figures if one.session is session]
        names = [name for name, _ in session.channels]
        stretches = [
            (one.segment.stimulus, session.seconds(one.segment.begin_ns), session.seconds(one.segment.end_ns))
            for one in own
            if session.markers
        ]
        times_s = (session.spans_ns[:, 1] - session.begins_ns) / NANOSECONDS
        blocks: list[Block] = []
        for title, (unit, lines) in _COURSES.items():
            drawn = {series: session.values[:, names.index(name)] for series, name in lines.items() if name in names}
            if any(np.isfinite(line).any() for line in drawn.values()):
                base = own[0].baseline[names.index(next(name for name in lines.values() if name in names))]
                levels = {"baseline": float(base)} if len(drawn) == 1 and np.isfinite(base) else {}
                plot = course(f"{title}: {session.name}", unit, times_s, drawn, stretches=stretches, levels=levels)
                blocks.append(Figure(plot))
        rows = [_marker_row(one) for one in own]
        header = "Marker | at (s):1 | lasts (s):1 | windows | evidence | gap:3 | gap from baseline:3 | felt valence:3"
        blocks.append(Table.of(f"Markers of {session.name}", f"{header} | shown valence:3", rows))
        yield from blocks if len(runs) <= _OPEN else (Details(session.name, tuple(blocks)),)


def _marker_row(one: SegmentFigures) -> tuple[str | int | float, ...]:
    names = [name for name, _ in one.session.channels]

    def figure(name: str, at: int = 0) -> float:
        return float(one.figures[names.index(name), at]) if name in names else np.nan

    numbers = figure("gap distance"), figure("gap distance", 1), figure("er-valence"), figure("fer-valence")
    at_s = one.session.seconds(one.segment.begin_ns)
    return one.segment.stimulus, at_s, one.segment.lasts_s, one.windows, one.evidence, *numbers


def _maps(study: Study) -> Iterator[Block]:
    if study.maps:
        yield Paragraph(
            "Every fixation is a Gaussian of one degree of visual angle, weighted by its length. Each map has its own "
            "colour scale, seconds of looking per square degree and showing. The network takes gaze points, not maps."
        )
    for one in study.maps:
        areas = {area.name: area.corners for area in study.areas if area.stimulus == one.stimulus}
        display = study.sessions[0].display
        drawing = heat_map_svg(one.values, one.stimulus, one.caption, display, backdrop=one.backdrop, areas=areas)
        yield Figure(drawing, one.caption)


def _areas(study: Study) -> Iterator[Block]:
    rows: list[tuple[Cell, ...]] = []
    rows += ((area.stimulus, area.name, people, *estimates[:-1]) for area, people, estimates in study.area_estimates())
    header = "dwell (ms):0 | share (%):0 | fixations:1 | visits:1 | first after (ms):0"
    if rows:
        note = f"Dwell is the sum of the fixations whose centroid lies in the area, share its part of all. {INTERVALS}"
        yield Table.of("Looking by area, a showing", f"Stimulus | area | people | {header}", rows, note)


def _validations(runs: Sequence[StudySession]) -> Iterator[Block]:
    rows = []
    for one in runs:
        if (v := one.validation) is not None:
            accuracy = v.accuracy_deg, v.accuracy_px, v.accuracy_mm, v.rms_deg, v.sd_deg, v.data_loss
            distance = f"{v.distance_mm:.0f} mm{'' if v.distance_known else ' assumed'}"
            rows.append((one.name, *accuracy, len(v.targets), distance, v.presented))
    header = "Session | accuracy (degrees) | (px):0 | (mm):1 | RMS (degrees) | SD (degrees) | data loss (%):0 | targets"
    if rows:
        yield Table.of("Gaze before the runs", f"{header} | distance | shown by", rows)


def methods(study: Study, runs: Sequence[StudySession], bundle: Bundle | None) -> str:
    """A paragraph for a paper: what was recorded and computed, with versions."""
    first, windows = runs[0], np.concatenate([one.slots for one in runs])
    held = sum(one.states.count(State.OK.value) for one in runs) / len(windows)
    rule = "not stated, for want of their bundle" if bundle is None else bundle.manifest.events
    hashes = next((one.manifest_sha256 for one in runs if one.manifest_sha256), "")
    rates = [nominal_rate_hz(one.gaze.times_ns.tolist()) for one in runs if one.gaze is not None]
    baselines = sorted({one.baseline_words for one in study.figures if one.baseline_words})
    angles = [one.validation.accuracy_deg for one in runs if one.validation is not None and one.validation.accuracy_deg]
    told = [
        f"Sessions of {len({one.participant for one in runs}):,} participants were recorded with emer-edge "
        f"{_listed(one.version for one in runs)} and the bundle {first.bundle}"
        f"{f' (manifest SHA-256 {hashes[:12]})' if hashes else ''}; eye movement columns by the rule: {rule}.",
        f"Windows were {first.length_ns / NANOSECONDS:g} s long, one every {first.hop_ns / NANOSECONDS:g} s.",
        f"Camera: {_listed(one.camera for one in runs)}. Eye tracker: {_listed(one.tracker for one in runs)}"
        f"{f', {np.median(rates):.0f} samples a second' if rates else ''}.",
        f"Of {len(windows):,} windows {held:.0%} held both emotions; on average {windows[:, 0].mean():.1f} of "
        f"{FACE_SLOTS} face slots and {windows[:, 1].mean():.1f} of {EYE_SLOTS} eye slots were covered.",
        "A stimulus' figures are of the windows that lie wholly inside it; the peak is the value farthest from the "
        "baseline, and its latency ends with its window, which looks back over its whole length.",
        f"The baseline was {' or '.join(baselines)}." if baselines else "Figures were not corrected for a baseline.",
        "The gap is the base-2 Jensen-Shannon distance of the calibrated seven-class distributions felt and shown.",
    ]
    if len({one.participant for one in runs}) > 1:
        told.append(f"Intervals are 95 % percentile intervals by bootstrap over participants ({RESAMPLES:,} draws) of "
                    "the mean of participants' means.")  # fmt: skip
    if any(one.gaze is not None for one in runs):
        rule = NEW_RULE if bundle is None or bundle.manifest.events == "published" else bundle.manifest.events
        told.append(f"Fixations were found by I-VT (30 degrees a second; rule {rule}).")
    if angles:
        told.append(f"Gaze accuracy before the runs was {np.mean(angles):.2f} degrees (mean of {len(angles)}).")
    return " ".join([*told, *map(sentence, _demo_notes(runs))])


def _demo_notes(runs: Sequence[StudySession]) -> list[str]:
    """What results say of demo weights, each once."""
    return list(dict.fromkeys(note for one in runs for note in one.result_notes if "demo weights" in note))


def _listed(texts: Iterator[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, texts)))
