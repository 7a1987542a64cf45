"""The report of a study, in a folder of its own: one page, tidy tables, and fixation maps.

report.html        to read: no network; its one script sorts tables
markers.csv        one row per marker and measure
stimuli.csv        one row per stimulus and measure, over participants
windows.csv        one row per result
fixations.csv      one row per fixation; gaze/PARTICIPANT/SESSION.csv has one row per sample
validation.csv     one row per target of a gaze validation
areas.csv          the areas of interest as read; area-figures.csv what was looked at in them
maps/NAME.png      one map per stimulus
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from emer_edge.bundle import Bundle
from emer_edge.core.progress import Progress, silent
from emer_edge.core.session_facts import TargetMeasure
from emer_edge.core.whole_file import Target, whole_folder
from emer_edge.offline.areas import AREA_FIGURES
from emer_edge.offline.session_page import page
from emer_edge.offline.stimuli import FIGURES, Segment, segments
from emer_edge.offline.study import EYES, Gaze, StudySession
from emer_edge.offline.study_figures import Study
from emer_edge.report.heat_map import heat_map_png
from emer_edge.report.table import Cell, Rows, Table
from emer_edge.report.text_tables import to_csv

PAGE: Final = "report.html"
_FILES: Final = re.compile(r"[\w-]+\.(csv|html)|gaze/.+\.csv|maps/.+\.png")
_LONGEST_NAME: Final = 200  # bytes
_WHO: Final = "participant | session"
_WHERE: Final = f"{_WHO} | stimulus | occurrence"


def report_target(folder: Path, force: bool = False) -> Target:
    """The place of a report; OutputExistsError where something is there and not `force`, or files of others are."""
    return Target.of(folder, force, lambda file: bool(_FILES.fullmatch(file.as_posix())))


def write_report(study: Study, target: Target, bundle: Bundle | None = None, progress: Progress = silent) -> None:
    """Write the report whole or not at all, readable by this user alone.

    Raises:
        OSError: the disk refuses.
        OutputExistsError: the target is no longer as it was found.
    """
    with whole_folder(target) as folder:
        folder.chmod(0o700)
        tables = {name: table for name, table in _tables(study).items() if table.rows}
        contents: dict[str, str | bytes] = {f"{name}.csv": to_csv(table) for name, table in tables.items()}
        contents |= {f"maps/{_plain(one.stimulus)}.png": heat_map_png(one.values) for one in study.maps}
        contents[PAGE] = page(study, bundle, {f"{name}.csv": len(table.rows) for name, table in tables.items()})
        for name, content in contents.items():
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        for at, session in enumerate(study.sessions, 1):
            if session.gaze is not None:
                file = folder / "gaze" / _plain(session.participant) / f"{_plain(session.session)}.csv"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(to_csv(_gaze(session, session.gaze)).encode())
            progress("writing gaze", at, len(study.sessions))


def _plain(name: str) -> str:
    """A file's name for any name, of no two the same."""
    plain = re.sub(r"^\.|[/%]", lambda match: f"%{ord(match[0]):02X}", name)
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return plain if len(plain.encode()) < _LONGEST_NAME else f"{plain[: _LONGEST_NAME // 4]}-{digest}"


def _tables(study: Study) -> dict[str, Table]:
    limits = " | ".join(f"{name} | {name}_low | {name}_high" for name in FIGURES)
    headers: dict[str, tuple[str, Callable[[Study], Rows]]] = {
        "markers": (f"{_WHERE} | time_s | duration_s | measure | unit | windows | evidence | baseline | "
                    f"{' | '.join(FIGURES)}", _marker_rows),
        "stimuli": (f"stimulus | measure | unit | participants | showings | {limits}", _stimulus_rows),
        "windows": (f"{_WHERE} | begin_s | end_s | state | face_slots | eye_slots | {' | '.join(study.measures)}",
                    _window_rows),
        "fixations": (f"{_WHERE} | onset_ms | duration_ms | x_px | y_px", _fixation_rows),
        "validation": (f"{_WHO} | {' | '.join(TargetMeasure.__slots__)}", _target_rows),
        "areas": ("stimulus | area | polygon_px", _area_rows),
        "area-figures": (f"{_WHERE} | area | {' | '.join(AREA_FIGURES)}", _area_figure_rows),
    }  # fmt: skip
    return {name: Table.of(name, header, rows(study)) for name, (header, rows) in headers.items()}


def _where(session: StudySession, segment: Segment | None) -> tuple[Cell, ...]:
    shown = (None, None) if segment is None else (segment.stimulus, segment.occurrence)
    return session.participant, session.session, *shown


def _during(found: Sequence[Segment], time_ns: int) -> Segment | None:
    """The segment that was there at a time, the last begun of several."""
    return next((one for one in reversed(found) if one.begin_ns <= time_ns < one.end_ns), None)


def _marker_rows(study: Study) -> Rows:
    for one in study.figures:
        segment = one.segment
        times = one.session.seconds(segment.begin_ns), segment.lasts_s
        for channel, base, row in zip(one.session.channels, one.baseline, one.figures, strict=True):
            cells = (*channel, one.windows, one.evidence, float(base), *row.tolist())
            yield (*_where(one.session, segment), *times, *cells)


def _stimulus_rows(study: Study) -> Rows:
    for stimulus in study.stimuli:
        ones, people, estimates = study.estimates(stimulus)
        for name, unit in study.measures.items():
            numbers = (number for one in estimates[name] for number in (one.value, one.low, one.high))
            yield (stimulus, name, unit, people, len(ones), *numbers)


def _window_rows(study: Study) -> Rows:
    for session in study.sessions:
        found, names = segments(session), [name for name, _ in session.channels]
        rows = zip(session.spans_ns.tolist(), session.states, session.slots, session.values.tolist(), strict=True)
        for (begin_ns, end_ns), state, slots, values in rows:
            known = dict(zip(names, values, strict=True))
            cells = (state, *map(int, slots), *map(known.get, study.measures))
            times = session.seconds(begin_ns), session.seconds(end_ns)
            yield (*_where(session, _during(found, end_ns)), *times, *cells)


def _fixation_rows(study: Study) -> Rows:
    for session in study.sessions:
        found, fixations = segments(session), None if session.gaze is None else session.gaze.fixations
        if fixations is not None:
            columns = (fixations.onsets_ns, fixations.durations_ms, fixations.points_px)
            for onset_ns, lasts_ms, point in zip(*(column.tolist() for column in columns), strict=True):
                times = session.seconds(onset_ns) * 1e3, lasts_ms
                yield (*_where(session, _during(found, onset_ns)), *times, *point)


def _target_rows(study: Study) -> Rows:
    for session in study.sessions:
        for target in () if session.validation is None else session.validation.targets:
            yield (session.participant, session.session, *asdict(target).values())


def _area_rows(study: Study) -> Rows:
    for area in study.areas:
        yield area.stimulus, area.name, "; ".join(f"{x:g} {y:g}" for x, y in area.corners)


def _area_figure_rows(study: Study) -> Rows:
    for one, area, row in study.area_rows:
        yield (*_where(one.session, one.segment), area.name, *row.tolist())


def _gaze(session: StudySession, gaze: Gaze) -> Table:
    found, rows = segments(session), []
    columns = (gaze.times_ns, gaze.points_px, gaze.pupils_mm)
    for time_ns, point, pupils in zip(*(column.tolist() for column in columns), strict=True):
        rows.append((*_where(session, _during(found, time_ns)), session.seconds(time_ns) * 1e3, *point, *pupils))
    pupils_mm = " | ".join(f"pupil_{eye}_mm" for eye in EYES)
    return Table.of("gaze", f"{_WHERE} | time_ms | x_px | y_px | {pupils_mm}", rows)
