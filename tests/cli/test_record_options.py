from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyxdf

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds without anybody."""
    folder = tmp_path_factory.mktemp("visit")
    writer = cv2.VideoWriter(str(folder / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(90):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    samples = "\n".join(f"{number * 10_000},0.5,0.5,1" for number in range(300))
    (folder / "eyes.csv").write_text(f"time_us,left_x,left_y,left_valid\n{samples}\n")
    return folder


def test_record_play_convert_and_purge(emer_edge: Run, bundle: Path, visit: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    sources = (
        "--camera",
        visit / "video.avi",
        "--tracker",
        visit / "eyes.csv",
        "--pace",
        "fast",
        "--offset-ms",
        0,
        "--json",
    )
    filmed = ("--record-video", "--consent-id", "form 17", "--participant", "p017", "--retention-days", 30)
    done = emer_edge("run", bundle, *sources, "--record", folder, *filmed)
    assert done.code == 0, done.err
    (recording,) = folder.iterdir()
    assert f"recorded {recording}: " in done.err
    again = emer_edge("run", bundle, "--camera", recording, "--tracker", recording, "--pace", "fast", "--json")
    assert again.code == 0, again.err
    assert len(again.out.splitlines()) == len(done.out.splitlines()) == 6
    for name in ("out.csv", "out.xdf"):
        converted = emer_edge("convert", recording, tmp_path / name)
        assert converted.code == 0, converted.err
        assert "6 results" in converted.err
    with (tmp_path / "out.csv").open(newline="") as file:
        assert {each["state"] for each in csv.DictReader(file)} == {"filling"}
    assert len(pyxdf.load_xdf(str(tmp_path / "out.xdf"))[0]) == 4
    assert emer_edge("purge", "--participant", "p017").code == 2
    purged = emer_edge("purge", "--participant", "p017", "--recordings", folder)
    assert purged.code == 0, purged.err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--record", "x.mcap", "--record-video"), "--consent-id"),
        (("--record-video",), "add --record FILE.mcap"),
        (("--record", "/nowhere/x.mcap"), "make it first"),
        (("--mqtt", "http://host"), "write mqtt://host:1883/topic"),
        (("--metrics", "here"), "write --metrics :9108"),
        (("--lsl-out", ""), "an LSL stream's name"),
    ],
)
@pytest.mark.parametrize("check", [(), ("--check",)], ids=["run", "check"])
def test_outputs_that_can_not_be_had_are_one_message(
    emer_edge: Run,
    bundle: Path,
    visit: Path,
    tmp_path: Path,
    flags: tuple[str, ...],
    named: str,
    check: tuple[str, ...],
) -> None:
    sources = (
        "--camera",
        visit / "video.avi",
        "--tracker",
        visit / "eyes.csv",
        "--pace",
        "fast",
        "--offset-ms",
        0,
        "--json",
    )
    done = emer_edge("run", bundle, *sources, *flags, *check)
    assert done.code == 2
    assert named in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
