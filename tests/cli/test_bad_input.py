"""Each mistake a user can make: one clear message, exit code 2, nothing half-written; and pipes that nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import xlsxwriter

from emer_edge.core.columns import COLUMN_KEYS

Run = Callable[..., Any]


def refused(outcome: Any, *named: str) -> None:
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    message = " ".join(outcome.err.split())
    for each in named:
        assert each in message, message


def write_sheet(path: Path, header: list[str], rows: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, header)
        for row in range(1, rows + 1):
            sheet.write_row(row, 0, [1.0] * len(header))


def write_labels(path: Path, header: list[str], names: list[str]) -> None:
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, header)
        for row, name in enumerate(names, start=1):
            sheet.write_row(row, 0, [name, "happiness"][: len(header)])


def write_data(root: Path, columns: list[str], labels: list[str]) -> Path:
    names = [f"{person}_film01_happy" for person in range(1, 6)]
    for fold, name in enumerate(names, start=1):
        folder = root / "face" / f"set{fold}" / name
        folder.mkdir(parents=True)
        for frame in range(1, 9):
            cv2.imwrite(str(folder / f"{frame}.png"), np.full((20, 20, 3), 90, np.uint8))
        write_sheet(root / "eye" / f"{name}.xlsx", columns)
    write_labels(root / "EMER_label.xlsx", labels, names)
    return root


def test_a_checkpoint_that_is_missing(emer_edge: Run, tmp_path: Path) -> None:
    refused(emer_edge("export", "--checkpoint", tmp_path / "no.pt", "--output", tmp_path / "x.emer"), "no.pt")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"], ids=["empty", "text", "torn"])
def test_a_checkpoint_that_is_corrupt(emer_edge: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    refused(emer_edge("export", "--checkpoint", tmp_path / "bad.pt", "--output", tmp_path / "x.emer"), "bad.pt")
    assert os.listdir(tmp_path) == ["bad.pt"]


def test_a_checkpoint_of_another_network(emer_edge: Run, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    path = tmp_path / "other.pth"
    outcome = emer_edge(
        "export", "--checkpoint", f"er-7={path}", "--precision", "fp32", "--output", tmp_path / "x.emer"
    )
    refused(outcome, "other.pth", "conv.weight")
    assert os.listdir(tmp_path) == ["other.pth"]


def test_int8_without_data_to_calibrate_on(emer_edge: Run, tmp_path: Path, checkpoint: Path) -> None:
    outcome = emer_edge("export", "--precision", "int8", "--checkpoint", checkpoint, "--output", tmp_path / "x.emer")
    refused(outcome, "int8", "--data")
    assert os.listdir(tmp_path) == []


def test_a_data_folder_without_folds(emer_edge: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "holiday").mkdir(parents=True)
    refused(
        emer_edge("train", "--data", tmp_path / "data", "--output", tmp_path / "x.pt"), "looked for face", "holiday"
    )
    assert os.listdir(tmp_path) == ["data"]


def test_a_label_file_with_unknown_columns(emer_edge: Run, tmp_path: Path) -> None:
    root = write_data(tmp_path / "data", list(COLUMN_KEYS), ["ID", "Stimmung"])
    refused(emer_edge("train", "--data", root, "--output", tmp_path / "x.pt"), "EMER_label.xlsx", "Stimmung")


def test_an_eye_sheet_with_other_columns(emer_edge: Run, tmp_path: Path) -> None:
    columns = [each for each in COLUMN_KEYS if "Pupil" not in each]
    root = write_data(tmp_path / "data", columns, ["ID", "ER_Emotion"])
    refused(emer_edge("train", "--data", root, "--output", tmp_path / "x.pt", "--strict"), "Pupil diameter left [mm]")


def test_a_tracker_file_with_other_columns(emer_edge: Run, tmp_path: Path, bundle: Path) -> None:
    columns = [each for each in COLUMN_KEYS if "Pupil" not in each]
    write_sheet(tmp_path / "tracker.xlsx", ["Recording timestamp [ms]", *columns])
    video = tmp_path / "face.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(30):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    refused(
        emer_edge("run", bundle, "--camera", video, "--tracker", tmp_path / "tracker.xlsx", "--pace", "fast"),
        "Pupil diameter left [mm]",
    )


def damage(bundle: Path, how: str) -> None:
    manifest = bundle / "manifest.json"
    document = json.loads(manifest.read_text())
    fusion = bundle / "cpu/fusion.onnx"
    if how == "changed":
        content = bytearray(fusion.read_bytes())
        content[len(content) // 2] ^= 1
        fusion.write_bytes(content)
    elif how == "missing":
        fusion.unlink()
    elif how == "newer":
        document["schema"] = 99
    elif how == "escape":
        document["files"]["../../outside.onnx"] = document["files"]["cpu/fusion.onnx"]
    manifest.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("how", "named"),
    [("changed", "wrong hash"), ("missing", "lacks cpu/fusion.onnx"), ("newer", "upgrade"), ("escape", "leaves")],
)
@pytest.mark.parametrize("command", ["run", "bench", "predict"])
def test_a_bundle_that_is_not_what_was_exported(
    emer_edge: Run, tmp_path: Path, bundle: Path, how: str, named: str, command: str
) -> None:
    damage(bundle, how)
    arguments = {
        "run": ("run", bundle),
        "bench": ("bench", bundle, "--output", tmp_path / "out"),
        "predict": ("predict", bundle, tmp_path, "--output", tmp_path / "out.csv"),
    }
    refused(emer_edge(*arguments[command]), named)
    assert os.listdir(tmp_path) == ["copy.emer"]


def test_no_bundle_there(emer_edge: Run, tmp_path: Path) -> None:
    refused(emer_edge("run", tmp_path / "no.emer"), "no.emer", "emer-edge export")


@pytest.mark.parametrize("camera", ["97", "/dev/video97", "no.mp4"])
def test_a_camera_that_does_not_exist(emer_edge: Run, tmp_path: Path, bundle: Path, camera: str) -> None:
    write_sheet(tmp_path / "tracker.xlsx", ["Recording timestamp [ms]", *COLUMN_KEYS])
    refused(emer_edge("run", bundle, "--camera", camera, "--tracker", tmp_path / "tracker.xlsx"), camera)


def test_a_serial_port_that_is_missing(emer_edge: Run, bundle: Path) -> None:
    refused(emer_edge("run", bundle, "--tracker", "/dev/ttyUSB97"), "/dev/ttyUSB97")


def test_a_serial_port_that_is_busy(emer_edge: Run, bundle: Path) -> None:
    import fcntl

    ours, theirs = os.openpty()
    try:
        fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        refused(emer_edge("run", bundle, "--tracker", os.ttyname(theirs)), os.ttyname(theirs), "in use")
    finally:
        os.close(ours)
        os.close(theirs)


def test_an_output_that_exists(emer_edge: Run, tmp_path: Path, bundle: Path, checkpoint: Path) -> None:
    outcome = emer_edge("export", "--precision", "fp32", "--checkpoint", checkpoint, "--output", bundle)
    refused(outcome, "--force")
    (tmp_path / "out.csv").touch()
    refused(emer_edge("predict", bundle, tmp_path, "--output", tmp_path / "out.csv"), "--force")
    (tmp_path / "clips").mkdir()
    refused(emer_edge("synth", tmp_path / "clips", "--participants", 5), "--force")
    (tmp_path / "x.pt").touch()
    data = write_data(tmp_path / "data", list(COLUMN_KEYS), ["ID", "ER_Emotion"])
    refused(emer_edge("train", "--data", data, "--output", tmp_path / "x.pt"), "--force")
    (tmp_path / "demo").mkdir()
    refused(emer_edge("demo", "--output", tmp_path / "demo"), "--force")
    refused(emer_edge("demo", "--output", tmp_path / "demo", "--force"), "not made by the demo")


def test_texts_that_can_not_be_read(emer_edge: Run, bundle: Path) -> None:
    refused(emer_edge("run", bundle, "--display", "large"), "1920x1080,527x296mm")
    refused(emer_edge("run", bundle, "--pace", "slow"), "slow")
    refused(emer_edge("bench", bundle, "--fold", "9"), "1 to 5")
    refused(emer_edge("run", bundle, "--no-such-option"), "--no-such-option")


def test_a_tracker_profile_that_nobody_knows(emer_edge: Run, tmp_path: Path) -> None:
    outcome = emer_edge("bench", tmp_path / "x.emer", "--tracker-profile", "gazepoint,eyelink")
    refused(outcome, "no tracker profile eyelink", "serial-xy")


SPEAKER = """
import sys, threading
from emer_edge.cli.console import say
sys.stdin.readline()
failed = []
def speak():
    try:
        for number in range(3):
            say(f"sentence {number}")
    except BaseException as error:
        failed.append(repr(error))
thread = threading.Thread(target=speak)
thread.start()
thread.join()
speak()
print("data", failed, flush=True)
"""


def test_when_nobody_reads_stderr_any_more_data_goes_on_and_so_does_who_speaks() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SPEAKER], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        assert process.stdout.read() == b"data []\n"
        assert process.wait() == 0
