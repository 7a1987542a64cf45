from __future__ import annotations

import pytest

from emer_edge.runtime.outputs.drawing import axis, bar, decades_of, duration, histogram, trace


@pytest.mark.parametrize(
    ("value_ms", "words"),
    [
        (0.004, "0.00"),
        (0.12, "0.12"),
        (8.71, "8.7"),
        (99.6, "100"),
        (998.0, "998"),
        (1240.0, "1.2 s"),
        (45_000.0, "45 s"),
    ],
)
def test_durations_in_six_characters(value_ms: float, words: str) -> None:
    assert duration(value_ms) == words


def test_the_axis_spans_whole_decades() -> None:
    assert decades_of([]) == (0, 1)
    assert decades_of([[(0, 3)]]) == (-1, 0)  # up to 1 ms
    assert decades_of([[(1, 3)], [(41, 1)]]) == (0, 3)
    assert decades_of([[(-60, 3), (5, 1)]]) == (-2, 1)  # what is 0 ms old
    assert histogram([(-60, 3), (5, 1)], (-2, 1), 9) == "█     ▃  "
    assert axis((-1, 4), 25) == "0.1  1    10   100  1 s  "
    assert axis((-1, 4), 10) == "0.1 10    "  # as many as there is room for


def test_one_slow_step_shows_beside_many() -> None:
    drawn = histogram([(10, 10_000), (50, 1)], (0, 3), 30)
    assert len(drawn) == 30
    assert (drawn[4], drawn[24]) == ("█", "▁")
    assert drawn.replace(" ", "") == "█▁"
    assert histogram([], (0, 1), 5) == "     "


def test_bars_are_clamped() -> None:
    assert [bar(share, 4, "cyan").plain for share in (-1.0, 0.5, 2.0)] == ["····", "██··", "████"]


def test_a_trace_rises_from_corner_to_corner() -> None:
    lines = trace({"cyan": [(0.0, -1.0), (60.0, 1.0)]}, (0.0, 60.0), (-1.0, 1.0), (4, 2))
    assert [line.plain for line in lines] == ["⠀⠀⡠⠊", "⡠⠊⠀⠀"]


def test_a_trace_breaks_where_nothing_is_known() -> None:
    line = trace(
        {"cyan": [(0.0, 0.0), (10.0, 0.0), (20.0, None), (30.0, None), (60.0, 0.0)]}, (0.0, 60.0), (-1, 1), (30, 1)
    )[0]
    assert [cell != "⠀" for cell in line.plain] == [at < 6 or at == 29 for at in range(30)]


def test_lines_that_cross_are_white_there() -> None:
    both = {"cyan": [(0.0, -1.0), (9.0, 1.0)], "yellow": [(0.0, 1.0), (9.0, -1.0)]}
    styles = {str(span.style) for line in trace(both, (0.0, 9.0), (-1.0, 1.0), (9, 3)) for span in line.spans}
    assert {"cyan", "yellow", "bold white"} <= styles
