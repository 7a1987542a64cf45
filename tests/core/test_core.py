from __future__ import annotations

import json

import pytest

from emer_edge.core.columns import COLUMN_KEYS, EYE_COLUMNS, match_header
from emer_edge.core.errors import ConfigurationError, DataError, MissingExtraError
from emer_edge.core.heads import HEADS, PROTOCOLS, head, protocols_of
from emer_edge.core.packages import missing, require
from emer_edge.core.results import Gap, Result, State
from emer_edge.core.samples import Display, StimulusRect
from emer_edge.core.window import WindowSpec


def old_header() -> list[str]:
    """Headers as exports of the older generation wrote them: pixels bare, other units in parentheses."""
    units = {"DACS px": "", "DACS mm": " (DACSmm)", "MCS norm": " (MCSnorm)", "mm": "", "ms": "", "": ""}
    return [f"{column.name}{units[column.unit]}" for column in EYE_COLUMNS]


def new_header() -> list[str]:
    names = [*COLUMN_KEYS]
    names[33] = "Eye movement event duration [ms]"
    return names


def test_there_are_39_distinct_columns() -> None:
    assert len(set(COLUMN_KEYS)) == 39
    assert [column.number for column in EYE_COLUMNS] == list(range(1, 40))


@pytest.mark.parametrize("header", [old_header(), new_header(), list(COLUMN_KEYS)], ids=["old", "new", "keys"])
def test_headers_of_both_generations_are_matched(header: list[str]) -> None:
    assert match_header(header) == {index: index for index in range(39)}
    shuffled = ["Recording timestamp", *reversed(header)]
    assert match_header(shuffled) == {index: 39 - index for index in range(39)}


def test_missing_columns_are_all_named() -> None:
    header = [cell for cell in new_header() if "Pupil" not in cell]
    with pytest.raises(DataError, match=r"2 of the 39 .*Pupil diameter left \[mm\], Pupil diameter right \[mm\]"):
        match_header(header)


def test_seven_protocols_score_nine_heads() -> None:
    assert len(PROTOCOLS) == 7
    assert sorted(name for protocol in PROTOCOLS for name in protocol.heads) == sorted(HEADS)
    assert [protocol.name for protocol in protocols_of(("er-7", "er-valence"))] == ["ER-7"]
    with pytest.raises(ConfigurationError, match="er-7, er-3"):
        head("er-9")


def test_a_default_window_has_a_result_every_half_second() -> None:
    spec = WindowSpec()
    assert (spec.hop_ns, spec.hops, spec.eye_slot_ns) == (500_000_000, 24, 375_000_000)


@pytest.mark.parametrize(
    "options",
    [{"length_ns": 7}, {"length_ns": 0}, {"hops_per_slot": 0}, {"pick": "oldest"}, {"min_face_slots": 9}],
    ids=str,
)
def test_windows_that_do_not_divide_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        WindowSpec(**options)  # type: ignore[arg-type]


def test_displays_are_read_from_text() -> None:
    assert Display.parse("1920x1080,527x296mm") == Display()
    assert StimulusRect.parse("0,0,640,480").width_px == 640
    for text in ("1920x1080", "0x1,2x3", "axb,cxd", ""):
        with pytest.raises(ConfigurationError):
            Display.parse(text)


def test_a_result_becomes_json() -> None:
    result = Result(5, State.OK, heads={"er-3": {"positive": 0.75, "negative": 0.25}}, gap=Gap(0.5))
    assert json.loads(json.dumps(result.to_dict()))["gap"]["distance"] == 0.5
    assert result.top("er-3") == ("positive", 0.75)
    assert result.top("er-7") is None


def test_what_is_missing_is_named_once_with_the_extra_that_brings_it() -> None:
    assert missing(("json", "no_such_package", "no_such_package")) == ["no_such_package"]
    require("this test", ("json",), "export")
    with pytest.raises(MissingExtraError, match=r"this test needs no_such_package, .*\.\[export\]"):
        require("this test", ("json", "no_such_package"), "export")
