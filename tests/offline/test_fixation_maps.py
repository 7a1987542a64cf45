from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from emer_edge.bundle import Bundle
from emer_edge.core.errors import DataError
from emer_edge.data.layout import find_layout
from emer_edge.data.synth import synthesise
from emer_edge.data.synth.recording import write_recording
from emer_edge.offline.fixation_maps import INDEX_FILE, write_fixation_maps


def test_a_map_for_every_clip_and_recording(bundle: Bundle, tmp_path: Path) -> None:
    clips = synthesise(tmp_path / "clips", participants=5, clips_per_participant=1, frames=40, workers=1)
    visit = write_recording(tmp_path / "visit", seconds=2.0)
    names = {item.name for item in find_layout(clips).clips} | {"visit"}
    count, skipped = write_fixation_maps([clips, visit], tmp_path / "maps", bundle.manifest)
    assert (count, skipped) == (6, ())
    assert {path.stem for path in (tmp_path / "maps").glob("*.png")} == names
    image = cv2.imread(str(tmp_path / "maps" / "visit.png"))
    assert image.shape == (270, 480, 3)
    assert image.max() > 200
    page = (tmp_path / "maps" / INDEX_FILE).read_text()
    assert page.count("<svg") == 6
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_clips_without_a_sheet_are_named(bundle: Bundle, tmp_path: Path) -> None:
    clips = synthesise(tmp_path / "clips", participants=5, clips_per_participant=1, frames=40, workers=1)
    sheets = sorted((clips / "eye").iterdir())
    sheets[0].unlink()
    sheets[1].write_bytes(b"no sheet")
    count, skipped = write_fixation_maps([clips], tmp_path / "maps", bundle.manifest)
    assert (count, {skip.name for skip in skipped}) == (3, {sheets[0].stem, sheets[1].stem})
    with pytest.raises(DataError, match="holds no faces"):
        write_fixation_maps([tmp_path / "maps"], tmp_path / "more", bundle.manifest)
