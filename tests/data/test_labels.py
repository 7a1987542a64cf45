from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from emer_folders import BOTH_VIEWS, write_xlsx

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import EMOTIONS, POLARITIES
from emer_edge.data.labels import SHARE_COLUMNS, open_labels, parse_classes, suggest_classes

CODES = ("ID", "Emotion", "Valence", "Arousal", "Intensity")


def write(folder: Path, header: tuple[str, ...], *rows: list[Any]) -> Path:
    return write_xlsx(folder / "label.xlsx", [header, *rows])


def test_both_views_in_words(tmp_path: Path) -> None:
    path = write(tmp_path, BOTH_VIEWS, ["3_film_happy", "Anger", "Negative", -1, 1, "sad", "neg", -0.68, 0.72, 1.55])
    table = open_labels(path)
    assert table.heads == (
        "er-7", "er-3", "er-valence", "er-arousal", "fer-7", "fer-3", "fer-valence", "fer-arousal", "fer-intensity",
    )  # fmt: skip
    assert table.needs_classes() == ()
    assert table.labels("3_film_happy", {}) == {
        "er-7": EMOTIONS.index("anger"),
        "er-3": POLARITIES.index("negative"),
        "er-valence": -1.0,
        "er-arousal": 1.0,
        "fer-7": EMOTIONS.index("sadness"),
        "fer-3": POLARITIES.index("negative"),
        "fer-valence": -0.68,
        "fer-arousal": 0.72,
        "fer-intensity": 1.55,
    }


def test_polarity_follows_from_emotion_unless_it_is_given(tmp_path: Path) -> None:
    row = ["a", "surprise", "", "", "", "neutral", "negative", "", "", ""]
    labels = open_labels(write(tmp_path, BOTH_VIEWS, row)).labels("a", {})
    assert labels == {
        "er-7": 3, "er-3": POLARITIES.index("positive"), "fer-7": 6, "fer-3": POLARITIES.index("negative"),
    }  # fmt: skip


@pytest.mark.case(
    "faces labelled with an emotion and no polarity",
    source="EMER's labels: neutral faces are positive or negative, too",
    before="shown polarity derived from the emotion",
)
def test_shown_polarity_never_follows_from_shown_emotion(tmp_path: Path) -> None:
    row = ["a", "surprise", "", "", "", "anger", "", "", "", ""]
    assert open_labels(write(tmp_path, BOTH_VIEWS, row)).labels("a", {}) == {"er-7": 3, "er-3": 0, "fer-7": 5}
    table = open_labels(write(tmp_path, ("ID", "FER_Emotion"), ["a", "anger"]))
    assert (table.heads, table.labels("a", {})) == (("fer-7",), {"fer-7": 5})
    coded = open_labels(write(tmp_path, BOTH_VIEWS, *([f"c{at}", *[""] * 5, at, *[""] * 3] for at in (0, 1, 2))))
    with pytest.raises(ConfigurationError, match="--label-column fer-3= to do without shown polarity"):
        coded.code_order(None)


def test_one_view_in_codes(tmp_path: Path) -> None:
    path = write(tmp_path, CODES, *([f"{code}_film_x", code, 0.5, 0, 2] for code in range(7)))
    for view, heads in (
        ("er", ("er-7", "er-3", "er-valence", "er-arousal")),
        ("fer", ("fer-7", "fer-valence", "fer-arousal", "fer-intensity")),
    ):
        table = open_labels(path, view=view)  # type: ignore[arg-type]
        assert table.heads == heads
        assert table.needs_classes() == (f"{view}-7",)
        order = table.code_order(tuple(reversed(EMOTIONS)))
        assert table.labels("0_film_x", order)[f"{view}-7"] == 6
        assert table.labels("6_film_x", order)[f"{view}-7"] == 0


@pytest.mark.parametrize(
    ("codes", "classes", "meaning"),
    [
        (range(7), EMOTIONS, {0: "happiness", 6: "neutral"}),
        (range(1, 8), EMOTIONS, {1: "happiness", 7: "neutral"}),
        (range(10, 80, 10), EMOTIONS, {10: "happiness", 70: "neutral"}),
        ((0, 3), EMOTIONS, {0: "happiness", 3: "surprise"}),
        ((2, 5), {2: "sad", 5: "happy"}, {2: "sadness", 5: "happiness"}),
    ],
    ids=["from-0", "from-1", "in-tens", "some", "named"],
)
def test_meaning_of_codes(tmp_path: Path, codes: Any, classes: Any, meaning: dict[int, str]) -> None:
    table = open_labels(write(tmp_path, CODES, *([f"c{code}", code, 0, 0, 0] for code in codes)), view="er")
    order = table.code_order(classes)["er-7"]
    assert {code: order[code] for code in meaning} == meaning


@pytest.mark.parametrize(
    ("codes", "classes", "message"),
    [
        ((0, 1), None, r"codes \(0, 1\) whose order is not published; pass --classes"),
        ((1, 2), EMOTIONS, "whether they start at 0 or 1 is open"),
        ((0, 9), EMOTIONS, "gives no emotion for 9"),
        ((0, 1), ("happy", "bored"), "'bored'; the emotions are happiness"),
        ((0, 1), ("happy", "joy"), "names an emotion twice"),
    ],
    ids=["none", "open", "unnamed", "unknown", "twice"],
)
def test_codes_without_a_meaning_are_refused(tmp_path: Path, codes: Any, classes: Any, message: str) -> None:
    table = open_labels(write(tmp_path, CODES, *([f"c{code}", code, 0, 0, 0] for code in codes)), view="er")
    with pytest.raises(ConfigurationError, match=message):
        table.code_order(classes)


@pytest.mark.parametrize(
    ("text", "classes"),
    [("happy, sad", ["happiness", "sadness"]), ("1=happy,0=anger", {1: "happiness", 0: "anger"})],
    ids=["order", "codes"],
)
def test_classes_on_a_command_line(text: str, classes: Any) -> None:
    assert parse_classes(text) == classes


@pytest.mark.parametrize("text", ["bored", "x=happy", "1=happy,sad"])
def test_classes_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--classes"):
        parse_classes(text)


def test_polarity_codes(tmp_path: Path) -> None:
    rows = [[f"c{code}", "", code, *[""] * 7] for code in (-1, 0, 1)]
    table = open_labels(write(tmp_path, BOTH_VIEWS, *rows))
    assert [POLARITIES[int(table.labels(f"c{code}", {})["er-3"])] for code in (-1, 0, 1)] == [
        "negative",
        "neutral",
        "positive",
    ]
    table = open_labels(write(tmp_path, BOTH_VIEWS, *([f"c{code}", "", code, *[""] * 7] for code in (0, 1, 2))))
    with pytest.raises(ConfigurationError, match="--label-column er-3= to derive"):
        table.code_order(None)


def test_a_view_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="pass --view er or --view fer"):
        open_labels(write(tmp_path, CODES, ["a", 1, 0, 0, 0]))


def test_columns_of_any_name_through_a_mapping(tmp_path: Path) -> None:
    path = write(tmp_path, ("Clip", "Felt", "Shown strength"), ["a", "fear", 2.5])
    mapping = {"id": "clip", "er-7": "Felt", "fer-intensity": "shown_strength"}
    assert open_labels(path, mapping=mapping).labels("a", {}) == {"er-7": 2, "er-3": 1, "fer-intensity": 2.5}
    row = ["a", "fear", "neutral", *[""] * 7]
    assert open_labels(write(tmp_path, BOTH_VIEWS, row), mapping={"er-3": ""}).labels("a", {})["er-3"] == 1


@pytest.mark.parametrize(
    ("header", "mapping", "message"),
    [
        (("ID", "Mood", "Strength"), {}, "no label column that is known; it holds ID, Mood, Strength"),
        (("Name", "ER_Emotion"), {}, r"no column of clip names \(ID\); it holds Name, ER_Emotion"),
        (("ID", "ER_Emotion"), {"fer-7": "Face"}, "has no column Face for fer-7; it holds ID, ER_Emotion"),
    ],
    ids=["no-label", "no-id", "mapped"],
)
def test_unknown_columns_are_listed(
    tmp_path: Path, header: tuple[str, ...], mapping: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_labels(write(tmp_path, header, ["a", *["x"] * (len(header) - 1)]), mapping=mapping)


def test_a_mapping_of_no_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="names er-8; use id or a head: er-7"):
        open_labels(write(tmp_path, BOTH_VIEWS), mapping={"er-8": "x"})


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (3, 1.5, "er-valence is 1.5, outside -1 to 1"),
        (9, -0.1, "fer-intensity is -0.1, outside 0 to 3"),
        (3, "high", "er-valence is 'high', which is not a number"),
        (1, "bored", "er-7 is 'bored', which is none of happiness"),
        (1, 2.5, r"er-7 is '2\.5'"),
        (2, "mixed", "er-3 is 'mixed', which is none of positive"),
    ],
    ids=["valence", "intensity", "word", "emotion", "fraction", "polarity"],
)
def test_a_label_out_of_range_names_its_clip(tmp_path: Path, column: int, cell: Any, message: str) -> None:
    row: list[Any] = ["a", "fear", "negative", -1, 1, "sad", "negative", -0.68, 0.72, 1.55]
    row[column] = cell
    with pytest.raises(DataError, match=message):
        open_labels(write(tmp_path, BOTH_VIEWS, row)).labels("a", {})


def test_clips_without_one_label_are_told_apart(tmp_path: Path) -> None:
    full = ["fear", "negative", -1, 1, "sad", "negative", -0.68, 0.72, 1.55]
    table = open_labels(
        write(
            tmp_path, BOTH_VIEWS, ["a", *full], ["a", *full], ["b", *full], ["b", "joy", *full[1:]], ["c"], [7, *full]
        )
    )
    assert table.labels("a", {}) == table.labels("7", {})
    for name, message in (("b", "labels it twice"), ("c", "leaves all"), ("d", "has no label")):
        with pytest.raises(DataError, match=message):
            table.labels(name, {})


def test_classes_are_suggested_from_the_films() -> None:
    films = ("happy", "sad", "fear", "surprise", "disgust", "anger", "neutral")
    codes = {}
    for code, film in enumerate(reversed(films)):
        for person in range(10):
            codes[f"{person}_film_{film}"] = code if person < 6 else (code + 1 + person % 3) % 7
    suggestion = suggest_classes(codes)
    assert suggestion.classes == dict(enumerate(reversed(EMOTIONS)))
    assert suggestion.table[0]["neutral"] == 6
    assert sum(sum(row.values()) for row in suggestion.table.values()) == 70


@pytest.mark.parametrize(
    "codes", [{}, {"clip": 1}, {"1_film_happy": 0, "2_film_happy": 1}, {f"1_film_{i}": i for i in range(9)}], ids=repr
)
def test_nothing_is_suggested_where_films_leave_it_open(codes: dict[str, int]) -> None:
    assert suggest_classes(codes).classes == {}


SHARES = ("ID", "FER_Emotion", *SHARE_COLUMNS.values())


def test_shares_of_raters_are_read_beside_the_label(tmp_path: Path) -> None:
    rows = [["a", "fear", 0, 0, "3", 1, 0, 0, 0], ["b", "fear", *[""] * 7], ["c", "", "0,5", 0, 0, "0,5", 0, 0, 0]]
    table = open_labels(write(tmp_path, SHARES, *rows))
    assert table.heads == ("fer-7",)
    assert table.shares("a") == {"fer-7": (0, 0, 0.75, 0.25, 0, 0, 0)}
    assert (table.labels("a", {}), table.shares("b")) == ({"fer-7": 2}, {})
    assert table.shares("c") == {"fer-7": (0.5, 0, 0, 0.5, 0, 0, 0)}


@pytest.mark.parametrize("cell", [-1, "most", "-0.5"])
def test_shares_that_are_none_are_refused(tmp_path: Path, cell: Any) -> None:
    table = open_labels(write(tmp_path, SHARES, ["a", "fear", 0, 0, cell, 1, 0, 0, 0]))
    with pytest.raises(DataError, match="not numbers of 0 or more"):
        table.shares("a")
    nobody = open_labels(write(tmp_path, SHARES, ["a", "fear", *[0] * 7]))
    with pytest.raises(DataError, match="some above 0"):
        nobody.shares("a")


def test_some_columns_of_shares_are_no_shares(tmp_path: Path) -> None:
    assert open_labels(write(tmp_path, SHARES[:-1], ["a", "fear", 0, 0, 1, 1, 0, 0])).shares("a") == {}
