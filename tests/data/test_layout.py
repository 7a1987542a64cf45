from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from emer_folders import clip_names, folds_of, write_frames, write_sets
from hypothesis import given
from hypothesis import strategies as st

from emer_edge.core.errors import DataError
from emer_edge.data.frames import list_frames, natural_key
from emer_edge.data.layout import find_layout, parse_folds


def test_either_layout_is_found(small_root: Path) -> None:
    names = clip_names(6)
    layout = find_layout(small_root)
    assert {clip.name: clip.fold for clip in layout.clips} == folds_of(names)
    assert all(clip.sheet.stem == clip.name for clip in layout.clips)
    assert all(clip.frames.name == clip.name for clip in layout.clips)
    assert layout.labels.name in ("new_label.xlsx", "EMER_label.xlsx")
    assert layout.broken == {}


@pytest.mark.parametrize("pattern", ["{}.png", "frame_{}.png", "{:03d}.png"])
def test_frames_are_in_natural_order(tmp_path: Path, pattern: str) -> None:
    for number in np.random.default_rng(0).permutation(12) + 1:
        (tmp_path / pattern.format(number)).touch()
    (tmp_path / "Thumbs.db").touch()
    (tmp_path / ".hidden.png").touch()
    assert list_frames(tmp_path).names == tuple(pattern.format(number) for number in range(1, 13))


@given(st.lists(st.integers(0, 10**9), unique=True))
def test_natural_order_is_the_order_of_numbers(numbers: list[int]) -> None:
    names = [f"clip{number}x.jpg" for number in numbers]
    assert sorted(names, key=natural_key) == [f"clip{number}x.jpg" for number in sorted(numbers)]


@given(st.lists(st.text(max_size=8)))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key)) == sorted(names)


FOLDS = {"3_film_happy": 1, "4_film_sad": 1, "5_film_fear": 2}


@pytest.mark.parametrize(
    "text",
    [
        "set1: 3_film_happy 4_film_sad\nset2: 5_film_fear\n",
        "set1\n3_film_happy\n4_film_sad\n\nset2\n5_film_fear",
        "3_film_happy 1\n4_film_sad\t1\n5_film_fear,2",
        "1 3_film_happy\n1 4_film_sad\n2 5_film_fear",
        "set1/3_film_happy\nset1\\4_film_sad\nset2/5_film_fear/",
        "fold 1 = ['3_film_happy', '4_film_sad']\nfold 2 = ['5_film_fear']",
        "\ufeff# folds\r\nFold_1:\r\n3_film_happy.mp4, 4_film_sad.mp4\r\nFold_2:\r\n5_film_fear.mp4\r\n",
        "fold1 train: 5_film_fear\nfold1 test: 3_film_happy 4_film_sad\nfold2 train: 4_film_sad\ntest: 5_film_fear",
    ],
    ids=["line", "sections", "pairs", "pairs-turned", "paths", "lists", "bom", "train-and-test"],
)
def test_fold_files_of_many_kinds(text: str) -> None:
    assert parse_folds(text) == FOLDS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no clip"),
        ("set1\nset2\n", "names no clip"),
        ("3_film_happy\nset1", "line 1: 3_film_happy comes before any fold"),
        ("set1 set2 3_film_happy", r"line 1: names more than one fold \(1, 2\)"),
        ("set1: a_b\nset2: a_b", "line 2: a_b is in fold 1 and in fold 2"),
    ],
    ids=["empty", "no-clips", "no-fold", "two-folds", "clip-twice"],
)
def test_fold_files_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_folds(text)


@given(st.text(alphabet=st.sampled_from("set12fold _,:\n#ab9\ufeff") | st.characters(), max_size=80))
def test_any_fold_file_is_read_or_refused(text: str) -> None:
    try:
        folds = parse_folds(text)
    except DataError:
        return
    assert folds
    assert set(folds.values()) <= {1, 2, 3, 4, 5}


def without(*parts: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        for part in parts:
            (root / part).rename(root.parent / part.replace("/", "-"))

    return remove


def unfold(root: Path) -> None:
    for clip in (root / "face").glob("set*/*"):
        clip.rename(root / "face" / clip.name)
    for fold in (root / "face").glob("set*"):
        fold.rmdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("face"), r"holds no faces: looked for face, or face_light_align image; found eye, new_label\.xlsx"),
        (without("eye"), "holds no eye sheets: looked for eye"),
        (without("new_label.xlsx"), r"holds no labels: looked for new_label\.xlsx"),
        (
            unfold,
            r"has no folds: looked for clips in face/set1 to set5, or a file emer_set\.txt.*; face holds 1_film0_sad",
        ),
        (lambda root: root.rename(root.parent / "elsewhere"), "does not exist"),
    ],
    ids=["faces", "sheets", "labels", "folds", "root"],
)
def test_what_is_missing_is_named(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    names = clip_names(2)
    root = write_sets(tmp_path / "EMER", names, folds_of(names))
    spoil(root)
    with pytest.raises(DataError, match=message):
        find_layout(root)


def test_layouts_may_mix(tmp_path: Path) -> None:
    names = clip_names(2)
    root = write_sets(tmp_path / "EMER", names, folds_of(names))
    unfold(root)
    (root / "face").rename(root / "Face_Light_Align_Image")
    (root / "emer_set.txt").write_text("\n".join(f"{name} {fold}" for name, fold in folds_of(names).items()))
    assert {each.name: each.fold for each in find_layout(root).clips} == folds_of(names)


def test_clips_that_do_not_fit_the_folds_are_named(tmp_path: Path) -> None:
    names = clip_names(2)
    root = write_sets(tmp_path / "EMER", names, folds_of(names))
    unfold(root)
    (root / "emer_set.txt").write_text(f"set1: {names[0]} {names[1]} 9_film_gone")
    layout = find_layout(root)
    assert [clip.name for clip in layout.clips] == names[:2]
    assert set(layout.broken) == {names[2], names[3], "9_film_gone"}
    assert layout.broken["9_film_gone"] == "emer_set.txt names it, and it has no frames"
    assert layout.broken[names[2]] == "emer_set.txt puts it in no fold"


def test_a_clip_in_two_folds_belongs_to_none(tmp_path: Path) -> None:
    names = clip_names(2)
    root = write_sets(tmp_path / "EMER", names, folds_of(names))
    write_frames(root / "face" / "set5" / names[0], 2)
    layout = find_layout(root)
    assert layout.broken == {names[0]: "it is in set2 and in set5"}
    assert [clip.name for clip in layout.clips] == names[1:]


def test_a_clip_with_two_sheets_is_left_out(tmp_path: Path) -> None:
    names = clip_names(2)
    root = write_sets(tmp_path / "EMER", names, folds_of(names))
    (root / "eye" / f"{names[0]}.tsv").write_text("a copy")
    assert "two eye sheets" in find_layout(root).broken[names[0]]
