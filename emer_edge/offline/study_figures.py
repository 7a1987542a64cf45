"""All figures of a study: of every marker, of every stimulus over participants, of areas of interest, and maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError, MissingExtraError
from emer_edge.core.samples import StimulusRect
from emer_edge.offline.areas import Area, area_figures, read_areas
from emer_edge.offline.stimuli import FIGURES, SegmentFigures, figures_of, over_participants, unshared
from emer_edge.offline.study import StudySession
from emer_edge.report.heat_map import Backdrop
from emer_edge.report.table import Estimate
from emer_edge.signals.fixations import fixation_map

_PICTURES: Final = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, eq=False)
class StimulusMap:
    """Where people looked: (H, W) float32 as of `fixation_map`, the mean of all showings of the stimulus."""

    stimulus: str
    values: NDArray[np.float32]
    caption: str
    backdrop: Backdrop | None


@dataclass(frozen=True, eq=False)
class Study:
    """What a report shows.

    Attributes:
        sessions: in order.
        figures: of each segment of each session.
        measures: label -> unit, of all sessions.
        areas: areas of interest.
        area_rows: segment, area, and its (6,) `AREA_FIGURES`.
        maps: of the stimuli with gaze.
        notes: what a reader must know, as sentences.
        missing: why there are no `area_rows`, where a package is missing; else empty.
    """

    sessions: Sequence[StudySession]
    figures: Sequence[SegmentFigures]
    measures: dict[str, str]
    areas: Sequence[Area]
    area_rows: Sequence[tuple[SegmentFigures, Area, NDArray[np.float64]]]
    maps: Sequence[StimulusMap]
    notes: tuple[str, ...]
    missing: str

    @property
    def stimuli(self) -> list[str]:
        """Those with results, in the order in which they were first met."""
        return list(dict.fromkeys(one.segment.stimulus for one in self.figures if one.session.states))

    def estimates(self, stimulus: str) -> tuple[list[SegmentFigures], int, dict[str, list[Estimate]]]:
        """Showings of a stimulus, participants, and measure -> `FIGURES` over these participants."""
        ones = [one for one in self.figures if one.segment.stimulus == stimulus and one.session.states]
        table = np.full((len(ones), len(self.measures), len(FIGURES)), np.nan)
        for row, one in zip(table, ones, strict=True):
            row[[list(self.measures).index(name) for name, _ in one.session.channels]] = one.figures
        flat, people = over_participants([one.session.participant for one in ones], table.reshape(len(ones), -1))
        wide = len(FIGURES)
        return ones, people, {name: flat[at * wide : (at + 1) * wide] for at, name in enumerate(self.measures)}

    def area_estimates(self) -> Iterator[tuple[Area, int, list[Estimate]]]:
        """Area, participants, and `AREA_FIGURES` over them."""
        for area in self.areas:
            own = [(one.session.participant, row) for one, other, row in self.area_rows if other == area]
            if own:
                estimates, people = over_participants([name for name, _ in own], np.stack([row for _, row in own]))
                yield area, people, estimates


def make_study(sessions: Sequence[StudySession], areas: Path | None = None, pictures: Path | None = None) -> Study:
    """Compute what a report shows.

    Args:
        sessions: from `open_study`, at least one.
        areas: table of areas of interest.
        pictures: folder of images that are called as the stimuli.

    Raises:
        DataError: as `read_areas` and `area_figures`, or a folder without the image of any stimulus.
    """
    figures = [one for session in sessions for one in figures_of(session)]
    by_size = sorted(sessions, key=lambda session: -len(session.channels))
    measures = {name: unit for session in by_size for name, unit in session.channels}
    stimuli = list(dict.fromkeys(one.segment.stimulus for one in figures))
    notes = [*_notes(sessions, figures), *unshared(sessions)]
    read, rows, missing = list[Area](), [], ""
    if areas is not None:
        read, said = read_areas(areas, stimuli, sessions[0].display)
        notes += said
        try:
            rows = [(one, *row) for one in figures for row in area_figures(one.session, one.segment, read)]
        except MissingExtraError as error:
            missing = f"{error}; the tables of gaze, fixations and areas are there without it"
    maps = [*_maps(figures, sessions[0], {} if pictures is None else _pictures(pictures, stimuli))]
    return Study(sessions, figures, measures, read, area_rows=rows, maps=maps, notes=tuple(notes), missing=missing)


def _notes(sessions: Sequence[StudySession], figures: Sequence[SegmentFigures]) -> Iterator[str]:
    yield from (f"{one.name}: {note}" for one in sessions for note in one.notes)
    for one in figures:
        name, lasts_s = one.session.name, one.segment.lasts_s
        if one.session.states and not one.inside:
            held = "its figures hold evidence from before it" if one.windows else "it has no figures"
            yield f"{name}: no window lies inside {one.segment.stimulus!r} ({lasts_s:.1f} s): {held}"
    without = dict.fromkeys(one.session.name for one in figures if one.session.states and not one.baseline_words)
    if without:
        yield f"no baseline in {', '.join(without)}: run with --baseline 30s, or set a marker 'baseline'"
    first = sessions[0]
    for other in sessions:
        if other.gaze is not None and other.display != first.display:
            yield f"{other.name}: its display is another than that of {first.name}: it is left out of the maps"


def _pictures(folder: Path, stimuli: Sequence[str]) -> dict[str, Path]:
    paths = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _PICTURES}
    found = {name: paths[name] for name in stimuli if name in paths}
    if not found:
        raise DataError(f"{folder} holds no image that is called as a stimulus: {', '.join(stimuli)}")
    return found


def _maps(figures: Sequence[SegmentFigures], first: StudySession, pictures: dict[str, Path]) -> Iterator[StimulusMap]:
    for stimulus in dict.fromkeys(one.segment.stimulus for one in figures):
        drawn, count, distances = [], 0, []
        for one in figures:
            gaze = one.session.gaze
            if one.segment.stimulus == stimulus and gaze is not None and one.session.display == first.display:
                found = gaze.fixations.between(one.segment.begin_ns, one.segment.end_ns)
                drawn.append(fixation_map(found, first.display, gaze.distance_mm))
                distances.append(gaze.distance_mm)
                count += len(found)
        if drawn:
            rect = first.stimulus or StimulusRect.whole(first.display)
            shown = Backdrop(pictures[stimulus].read_bytes(), rect) if stimulus in pictures else None
            mean = f"mean of {len(drawn)} showings; " if len(drawn) > 1 else ""
            caption = f"{mean}{count} fixations, eyes {np.median(distances):.0f} mm from the display"
            yield StimulusMap(stimulus, np.mean(drawn, axis=0, dtype=np.float32), caption, shown)
