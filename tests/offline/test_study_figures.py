from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from emer_edge.core.errors import DataError
from emer_edge.core.samples import Display
from emer_edge.core.session_facts import Baseline, Marker, PupilBaseline
from emer_edge.offline.areas import AREA_FIGURES, area_figures, read_areas
from emer_edge.offline.stimuli import FIGURES, WHOLE, Segment, figures_of, over_participants, segments, unshared
from emer_edge.offline.study import Gaze, StudySession
from emer_edge.signals.fixations import Fixations

S = 1_000_000_000
CHANNELS = (("er-7 fear", "probability"), ("er-valence", "scale"), ("gap distance", "1"), ("pupil left", "mm"))


def session(
    values: NDArray[np.float64], *markers: tuple[str, float], length_s: int = 4, participant: str = "p1"
) -> StudySession:
    """A result a second, of windows of `length_s`, from 1 s on."""
    ends = np.arange(1, len(values) + 1) * S
    return StudySession(
        participant, "s1", Path("nowhere"), Display(), bundle="demo", channels=CHANNELS, hop_ns=S,
        length_ns=length_s * S,
        spans_ns=np.stack([ends - length_s * S, ends], axis=1), states=("ok",) * len(values),
        slots=np.tile((8.0, 32.0), (len(values), 1)), values=values,
        markers=tuple(Marker(label, round(at_s * S)) for label, at_s in markers),
    )  # fmt: skip


def course(count: int = 20) -> NDArray[np.float64]:
    """Fear rises by 0.01 a second, valence falls to -1 at 12 s, the gap is there from 10 s on, the pupil is 3 mm."""
    at = np.arange(1, count + 1)
    valence = np.where(at == 12, -1.0, 0.5)
    return np.stack([at * 0.01, valence, np.where(at < 10, np.nan, 0.2), np.full(count, 3.0)], axis=1)


def test_what_a_stimulus_was_like_is_that_of_the_windows_inside() -> None:
    base = Baseline(
        4.0, 0, 4 * S, 2, {"er-7": {"fear": 0.02}, "er-valence": 0.25}, 0.1, {"left": PupilBaseline(2.5, 0.1, 9)}
    )
    made = replace(session(course(), ("film", 6), ("film 2", 15)), baseline=base)
    film, film_2 = figures_of(made)
    assert (film.windows, film.inside, film_2.windows, film_2.inside) == (6, True, 2, True)  # ends 10..15 and 19, 20 s
    fear, valence, gap, pupil = (dict(zip(FIGURES, row, strict=True)) for row in film.figures)
    expected = {
        "mean": 0.125,
        "change": 0.105,
        "peak": 0.15,
        "peak_change": 0.13,
        "peak_latency_s": 9.0,
        "coverage": 1.0,
    }
    assert fear == pytest.approx(expected)
    assert valence["mean"] == pytest.approx((5 * 0.5 - 1.0) / 6)
    assert (valence["peak"], valence["peak_change"], valence["peak_latency_s"]) == (-1.0, -1.25, 6.0)
    assert (gap["mean"], gap["change"]) == pytest.approx((0.2, 0.1))
    assert (pupil["mean"], pupil["change"], pupil["coverage"]) == (3.0, 0.5, 1.0)


def test_windows_that_hold_what_was_before_count_where_none_is_inside() -> None:
    (film,) = figures_of(session(course(9), ("film", 7)))
    assert (film.windows, film.inside) == (2, False)
    assert film.figures[0, FIGURES.index("mean")] == pytest.approx(0.085)
    gap = dict(zip(FIGURES, film.figures[2], strict=True))
    assert gap["coverage"] == 0
    assert math.isnan(gap["mean"])
    assert math.isnan(gap["peak_latency_s"])


def test_a_stimulus_called_baseline_is_one() -> None:
    made = figures_of(session(course(), ("baseline start", 0), ("baseline end", 8), ("film", 10)))
    fear = dict(zip(FIGURES, made[1].figures[0], strict=True))
    assert made[1].baseline[0] == pytest.approx(np.mean([4, 5, 6, 7, 8]) * 0.01)
    assert fear["change"] == pytest.approx(np.mean(range(14, 21)) * 0.01 - made[1].baseline[0])
    assert "'baseline'" in made[1].baseline_words
    without = figures_of(session(course(), ("film", 10)))[0]
    assert (without.baseline_words, bool(np.isnan(without.figures[0, 1]))) == ("", True)


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ((), [(WHOLE, 1, 0, 20)]),
        ((("a", 2), ("b", 5), ("a", 9)), [("a", 1, 2, 5), ("b", 1, 5, 9), ("a", 2, 9, 20)]),
        ((("a start", 2), ("key x", 4), ("a end", 6)), [("a", 1, 2, 6), ("key x", 1, 4, 20)]),
        ((("A_onset", 2), ("B_onset", 4), ("A_offset", 6), ("B_offset", 7)), [("A", 1, 2, 6), ("B", 1, 4, 7)]),
        ((("a start", 2), ("b start", 4)), [("a", 1, 2, 4), ("b", 1, 4, 20)]),
        ((("sea starts", 2), ("sea ends", 4)), [("sea", 1, 2, 4)]),  # as people write
        ((("late end", 3), ("restart", 5)), [("late end", 1, 3, 5), ("restart", 1, 5, 20)]),
        ((("b", 5), ("a", 2)), [("a", 1, 2, 5), ("b", 1, 5, 20)]),
    ],
    ids=["none", "labels", "start and end", "nested", "starts", "plural", "an end alone", "out of order"],
)
def test_markers_name_stimuli(
    markers: tuple[tuple[str, float], ...], expected: list[tuple[str, int, int, int]]
) -> None:
    made = session(course(), *markers)
    if "key x" in dict(markers):  # pressed by whoever watches, while the film goes on
        made = replace(made, markers=tuple(replace(one, source="keyboard" if "key" in one.label else "lsl study")
                                           for one in made.markers))  # fmt: skip
    assert segments(made) == tuple(Segment(name, nth, begin * S, end * S) for name, nth, begin, end in expected)


def test_a_participant_counts_once() -> None:
    rows = np.array([[1.0, np.nan], [3.0, 5.0], [6.0, np.nan], [10.0, np.nan]])
    (first, second), people = over_participants(["p1", "p1", "p2", "p3"], rows)
    assert people == 3
    assert first.value == pytest.approx((2 + 6 + 10) / 3)
    assert 2 <= first.low < first.value < first.high <= 10
    assert (second.value, second.has_interval) == (5.0, False)
    alone, _ = over_participants(["p1", "p1"], rows[:2])
    assert not alone[0].has_interval


def test_stimuli_that_only_some_have_are_named() -> None:
    one, other = session(course(), ("a", 2), ("b", 5)), session(course(), ("a", 2), participant="p2")
    assert unshared([one, other, session(course(), participant="p3")]) == [
        "the stimulus 'b' is in 1 of 2 sessions only (p1/s1)"
    ]


HEADER = "stimulus,area,left_px,top_px,width_px,height_px,polygon_px\n"


def looking() -> StudySession:
    """Three fixations in the film, which begins at 2 s: left, right, and left until after its end."""
    points = np.array([[100.0, 100.0], [100.0, 500.0], [1500.0, 500.0], [200.0, 900.0]])
    onsets = np.array([1.0, 2.5, 3.0, 4.9])
    fixations = Fixations(points, np.array([900.0, 300.0, 600.0, 400.0]), (onsets * S).astype(np.int64))
    gaze = Gaze(np.arange(3) * S, np.zeros((3, 2)), np.zeros((3, 2)), fixations, 600.0)
    return replace(session(course(), ("film start", 2), ("film end", 5)), gaze=gaze)


def test_areas_have_their_dwells_counts_and_first_fixations(tmp_path: Path) -> None:
    pytest.importorskip("shapely", reason="shapely (extra study) is not installed")
    file = tmp_path / "areas.csv"
    file.write_text(
        HEADER + "film,left,0,0,960,1080,\nfilm,corner,,,,,1920 0; 1920 1080; 1200 1080\nfilm,all,0,0,1920,1080,\n"
    )
    areas, notes = read_areas(file, ["film"], Display())
    assert notes == []
    made = looking()
    left, corner, whole = (row for _, row in area_figures(made, segments(made)[0], areas))
    expected = {"dwell_ms": 400, "dwell_share": 0.4, "fixations": 2, "visits": 2, "first_fixation_ms": 500}
    assert dict(zip(AREA_FIGURES, left, strict=True)) == pytest.approx(expected | {"first_duration_ms": 300})
    assert corner[:4].tolist() == [0, 0, 0, 0]  # 1500, 500 is above its edge
    assert np.isnan(corner[4:]).all()
    assert whole[:4].tolist() == pytest.approx([1000, 1, 3, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film,a,0,0,10,10\n", "areas of interest need stimulus, area and"),
        (HEADER + "film,a,0,0,,10,\n", "row 2 is no area of interest"),
        (HEADER + "film,a,0,0,-5,10,\n", "row 2 is no area of interest"),
        (HEADER + "film,a,,,,,1 2; 3 4\n", "row 2 is no area of interest"),
        (HEADER + "film,a,,,,,1 2; 3 4; five 6\n", "row 2 is no area of interest"),
        (HEADER + "film,a,3000,0,10,10,\n", "row 2: the area 'a' lies outside of the display of 1920 x 1080 px"),
        (HEADER + "film,a,0,0,9,9,\nfilm,a,5,5,9,9,\n", "row 3: the area 'a' of 'film' is there already"),
        (HEADER + "fim,a,0,0,9,9,\n", "row 2: no session has a stimulus 'fim'; there are 'film'"),
        (HEADER, "names no area"),
    ],
    ids=["columns", "cell", "size", "corners", "number", "outside", "twice", "unknown", "empty"],
)
def test_what_is_no_area_is_refused_by_its_row(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "areas.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_areas(tmp_path / "areas.csv", ["film"], Display())


def test_areas_that_are_left_out_or_reach_too_far_are_said(tmp_path: Path) -> None:
    file = tmp_path / "areas.csv"
    file.write_text(HEADER + "film,a,1900,0,100,100,\nother,b,0,0,9,9,\n")
    areas, notes = read_areas(file, ["film"], Display())
    assert [area.name for area in areas] == ["a"]
    assert [note.partition(": ")[2] for note in notes] == [
        "the area 'a' reaches beyond the display",
        "no session has a stimulus 'other'; there are 'film'",
    ]


def test_a_polygon_that_crosses_itself_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("shapely", reason="shapely (extra study) is not installed")
    (tmp_path / "areas.csv").write_text(HEADER + "film,bow,,,,,0 0; 100 100; 100 0; 0 100\n")
    areas, _ = read_areas(tmp_path / "areas.csv", ["film"], Display())
    made = looking()
    with pytest.raises(DataError, match="row 2: the polygon of 'bow' can't be an area: Self-intersection"):
        area_figures(made, segments(made)[0], areas)
