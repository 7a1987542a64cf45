from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emer_folders import BOTH_VIEWS, clip_names, eye_rows, folds_of, labels_of, write_release, write_sets, write_xlsx

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import HEADS
from emer_edge.data.dataset import Clip, EmerDataset, clip_hash, new_salt, regroup
from emer_edge.data.layout import describe_clip


def people(clips: Any) -> set[str | None]:
    return {clip.participant for clip in clips}


def test_either_layout_opens(small_root: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    dataset = EmerDataset.open(small_root, progress=lambda *step: steps.append(step))
    assert [clip.name for clip in dataset.clips] == clip_names(6)
    assert dataset.skipped == ()
    assert dataset.heads == tuple(HEADS)
    assert dataset.folds == (1, 2, 3, 4, 5)
    assert dataset.shared_participants == {}
    assert steps[-1] == ("reading clips", 12, 12)
    clip = dataset.clips[0]
    assert (clip.name, clip.participant, clip.stimulus, clip.induced_emotion) == (
        "1_film0_sad",
        "1",
        "film0",
        "sadness",
    )
    assert [path.name for path in clip.frame_paths] == [f"{number}.png" for number in range(1, 9)]
    assert clip.frame(1).shape == (112, 112, 3)
    assert clip.frame(1)[0, 0].tolist() == [2, 4, 6]
    assert clip.eye().rows.shape == (40, 39)
    assert clip.labels["er-7"] == 1


def test_both_layouts_hold_the_same_clips(tmp_path: Path) -> None:
    names = clip_names(3)
    one = EmerDataset.open(write_sets(tmp_path / "one", names, folds_of(names)))
    other = EmerDataset.open(write_release(tmp_path / "other", names, folds_of(names)))
    for a, b in zip(one.clips, other.clips, strict=True):
        assert (a.name, a.fold, a.labels) == (b.name, b.fold, b.labels)
        np.testing.assert_array_equal(a.eye().rows, b.eye().rows)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("3_film_happy", ("3", "film", "happiness")),
        ("12_film_04_angry", ("12", "film_04", "anger")),
        ("P7_film", ("P7", "film", None)),
        ("3_happy", ("3", "happy", "happiness")),
        ("3_film_happy Happy", ("3", "film", "happiness")),
        ("12_sport_04_angry  Negative anger", ("12", "sport_04", "anger")),
        ("3_film one", ("3", "film one", None)),
        ("clip", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_what_a_name_tells(name: str, parts: tuple[str | None, ...]) -> None:
    assert describe_clip(name) == parts


@pytest.mark.parametrize("fold", [1, 2, 5])
def test_slices_of_a_fold_share_no_participant(small_root: Path, fold: int) -> None:
    dataset = EmerDataset.open(small_root)
    test, training, selection = dataset.fold(fold), dataset.training(fold), dataset.selection(fold)
    assert sorted(clip.name for clip in (*test, *training, *selection)) == sorted(clip_names(6))
    assert not people(test) & people(training)
    assert not people(selection) & people(training)
    assert not people(selection) & people(test)
    assert len(people(selection)) == 1
    assert dataset.selection(fold) == selection


def test_the_selection_is_a_sixth_of_the_participants_and_spread_like_all(tmp_path: Path) -> None:
    names = clip_names(30, films=1)
    dataset = EmerDataset.open(write_sets(tmp_path / "EMER", names, folds_of(names), frames=8, rows=32))
    selection = dataset.selection(1)
    assert len(people(selection)) == 4
    assert len({clip.labels["er-7"] for clip in selection}) == 4
    assert {clip.name for clip in dataset.selection(1, seed=1)} != {clip.name for clip in selection}


def test_folds_that_share_participants_are_dealt_anew_unless_they_are_to_be_kept(tmp_path: Path) -> None:
    names = clip_names(6)
    folds = {name: at % 5 + 1 for at, name in enumerate(names)}
    root = write_sets(tmp_path / "EMER", names, folds)
    dataset = EmerDataset.open(root, keep_folds=True)
    assert not dataset.regrouped
    assert set(dataset.shared_participants) == {"1", "2", "3", "4", "5", "6"}
    assert dataset.shared_participants["1"] == (1, 2)
    for fold in dataset.folds:
        assert not people(dataset.selection(fold)) & people(dataset.training(fold))
    dealt = EmerDataset.open(root)
    assert dealt.regrouped
    assert dealt.shared_participants == {}
    assert dealt.folds == (1, 2, 3, 4, 5)
    assert dealt.fingerprint != dataset.fingerprint
    assert regroup(dataset).clips[0].fold == dealt.clips[0].fold


def test_names_that_tell_no_participant_stand_for_themselves(tmp_path: Path) -> None:
    names = [f"clip{at}" for at in range(12)]
    folds = {name: at % 5 + 1 for at, name in enumerate(names)}
    root = write_sets(tmp_path / "EMER", names, folds, frames=8, rows=32)
    write_xlsx(root / "new_label.xlsx", [BOTH_VIEWS, *([name, "fear", *labels_of("1_f_sad")[2:]] for name in names)])
    dataset = EmerDataset.open(root)
    assert dataset.shared_participants == {}
    assert len(dataset.selection(1)) == 2
    assert len(dataset.training(1)) + len(dataset.selection(1)) + len(dataset.fold(1)) == 12


def spoiled(root: Path) -> dict[str, str]:
    """Break one clip in each way; return clip -> part of the reason."""
    names = clip_names(6)
    folders = {path.name: path for path in root.glob("face*/set*/*")} or {
        path.name: path for path in root.glob("face*/*")
    }
    eyes = next(root.glob("eye*"))
    for frame in folders[names[0]].iterdir():
        frame.unlink()
    (folders[names[1]] / "1.png").write_bytes(b"not an image")
    (eyes / f"{names[2]}.xlsx").unlink()
    (eyes / f"{names[3]}.xlsx").write_bytes(b"not a sheet")
    write_xlsx(eyes / f"{names[4]}.xlsx", [COLUMN_KEYS[:5], *(row[:5] for row in eye_rows(3))])
    labels = [labels_of(name) for name in names[:-1]]
    labels[5][3] = 2.0
    write_xlsx(next(root.glob("*label.xlsx")), [BOTH_VIEWS, *labels])
    return {
        names[0]: "holds no frame",
        names[1]: "is not an image",
        names[2]: "no eye sheet",
        names[3]: "header lacks",
        names[4]: "header lacks 34 of the 39 eye columns",
        names[5]: "er-valence is 2, outside",
        names[-1]: "has no label",
    }


def test_broken_clips_are_named_skipped_and_counted(small_root: Path) -> None:
    reasons = spoiled(small_root)
    dataset = EmerDataset.open(small_root)
    assert {skip.name for skip in dataset.skipped} == set(reasons)
    for skip in dataset.skipped:
        assert reasons[skip.name] in skip.reason
    assert len(dataset.clips) == 12 - len(reasons)


def test_strict_fails_on_the_first_broken_clip(small_root: Path) -> None:
    spoiled(small_root)
    with pytest.raises(DataError, match=r"clip 1_film0_sad can't be used: .* holds no frame"):
        EmerDataset.open(small_root, strict=True)


def test_no_usable_clip_is_an_error_that_names_one(tmp_path: Path) -> None:
    names = clip_names(2)
    root = write_sets(tmp_path / "EMER", names, folds_of(names))
    for sheet in (root / "eye").iterdir():
        sheet.unlink()
    with pytest.raises(DataError, match="no usable clip, 4 were skipped; the first: 1_film0_sad: it has no eye sheet"):
        EmerDataset.open(root)


def test_the_fingerprint_follows_the_data(small_root: Path) -> None:
    first = EmerDataset.open(small_root).fingerprint
    assert EmerDataset.open(small_root).fingerprint == first
    names = clip_names(6)
    labels = [labels_of(name) for name in names]
    labels[0][4] = 0.25
    write_xlsx(next(small_root.glob("*label.xlsx")), [BOTH_VIEWS, *labels])
    assert EmerDataset.open(small_root).fingerprint != first


def test_folds_that_do_not_exist(small_root: Path) -> None:
    dataset = EmerDataset.open(small_root)
    with pytest.raises(ConfigurationError, match="no clips in fold 6; its folds are 1, 2, 3, 4, 5"):
        dataset.fold(6)
    with pytest.raises(ConfigurationError, match="folds are numbered 1 to 5"):
        dataset.training(0)


def test_one_fold_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    names = clip_names(2)
    dataset = EmerDataset.open(write_sets(tmp_path / "EMER", names, dict.fromkeys(names, 1)))
    assert dataset.fold(1)
    with pytest.raises(DataError, match="nothing to train on"):
        dataset.training(1)


def test_codes_and_a_view(tmp_path: Path) -> None:
    names = clip_names(7, films=1)
    root = write_sets(tmp_path / "EMER", names, folds_of(names), frames=8, rows=32)
    header = ("ID", "Emotion", "Valence", "Arousal", "Intensity")
    write_xlsx(root / "new_label.xlsx", [header, *([name, at, 0.1, 0.2, 3] for at, name in enumerate(names))])
    with pytest.raises(ConfigurationError, match="--view"):
        EmerDataset.open(root)
    with pytest.raises(ConfigurationError, match="--classes"):
        EmerDataset.open(root, view="fer")
    classes = ("sad", "fear", "surprise", "disgust", "anger", "neutral", "happy")
    dataset = EmerDataset.open(root, view="fer", classes=classes)
    assert dataset.heads == ("fer-7", "fer-valence", "fer-arousal", "fer-intensity")
    assert [clip.labels["fer-7"] for clip in dataset.clips] == [1, 2, 3, 4, 5, 6, 0]


def clip(folder: Path, name: str, *contents: bytes) -> Clip:
    frames = folder / name
    frames.mkdir(parents=True)
    for at, content in enumerate(contents):
        (frames / f"{at}.png").write_bytes(content)
    return Clip(name, None, None, None, fold=0, frames_path=frames, sheet_path=folder / "none.xlsx", labels={})


def test_a_renamed_clip_keeps_its_hash_and_another_of_its_name_does_not(tmp_path: Path) -> None:
    one = clip(tmp_path, "1_film_happy", b"a", b"b", b"c")
    renamed = clip(tmp_path, "x", b"a", b"b", b"c")
    other = clip(tmp_path / "other", "1_film_happy", b"a", b"B", b"c")
    assert clip_hash("salt", one) == clip_hash("salt", renamed)
    assert clip_hash("salt", one) != clip_hash("salt", other)
    assert len(clip_hash("salt", one)) == 32


def test_another_salt_gives_another_hash(tmp_path: Path) -> None:
    one = clip(tmp_path, "a", b"a")
    assert clip_hash(new_salt(), one) != clip_hash(new_salt(), one)


def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clip a: .*holds no frame"):
        clip_hash("", clip(tmp_path, "a"))
    gone = clip(tmp_path, "b", b"b")
    assert gone.frame_names == ("0.png",)
    (gone.frames_path / "0.png").unlink()
    with pytest.raises(DataError, match=r"0\.png"):
        clip_hash("", gone)
