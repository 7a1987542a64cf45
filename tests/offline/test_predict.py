from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import cv2
import numpy as np
import pytest
import xlsxwriter
from runtime_inputs import scene

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import ConfigurationError, DataError, OutputExistsError
from emer_edge.core.results import State
from emer_edge.data.dataset import Clip, SkippedClip
from emer_edge.data.recordings import write_recording_file
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.offline.predict import Prediction, predict_paths, score_clips, write_csv
from emer_edge.runtime.session import Session


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def recording(video: Path, tracker: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "talk"
    folder.mkdir()
    shutil.copy(video, folder / "video.avi")
    shutil.copy(tracker, folder / "gaze.csv")
    write_recording_file(folder, video="video.avi", tracker="gaze.csv")
    return folder


@pytest.fixture
def emer(tmp_path: Path) -> Path:
    """Three clips of 24 frames and 288 rows; the third has no eye sheet."""
    root = tmp_path / "EMER"
    (root / "eye").mkdir(parents=True)
    names = ("1_film_happy", "2_film_sad", "3_film_fear")
    rng = np.random.default_rng(0)
    for at, name in enumerate(names):
        folder = root / "face" / f"set{at + 1}" / name
        folder.mkdir(parents=True)
        for number in range(24):
            crop = scene(100, 90)[180:292, 180 + number : 292 + number]
            assert cv2.imwrite(str(folder / f"{number + 1}.png"), crop)
    for name in names[:2]:
        with xlsxwriter.Workbook(str(root / "eye" / f"{name}.xlsx")) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, COLUMN_KEYS)
            for row in range(288):
                cells = np.round(rng.uniform(1, 900, 39), 2).tolist()
                cells[14:16] = ["Valid", "Valid"]
                cells[32] = "Fixation"
                sheet.write_row(row + 1, 0, cells)
    with xlsxwriter.Workbook(str(root / "new_label.xlsx")) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["ID", "ER_Emotion"])
        for at, name in enumerate(names, start=1):
            sheet.write_row(at, 0, [name, "happy"])
    return root


def test_rows_of_a_recording(session: Session, recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.csv"
    rows = predict_paths(session, [recording])
    assert write_csv(output, rows, session.bundle.manifest) == 20
    with output.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["state"] for row in table] == ["filling"] * 7 + ["ok"] * 13
    assert table[0]["name"] == "talk"
    assert table[0]["end_s"] == "0.300"
    assert table[0]["er-7"] == table[0]["er-7_fear"] == table[0]["gap_distance"] == ""
    last = table[-1]
    shares = {name: float(value) for name, value in last.items() if name.startswith("fer-7_")}
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-4)
    assert last["fer-7"] == max(shares, key=shares.__getitem__).removeprefix("fer-7_")
    assert -10 < float(last["er-valence"]) < 10
    assert last["notes"].startswith("demo weights, trained on synthetic clips; ")
    assert list(tmp_path.glob(".results*")) == []


def test_rows_of_a_data_set_are_whole_windows(session: Session, emer: Path) -> None:
    skipped: list[SkippedClip] = []
    predictions = list(predict_paths(session, [emer], skipped=skipped))
    assert [prediction.name for prediction in predictions] == ["1_film_happy", "2_film_sad"]
    assert [skip.name for skip in skipped] == ["3_film_fear"]
    assert all(prediction.result.state is State.OK for prediction in predictions)
    clip = Clip(
        "1_film_happy", "1", "film", "happiness", 1, emer / "face/set1/1_film_happy", emer / "eye/1_film_happy.xlsx", {}
    )
    window = clip_window(clip, session.bundle.manifest.window)
    expected = session.predict(load_faces(clip, window.frames)[None], window.eye[None], window.gaze[None])
    shares = predictions[0].result.heads["er-7"]
    assert isinstance(shares, dict)
    np.testing.assert_allclose(list(shares.values()), expected["er-7"][0], atol=1e-5)


def test_strict_names_the_broken_clip(session: Session, emer: Path) -> None:
    with pytest.raises(DataError, match="3_film_fear"):
        list(predict_paths(session, [emer], strict=True))


def test_a_clip_that_breaks_while_read_is_skipped(session: Session, emer: Path) -> None:
    folder = emer / "face/set1/1_film_happy"
    clips = [
        Clip("broken", None, None, None, 0, emer / "nowhere", emer / "eye/1_film_happy.xlsx", {}),
        Clip("whole", None, None, None, 0, folder, emer / "eye/1_film_happy.xlsx", {}),
    ]
    scores = score_clips(session, clips)
    assert [clip.name for clip in scores.clips] == ["whole"]
    assert [skip.name for skip in scores.skipped] == ["broken"]
    assert scores.outputs["er-7"].shape == (1, 7)
    assert scores.eye_slots.tolist() == [32]
    with pytest.raises(DataError, match="broken"):
        score_clips(session, clips, strict=True)
    assert score_clips(session, []).outputs["er-3"].shape == (0, 3)


def untimed(predictions: Iterable[Prediction]) -> list[Prediction]:
    return [replace(each, result=replace(each.result, stages_ms={})) for each in predictions]


def test_results_are_the_same_to_the_last_digit_whoever_works(session: Session, emer: Path, recording: Path) -> None:
    paths, said, steps = [emer, recording, recording], [], []
    expected = untimed(predict_paths(session, paths))

    def step(label: str, done: int, total: int) -> None:
        steps.append((label, done, total))

    assert untimed(predict_paths(session, paths, workers=2, say=said.append, progress=step)) == expected
    assert said == []
    assert [each for each in steps if each[0].startswith("scoring")] == [
        ("scoring clips", 2, 2), ("scoring recordings", 1, 2), ("scoring recordings", 2, 2)
    ]  # fmt: skip


def test_a_worker_that_dies_loses_nothing(session: Session, emer: Path) -> None:
    paths, said = [emer] * 3, []
    expected = list(predict_paths(session, paths))
    results = predict_paths(session, paths, workers=2, say=said.append)
    rows = [next(results)]
    active_children()[0].kill()
    assert [*rows, *results] == expected
    assert len(said) == 1
    assert re.search("ended by SIGKILL; .*this process does what is left", said[0])
    assert active_children() == []


def test_bad_paths(session: Session, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        list(predict_paths(session, []))
    with pytest.raises(DataError, match="nowhere"):
        list(predict_paths(session, [tmp_path / "nowhere"]))


def test_nothing_half_written(session: Session, recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.csv"

    def failing() -> Iterator[Prediction]:
        yield next(predict_paths(session, [recording]))
        raise DataError("the disk is on fire")

    with pytest.raises(DataError, match="on fire"):
        write_csv(output, failing(), session.bundle.manifest)
    assert not output.exists()
    assert list(tmp_path.glob(".results*")) == []
    output.write_text("mine")
    with pytest.raises(OutputExistsError, match="--force"):
        write_csv(output, iter(()), session.bundle.manifest)
    assert output.read_text() == "mine"
    assert write_csv(output, iter(()), session.bundle.manifest, force=True) == 0
    assert output.read_text().startswith("participant,source,name,begin_s,end_s,state")
