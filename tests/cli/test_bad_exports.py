"""Exports that can't succeed: one message that names the fault, the right exit code, nothing left behind, and soon."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import xlsxwriter
from machine import without_tensorrt
from onnx import TensorProto, helper
from python_calamine import CalamineWorkbook
from shared_work import clips_of

from emer_edge.model.checkpoint import metadata_of, save_checkpoint
from emer_edge.model.emert import Emert

Run = Callable[..., Any]
Rows = list[list[Any]]

# What only a job that went on for long would say.
LATE = ("running fp32", "calibrating", "timing side by side", "cutting selection windows")


@pytest.fixture(scope="module", autouse=True)
def _no_tensorrt() -> Iterator[None]:
    with without_tensorrt():
        yield


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips_of(tmp_path_factory, 10, 2, 8, seed=3)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips_of(tmp_path_factory, 5, 1, 8, seed=3)


@pytest.fixture
def own(clips: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clips, tmp_path / "own"))


@pytest.fixture
def own_few(few: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(few, tmp_path / "own"))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the bundle; whatever an export leaves there or among temporary files fails the test."""
    output, temporary = tmp_path / "output", tmp_path / "temporary"
    output.mkdir()
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield output
    assert list(output.iterdir()) == []
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def network() -> Emert:
    torch.manual_seed(0)
    return Emert("nine").eval()


@pytest.fixture(scope="module")
def sound(network: Emert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "sound.pt"
    save_checkpoint(path, network, metadata_of(network))
    return path


def edit_sheet(path: Path, change: Callable[[Rows], Rows]) -> None:
    rows = change(CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python())
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate(rows):
            sheet.write_row(at, 0, row)


def broken(network: Emert, folder: Path, tensor: str, value: float) -> Path:
    """A checkpoint with a number of one tensor replaced; all of its numbers where the value is 0."""
    tensors = {name: each.clone() for name, each in network.state_dict().items()}
    given = tensors[tensor].view(-1)
    given[: len(given) if value == 0 else 1] = value
    other = Emert("nine")
    other.load_state_dict(tensors)
    save_checkpoint(folder / "broken.pt", other, metadata_of(other))
    return folder / "broken.pt"


def refused(outcome: Any, *named: str, code: int = 2) -> str:
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert "Warning" not in outcome.err
    message = " ".join(outcome.err.split())
    assert message.count("emer-edge: ") == 1
    for each in named:
        assert each in message, message
    return message


@pytest.mark.case(
    "an output that exists, and a data set of hours", source="made up", before="all frames were read first"
)
def test_outputs_and_checkpoints_are_looked_at_before_data(tmp_path: Path, emer_edge: Run, checkpoint: Path) -> None:
    there, data = tmp_path / "there.emer", ("--data", tmp_path / "no data")
    there.mkdir()
    taken = emer_edge("export", "--output", there, *data)
    assert (taken.code, "there.emer exists already" in taken.err) == (2, True), taken.err
    gone = emer_edge("export", "--output", tmp_path / "new.emer", "--checkpoint", tmp_path / "gone.pt", *data)
    assert (gone.code, "gone.pt" in gone.err) == (2, True), gone.err
    trained = emer_edge("train", "--output", checkpoint, *data)
    assert (trained.code, f"{checkpoint.name} exists already" in trained.err) == (2, True), trained.err
    assert not any("no data" in outcome.err for outcome in (taken, gone, trained))


def soon(message: str) -> None:
    assert not any(each in message for each in LATE)


def test_too_few_windows(emer_edge: Run, work: Path, few: Path, sound: Path) -> None:
    outcome = emer_edge("export", "--output", work / "x.emer", "--checkpoint", sound, "--data", few)
    soon(refused(outcome, "windows are too few to calibrate int8 on", "--precision fp16"))


def test_one_class_only(emer_edge: Run, work: Path, own: Path, sound: Path) -> None:
    def change(rows: Rows) -> Rows:
        emotions = {at for at, name in enumerate(rows[0]) if "emotion" in str(name).lower()}
        assert emotions
        return [rows[0], *([("anger" if at in emotions else cell) for at, cell in enumerate(row)] for row in rows[1:])]

    edit_sheet(own / "EMER_label.xlsx", change)
    outcome = emer_edge("export", "--output", work / "x.emer", "--checkpoint", sound, "--data", own)
    soon(refused(outcome, "all", "calibration windows show anger", "all seven"))


def test_eye_columns_that_are_no_numbers(emer_edge: Run, work: Path, own_few: Path, sound: Path) -> None:
    for sheet in (own_few / "eye").iterdir():
        edit_sheet(sheet, lambda rows: [rows[0], *([row[0], *row[1:4], "abc", *row[5:]] for row in rows[1:])])
    outcome = emer_edge("export", "--output", work / "x.emer", "--checkpoint", sound, "--data", own_few)
    soon(refused(outcome, "no usable clip", "row 2", "'abc'"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(
    emer_edge: Run, work: Path, clips: Path, network: Emert, tmp_path: Path, value: float
) -> None:
    path = broken(network, tmp_path, "proj_v1.weight", value)
    outcome = emer_edge("export", "--output", work / "x.emer", "--checkpoint", path, "--data", clips)
    soon(refused(outcome, "broken.pt", "proj_v1.weight"))


def test_a_negative_variance(emer_edge: Run, work: Path, network: Emert, tmp_path: Path) -> None:
    name = next(each for each in network.state_dict() if each.endswith("running_var"))
    path = broken(network, tmp_path, name, -1.0)
    outcome = emer_edge("export", "--output", work / "x.emer", "--checkpoint", path, "--precision", "fp32")
    soon(refused(outcome, "broken.pt holds negative variances", name))


def test_a_head_that_sees_nothing(emer_edge: Run, work: Path, clips: Path, network: Emert, tmp_path: Path) -> None:
    weight = [each for each in network.state_dict() if each.endswith("weight") and "er-7" in each.replace("_", "-")]
    path = broken(network, tmp_path, weight[-1], 0)
    outcome = emer_edge(
        "export", "--output", work / "x.emer", "--checkpoint", path, "--data", clips, "--precision", "fp16"
    )
    message = refused(outcome, "gives the same output on all", "selection windows in fp32", "train the checkpoint")
    assert "timing side by side" not in message


def test_a_precision_that_breaks_the_network_is_a_failed_gate(
    emer_edge: Run, work: Path, clips: Path, network: Emert, tmp_path: Path
) -> None:
    """FP16 ends at 65,504."""
    name = "transformer.CrossTransformerEncoder.layers.1.1.fn.net.0.weight"
    path = broken(network, tmp_path, name, 65_000.0)
    outcome = emer_edge(
        "export", "--output", work / "x.emer", "--checkpoint", path, "--data", clips, "--precision", "fp16"
    )
    refused(outcome, "fp16 loses more than the gate allows", "--precision fp32", code=1)


def detector(path: Path) -> Path:
    """A network of one operator that gives what no detector gives."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 256, 320]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda path: path.write_bytes(b"no onnx"), "is not an ONNX file"),
        (detector, "neither CenterFace nor YuNet"),
        (lambda path: None, "no face detector"),
    ],
    ids=["not onnx", "another network", "missing"],
)
def test_a_face_detector_that_is_none(
    emer_edge: Run, work: Path, sound: Path, tmp_path: Path, make: Callable[[Path], object], named: str
) -> None:
    make(tmp_path / "detector.onnx")
    outcome = emer_edge(
        "export",
        *("--output", work / "x.emer", "--checkpoint", sound, "--precision", "fp32"),
        *("--face-detector", tmp_path / "detector.onnx"),
    )
    refused(outcome, "detector.onnx", named)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--exclude", "("), "no regular expression"),
        (("--exclude", "layer9"), "matches no layer"),
        (("--exclude", "conv1", "--precision", "fp16"), "--exclude is for int8 and auto"),
    ],
)
def test_layers_to_exclude_that_there_are_not(
    emer_edge: Run, work: Path, clips: Path, sound: Path, more: tuple[str, ...], named: str
) -> None:
    outcome = emer_edge("export", "--output", work / "x.emer", "--checkpoint", sound, "--data", clips, *more)
    message = refused(outcome, named)
    assert "running fp32" not in message


def test_a_folder_that_can_not_be_written_to(emer_edge: Run, work: Path, sound: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "x.emer"
    outcome = emer_edge("export", "--output", output, "--checkpoint", sound, "--precision", "fp32")
    soon(refused(outcome, os.fspath(output), "can't write"))


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--calibration-windows", "7", "8"),
        ("--calibration-method", "guess", "'auto'"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    emer_edge: Run, tmp_path: Path, option: str, value: str, told: str
) -> None:
    outcome = emer_edge("export", "--output", tmp_path / "x.emer", option, value)
    assert outcome.code == 2
    assert told in " ".join(outcome.err.split())
    assert not list(tmp_path.iterdir())


def test_help_names_every_method(emer_edge: Run) -> None:
    text = emer_edge("export", "--help").out
    assert all(each in text for each in ("minmax", "entropy", "percentile", "mse", "auto", "--no-cache"))


def test_purge_says_what_it_removes(emer_edge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "emer-edge" / "data" / "calibration" / "a.histograms.npz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"counts")
    outcome = emer_edge("purge")
    assert outcome.code == 0
    assert "removed 1 file " in outcome.err
    assert not kept.exists()
