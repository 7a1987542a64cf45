from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.progress import silent
from emer_edge.data.synth.plan import plan_clips
from emer_edge.data.synth.synthesise import clip_eyes, clip_faces
from emer_edge.export.matching import ARCFACE_TEMPLATE, eye_quantiles, find_display, measure_faces
from emer_edge.export.parts.face_parts import load_detector
from emer_edge.runtime.faces import FaceDetector, open_detector


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
    found = eye_quantiles(rows)
    assert len(found) == 39
    assert found["Gaze point X [DACS px]"] == (2.0, 6.0, 26.0, 51.0, 76.0, 96.0, 100.0)
    assert found["Validity left"][1] == 0.0
    assert eye_quantiles(rows[:0]) == {}
