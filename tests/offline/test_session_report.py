"""Reports of runs that the product made, by the command line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import msgspec
import numpy as np
import pytest
from runtime_inputs import write_tracker
from study_runs import MARKERS, run
from typer.testing import CliRunner

from emer_edge.bundle import Bundle
from emer_edge.bundle.reading_records import WithoutEyesRecord
from emer_edge.cli.app import app
from emer_edge.core import packages
from emer_edge.core.errors import EmerEdgeError
from emer_edge.data.layout import find_layout
from emer_edge.data.sessions import RESULTS_FILE, SESSION_FILE
from emer_edge.data.synth import synthesise
from emer_edge.data.synth.recording import write_recording

S = 1_000_000_000


@pytest.fixture(scope="module")
def study(bundle: Bundle, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """p1 and p2 with a baseline and recordings, p2 without the second film; p3 without eyes, markers or recording."""
    root = tmp_path_factory.mktemp("study")
    for name, markers in (("p1", MARKERS), ("p2", MARKERS[:2])):
        gaze = write_tracker(root / f"{name}.csv", 6.0, (4.0, 4.5) if name == "p2" else (0.0, 0.0))
        run(bundle, root, name, (video, gaze), markers, baseline_s=2.5)
    lost = WithoutEyesRecord(clips=30, before={}, after={}, lost_points=0.4, worst="fer-7/uar")
    faces = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, without_eyes=lost))
    run(faces, root, "p3", (video, None), (), recorded=False)
    return root


def report(output: Path, *arguments: object) -> str:
    """What the command says, at the end of a run that ended well."""
    result = CliRunner().invoke(app, ["report", *map(str, arguments), "--output", str(output)])
    if isinstance(result.exception, EmerEdgeError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 3), result.output
    return " ".join(result.stderr.split())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_becomes_tables_and_a_page(study: Path, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    cv2.imwrite(str(tmp_path / "shown" / "film 1.png"), np.full((9, 16, 3), 200, np.uint8))
    output = tmp_path / "report"
    said = report(output, study, bundle.path, "--pictures", tmp_path / "shown")
    assert "p3/s1: it has no markers: its figures are those of the whole session" in said
    assert "p3/s1: it was recorded without eyes" in said
    assert "the stimulus 'film 2' is in 1 of 2 sessions only (p1/s1)" in said
    assert "no baseline in p3/s1" in said
    assert (output.stat().st_mode & 0o777) == 0o700

    results = [json.loads(line) for line in (study / "sessions/p1/s1" / RESULTS_FILE).read_text().splitlines()]
    head = json.loads((study / "sessions/p1/s1" / SESSION_FILE).read_text())
    inside = [one for one in results if one["begin_ns"] >= 0.5 * S and one["end_ns"] <= 3.5 * S]
    values = [one["heads"]["fer-valence"] for one in inside]
    own = {(row["participant"], row["stimulus"], row["measure"]): row for row in rows_of(output / "markers.csv")}
    row = own["p1", "film 1", "fer-valence"]
    assert (row["windows"], row["evidence"], row["time_s"], row["duration_s"]) == (
        str(len(values)),
        "inside",
        "0.5",
        "3.0",
    )
    assert float(row["mean"]) == pytest.approx(np.mean(values))
    assert float(row["change"]) == pytest.approx(np.mean(values) - head["baseline"]["heads"]["fer-valence"])
    assert ("p2", "film 2", "fer-valence") not in own
    assert own["p1", "film 1", "pupil left"]["unit"] == "mm"
    assert float(own["p1", "film 1", "pupil left"]["mean"]) == pytest.approx(3.4, abs=0.15)  # as `write_tracker` has it

    stimuli = {(row["stimulus"], row["measure"]): row for row in rows_of(output / "stimuli.csv")}
    both = [float(own[person, "film 1", "gap distance"]["mean"]) for person in ("p1", "p2")]
    film = stimuli["film 1", "gap distance"]
    assert (film["participants"], float(film["mean"])) == ("2", pytest.approx(np.mean(both)))
    assert float(film["mean_low"]) <= float(film["mean"]) <= float(film["mean_high"])
    assert stimuli["film 2", "gap distance"]["mean_low"] == ""
    windows = Counter(row["participant"] for row in rows_of(output / "windows.csv"))
    assert windows["p1"] == len(results)

    gaze = rows_of(output / "gaze/p1/s1.csv")
    assert Counter(row["stimulus"] for row in gaze)["film 1"] == 3 * 120
    assert 0 < float(gaze[0]["x_px"]) < 1920
    fixations = [row for row in rows_of(output / "fixations.csv") if row["participant"] == "p1"]
    assert len(fixations) == pytest.approx(6.0 * 3, abs=2)  # a new place every 40 rows of 120 Hz
    assert cv2.imread(str(output / "maps/film 1.png")).shape == (270, 480, 3)

    text = (output / "report.html").read_text()
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert text.count("<image") == 2 * 2 + 1  # two maps with their colour bars, one over its picture
    methods = text.partition("<blockquote>")[2].partition("</blockquote>")[0]
    rule, digest = bundle.manifest.events, bundle.manifest_sha256[:12]
    for fact in (f"rule: {rule}", digest, "2.4 s long, one every 0.3 s", "120 samples a second", "demo weights"):
        assert fact.lower() in methods.lower()


def test_figures_are_the_same_of_a_recording_alone(study: Path, tmp_path: Path) -> None:
    said = report(tmp_path / "report", study / "recordings" / "p1.mcap")
    assert "no baseline in p1/s1" in said
    report(tmp_path / "both", study / "sessions" / "p1", study / "recordings" / "p1.mcap", study / "sessions" / "p1")
    one, both = (rows_of(tmp_path / name / "markers.csv") for name in ("report", "both"))
    assert [row["mean"] for row in one] == [row["mean"] for row in both]
    assert (tmp_path / "report/gaze/p1/s1.csv").read_bytes() == (tmp_path / "both/gaze/p1/s1.csv").read_bytes()


def test_a_session_alone_says_what_its_recording_would_add(study: Path, tmp_path: Path) -> None:
    said = report(tmp_path / "report", study / "sessions" / "p1" / "s1")
    assert "p1/s1: its gaze was not recorded: for maps and areas, run with --record and name the recording, too" in said
    assert not (tmp_path / "report" / "fixations.csv").exists()
    pupils = [row for row in rows_of(tmp_path / "report" / "markers.csv") if row["measure"] == "pupil left"]
    assert all(row["mean"] for row in pupils)  # as the results have them with --apply-baseline


def test_areas_without_their_package_leave_the_tables(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    areas = tmp_path / "areas.csv"
    areas.write_text("stimulus,area,left_px,top_px,width_px,height_px\nfilm 1,left,0,0,960,1080\n")
    arguments = (study / "recordings" / "p1.mcap", "--areas", areas)
    with monkeypatch.context() as patch:
        patch.setattr(packages, "find_spec", lambda name: None if name == "shapely" else True)
        said = report(tmp_path / "without", *arguments)
    assert "measuring areas of interest needs shapely" in said
    assert "'.[study]'" in said
    names = {path.name for path in (tmp_path / "without").iterdir()}
    assert {"areas.csv", "fixations.csv", "gaze"} <= names
    assert "area-figures.csv" not in names
    pytest.importorskip("shapely", reason="shapely (extra study) is not installed")
    report(tmp_path / "with", *arguments)
    (row,) = rows_of(tmp_path / "with" / "area-figures.csv")
    inside = [one for one in rows_of(tmp_path / "with" / "fixations.csv")
              if one["stimulus"] == "film 1" and float(one["x_px"]) <= 960]  # fmt: skip
    assert (row["area"], float(row["fixations"])) == ("left", len(inside))
    assert "left" in (tmp_path / "with" / "report.html").read_text()


def changed(study: Path, tmp_path: Path, **fields: Any) -> Path:
    """A copy of p1's saved session with other facts."""
    copy = tmp_path / "copy" / "s1"
    shutil.copytree(study / "sessions/p1/s1", copy)
    head = json.loads((copy / SESSION_FILE).read_text())
    (copy / SESSION_FILE).write_text(json.dumps(head | fields))
    return copy


def test_what_can_not_be_compared_is_refused(study: Path, bundle: Bundle, tmp_path: Path) -> None:
    own, output = study / "sessions/p1/s1", tmp_path / "report"
    other = changed(study, tmp_path, participant="p9", bundle="other")
    with pytest.raises(
        EmerEdgeError, match=r"p1/s1 was made by random \(\w{12}\), p9/s1 by other \(\w{12}\): their figures"
    ):
        report(output, own, other)
    with pytest.raises(EmerEdgeError, match=r"p9/s1 was made by other \(\w{12}\), not by "):
        report(output, other, bundle.path)
    shutil.rmtree(other.parent)
    other = changed(study, tmp_path)
    with pytest.raises(EmerEdgeError, match="are both called p1/s1"):
        report(output, own, other)
    shutil.rmtree(other.parent)
    other = changed(study, tmp_path, participant="p9")
    lines = [json.loads(line) for line in (other / RESULTS_FILE).read_text().splitlines()]
    wider = [json.dumps(line | {"begin_ns": line["begin_ns"] - S}) for line in lines]
    (other / RESULTS_FILE).write_text("\n".join([*wider, ""]))
    with pytest.raises(EmerEdgeError, match=r"windows of 2.4 s every 0.3 s, p9/s1 of 3.4 s every 0.3 s: their figures"):
        report(output, own, other)
    (other / RESULTS_FILE).write_text("")
    with pytest.raises(EmerEdgeError, match="it holds no result: its run ended before the first"):
        report(output, other)
    (other / RESULTS_FILE).write_text('{"state": "ok"}\n')
    with pytest.raises(EmerEdgeError, match="holds results that can't be read"):
        report(output, other)
    for wrong, message in (
        (tmp_path / "nowhere", "no session"),
        (tmp_path / "copy" / "s1" / SESSION_FILE, "no result"),
    ):
        if wrong.name == SESSION_FILE:
            (other / RESULTS_FILE).write_text("")
        with pytest.raises(EmerEdgeError, match=message):
            report(output, wrong)
    assert not output.exists()


def test_what_was_cut_short_is_reported_as_far_as_it_goes(study: Path, tmp_path: Path) -> None:
    cut = tmp_path / "p1.mcap"
    content = (study / "recordings" / "p1.mcap").read_bytes()
    cut.write_bytes(content[: len(content) - 3000])
    assert "p1.mcap breaks off: what comes after its last whole chunk is lost" in report(tmp_path / "recording", cut)
    other = changed(study, tmp_path, state="running")
    with (other / RESULTS_FILE).open("a") as file:
        file.write('{"state": "o')
    assert "p1/s1: its run was interrupted" in report(tmp_path / "session", other)


def test_a_report_replaces_only_reports(study: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    arguments = (output, study / "sessions/p3")
    report(*arguments)
    with pytest.raises(EmerEdgeError, match="exists already"):
        report(*arguments)
    report(*arguments, "--force")
    (output / "own notes.txt").write_text("mine")
    with pytest.raises(EmerEdgeError, match=r"own notes\.txt, which emer-edge did not write"):
        report(*arguments, "--force")


def test_clips_and_recordings_of_labs_have_a_map_each(bundle: Bundle, tmp_path: Path) -> None:
    clips = synthesise(tmp_path / "clips", participants=5, clips_per_participant=1, frames=40, workers=1)
    visit = write_recording(tmp_path / "visit", seconds=2.0)
    names = {item.name for item in find_layout(clips).clips} | {"visit"}
    said = report(tmp_path / "maps", clips, visit, bundle.path)
    assert "6 fixation maps" in said
    assert {path.stem for path in (tmp_path / "maps/maps").iterdir()} == names
    image = cv2.imread(str(tmp_path / "maps/maps/visit.png"))
    assert (image.shape, image.max() > 200) == ((270, 480, 3), True)
    sheets = sorted((clips / "eye").iterdir())
    sheets[0].unlink()
    sheets[1].write_bytes(b"no sheet")
    said = report(tmp_path / "fewer", clips)
    assert "3 fixation maps" in said
    assert sheets[0].stem in said
    assert sheets[1].stem in said
    with pytest.raises(
        EmerEdgeError, match=r"holds no session and no recording, and is no data set: .* holds no faces"
    ):
        report(tmp_path / "none", tmp_path / "fewer")
