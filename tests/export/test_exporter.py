"""Whole exports, and what they measure for the device to match."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
import torch
from machine import without_tensorrt

from emer_edge.bundle import load_bundle
from emer_edge.core.errors import CheckpointError, ConfigurationError, OutputExistsError
from emer_edge.core.progress import silent
from emer_edge.data.dataset import EmerDataset, clip_hash
from emer_edge.data.synth.plan import plan_clips
from emer_edge.data.synth.synthesise import clip_eyes, clip_faces
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.exporter import export_bundle
from emer_edge.export.matching import ARCFACE_TEMPLATE, eye_quantiles, find_display, measure_faces
from emer_edge.export.parts.face_parts import load_detector
from emer_edge.export.verification import find_tensorrt, seeded_windows
from emer_edge.model.checkpoint import metadata_of, save_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.runtime.faces import FaceDetector, open_detector
from emer_edge.runtime.session import Session
from emer_edge.tools.doctor import examine, worst


def test_int8_bundle_is_whole(int8: Any, dataset: EmerDataset) -> None:
    bundle = load_bundle(int8.path)
    manifest = bundle.manifest
    assert {path for path in manifest.files if path.endswith(".onnx")} == {
        f"{variant}/{part}.onnx"
        for variant in ("cpu", "tensorrt")
        for part in ("face_encoder", "fusion", "face_detector", "face_detector_near")
    }
    assert manifest.precision.parts["cpu/face_encoder"] == "int8"
    assert manifest.precision.parts["tensorrt/fusion"] == "fp16"
    assert manifest.precision.parts["cpu/fusion"] == "int8"
    assert manifest.verification.largest_error["cpu/fusion"] < 0.02
    assert manifest.calibration is not None
    assert manifest.calibration.windows == len(manifest.calibration.clip_hashes) == 8
    assert manifest.gate.verdict in ("passed", "inconclusive")
    assert set(manifest.gate.fp32) == set(manifest.gate.final)
    assert "er-7/war" in manifest.gate.fp32
    assert not manifest.research_only
    assert len(manifest.eye_quantiles) == 39
    assert manifest.display is not None
    assert any("8 windows only" in note for note in int8.report.notes)
    assert manifest.guard is None
    assert any("no face guard: it takes 3 selection participants" in note for note in int8.report.notes)
    assert manifest.without_eyes is not None
    lost = [abs(manifest.without_eyes.after[key] - before) for key, before in manifest.without_eyes.before.items()]
    assert 100 * max(lost) >= manifest.without_eyes.lost_points >= 0
    assert "without eyes" in int8.report.facts
    assert manifest.gap is not None
    assert set(manifest.gap.absent) == {"larger_than", "p_differ"}
    assert manifest.data is not None
    held_out = {clip_hash(manifest.data.salt, clip) for clip in dataset.fold(1)}
    assert not held_out & {*manifest.data.training_hashes, *manifest.data.selection_hashes}
    assert set(manifest.calibration.clip_hashes) <= set(manifest.data.training_hashes)


def test_a_bundle_replays_its_golden_inputs(int8: Any) -> None:
    replays = [finding for finding in examine(int8.path, "onnxruntime") if finding.subject.startswith("replay of")]
    assert {finding.subject.removeprefix("replay of cpu/") for finding in replays} == {
        "face_encoder",
        "fusion",
        "face_detector",
        "face_detector_near",
    }
    assert worst(replays) == "ok", replays


def test_report_says_what_tensorrt_made_of_it(int8: Any) -> None:
    figures = json.loads((int8.path / "report.json").read_text())
    if find_tensorrt() is None:
        assert figures["tensorrt"] == "not checked (no TensorRT here)"
    else:
        assert [check["ok"] for check in figures["tensorrt"]] == [True] * 4
        encoder = next(check for check in figures["tensorrt"] if check["part"] == "face_encoder")
        assert encoder["convolutions"] == {"int8 to fp16": 20}
        assert 0 < encoder["requantising"] < encoder["layers"]
        assert "20 int8 to fp16" in (int8.path / "report.html").read_text()
    assert int8.manifest.precision.parts["tensorrt/face_detector"] == "fp16"
    assert int8.manifest.precision.parts["cpu/face_detector"] == "fp32"
    assert set(figures["trials"]) == {"cpu", "tensorrt"}
    assert figures["final_ms"]["step"] > 0
    page = (int8.path / "report.html").read_text()
    assert "Accuracy gate" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_session_opens_what_export_wrote(int8: Any, nine: Emert) -> None:
    face, eye, gaze = seeded_windows(2)
    with Session(int8.path, engine="onnxruntime") as session:
        outputs = session.predict(face, eye, gaze)
    assert tuple(outputs) == nine.head_names
    np.testing.assert_allclose(outputs["er-7"].sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("name", ["x", "x.emer", "x.v2", "x.onnx", ".hidden"])
def test_a_bundle_ends_in_emer(name: str) -> None:
    output = ExportOptions(Path("made") / name).output
    assert output == Path("made") / (name if name.endswith(".emer") else f"{name}.emer")


def test_fp16_needs_no_data(nine_checkpoint: Path, tmp_path: Path) -> None:
    with without_tensorrt():
        made = export_bundle(ExportOptions(tmp_path / "half.emer", "fp16", [str(nine_checkpoint)]))
    manifest = made.manifest
    assert manifest.precision.parts["cpu/face_encoder"] == "fp32"
    assert manifest.precision.parts["tensorrt/face_encoder"] == "fp16"
    assert manifest.gate.verdict == "not run"
    assert manifest.face.template_faces == 0
    assert (made.path / "tensorrt/face_encoder.onnx").stat().st_size < 24e6
    with pytest.raises(OutputExistsError):
        export_bundle(ExportOptions(tmp_path / "half.emer", "fp16", [str(nine_checkpoint)]))


def test_refusals_leave_nothing_behind(nine_checkpoint: Path, nine: Emert, tmp_path: Path) -> None:
    output = tmp_path / "refused.emer"
    with pytest.raises(ConfigurationError, match="int8 needs EMER clips"):
        export_bundle(ExportOptions(output, "int8", [str(nine_checkpoint)]))
    with pytest.raises(CheckpointError):
        export_bundle(ExportOptions(output, "fp32", [str(tmp_path / "absent.pt")]))
    poisoned = Emert("nine")
    with torch.no_grad():
        poisoned.proj_v1.bias[3] = float("nan")
    save_checkpoint(tmp_path / "nan.pt", poisoned, metadata_of(poisoned))
    with pytest.raises(CheckpointError, match=r"proj_v1\.bias"):
        export_bundle(ExportOptions(output, "fp32", [str(tmp_path / "nan.pt")]))
    with pytest.raises(ConfigurationError, match="no face detector"):
        export_bundle(ExportOptions(output, "fp32", [str(nine_checkpoint)], face_detector=tmp_path / "absent.onnx"))
    assert {path.name for path in tmp_path.iterdir()} == {"nan.pt"}


def test_published_checkpoint(tmp_path: Path) -> None:
    weights = {name: torch.from_numpy(array) for name, array in stand_in.published_state_dict("intensity").items()}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}}, tmp_path / "c.pth")
    order = "neutral,anger,disgust,surprise,fear,sadness,happiness"
    options = ExportOptions(tmp_path / "c.emer", "auto", [f"fer-intensity={tmp_path / 'c.pth'}"], label_classes=order)
    with without_tensorrt():
        made = export_bundle(options)
    manifest = made.manifest
    assert manifest.head_names == ("fer-7", "fer-intensity")
    assert manifest.heads[0].classes == tuple(order.split(","))
    assert (manifest.events, manifest.research_only) == ("published", True)
    assert manifest.protocols == ("FER-7", "FER-intensity")
    assert max(error for name, error in manifest.verification.largest_error.items() if name.startswith("cpu")) < 1e-4
    assert any(row.precision == "int8" and "it needs EMER clips" in row.why for row in made.report.candidates)


PROGRAM = """
import resource, sys
from pathlib import Path
from emer_edge.core.errors import BundleError
from emer_edge.export.exporter import export_bundle
from emer_edge.export.export_options import ExportOptions
output, checkpoint, most = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    export_bundle(ExportOptions(output, "fp32", [checkpoint]))
except BundleError as error:
    print(error)
    sys.exit(2)
"""


@pytest.fixture(scope="module")
def checkpoint(nine: Emert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "nine.pt"
    save_checkpoint(path, nine, metadata_of(nine))
    return path


def refused(output: Path, checkpoint: Path, most: int = 0) -> str:
    """Export into a folder, expecting the one error; returns what it says."""
    command = [sys.executable, "-c", PROGRAM, str(output), str(checkpoint), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    return done.stdout


def test_a_file_that_may_not_grow_is_one_error(checkpoint: Path, tmp_path: Path) -> None:
    message = refused(tmp_path / "x.emer", checkpoint, 20_000_000)
    assert "x.emer" in message
    assert "File too large" in message
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MB: the detector fits, the encoder does not."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root: mounting a small file system")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_error(checkpoint: Path, small_disk: Path) -> None:
    message = refused(small_disk / "x.emer", checkpoint)
    assert "No space left on device" in message
    assert "leaves nothing behind" in message
    assert list(small_disk.iterdir()) == []


def detector(folder: Path) -> FaceDetector:
    part = load_detector()
    for name, model in part.parts.items():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return open_detector(part.record, [folder / f"{name}.onnx" for name in part.parts])


def test_landmarks_are_found_in_the_data_sets_own_crops(tmp_path: Path) -> None:
    plans = plan_clips(5, 1, 0)
    crops = [crop for plan in plans for crop in clip_faces(plan, 0, 8)]
    face = measure_faces(crops, detector(tmp_path), silent)
    assert face.template_faces >= 30
    left_eye, right_eye, nose, left_mouth, right_mouth = np.array(face.template_px)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert face.brightness_mean is not None
    assert 20 < face.brightness_mean < 235


def test_crops_without_faces_fall_back_to_the_generic_template(tmp_path: Path) -> None:
    crops = [np.full((112, 112, 3), 40, np.uint8)] * 3
    face = measure_faces(crops, detector(tmp_path), silent)
    assert (face.template_px, face.template_faces, face.brightness_mean) == (ARCFACE_TEMPLATE, 0, 40.0)


def test_brightness_is_matched_where_there_is_something_to_match(tmp_path: Path) -> None:
    crops = [np.full((112, 112, 3), level, np.uint8) for level in (90, 100, 110)]
    face = measure_faces(crops, detector(tmp_path), silent, match_brightness=True)
    assert (face.match_brightness, face.brightness_mean, face.brightness_std) == (True, 100.0, 8.165)
    assert not measure_faces(crops, detector(tmp_path), silent).match_brightness
    with pytest.raises(ConfigurationError, match="all have the same"):
        measure_faces(crops[:1], detector(tmp_path), silent, match_brightness=True)


def test_display_is_read_off_the_gaze() -> None:
    cells = np.nan_to_num(clip_eyes(plan_clips(5, 1, 0)[0], 0)).astype(np.float32)
    display = find_display(cells)
    assert display is not None
    assert (display.width_px, display.height_px) == (1920, 1080)
    assert abs(display.width_mm - 527) < 1
    scrambled = cells.copy()
    scrambled[:, 2] = np.random.default_rng(0).permutation(scrambled[:, 2])
    assert find_display(scrambled) is None
    assert find_display(cells[:50]) is None


def test_quantiles_of_every_column() -> None:
    rows = np.tile(np.linspace(0, 100, 101, dtype=np.float32)[:, None], (1, 39))
    rows[:, :14] = np.tile(np.linspace(1, 101, 101, dtype=np.float32)[:, None], (1, 14))
    rows = np.concatenate([rows, np.zeros((50, 39), np.float32)])  # an eye not found: blank cells
    quantiles = eye_quantiles(rows)
    assert len(quantiles) == 39
    assert quantiles["Gaze point X [DACS px]"] == (2.0, 6.0, 26.0, 51.0, 76.0, 96.0, 100.0)
    assert quantiles["Validity left"][1] == 0.0
    assert eye_quantiles(rows[:0]) == {}
