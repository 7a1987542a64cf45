"""The steps of `make release-check` that need no network, and what they would refuse."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from release import steps
from release.steps import StepError

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sdist, as `python -m build` makes it, but with the tools that are installed here."""
    folder = tmp_path_factory.mktemp("dist")
    hatchling = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), "--target"]
    subprocess.run([*hatchling, "sdist"], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(folder / f"emer_edge-{steps.version()}.tar.gz") as sdist:
        sdist.extractall(folder, filter="data")
    subprocess.run([*hatchling, "wheel"], cwd=folder / f"emer_edge-{steps.version()}", capture_output=True, check=True)
    return steps.artefacts(folder)[0]


@pytest.mark.case(
    "the wheel of the sdist", source="", before="calibration/, export/ and runtime/ were missing: links lead to them"
)
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name == f"emer_edge-{steps.version()}-py3-none-any.whl"
    assert "all of git's" in steps.check_wheel(wheel)
    for change in ("emer_edge/py.typed", None):
        other = tmp_path / f"{change is None}.whl"
        with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(other, "w") as copy:
            for name in whole.namelist():
                if name != change:
                    copy.writestr(name, whole.read(name))
            if change is None:
                copy.writestr("emer_edge/notes.txt", "")
        with pytest.raises(StepError, match=change or "notes.txt"):
            steps.check_wheel(other)


def test_every_extra_is_tried_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(steps.extras()) == steps.PURPOSES.keys() | steps.UNTRIED.keys()
    assert steps.resolved_only() == {"jetson", "tobii", "dev"}
    monkeypatch.delitem(steps.PURPOSES, "mqtt")
    with pytest.raises(StepError, match=r"differ in extras: mqtt; add what they are for"):
        steps.extras()


def test_what_an_extra_is_for_is_there() -> None:
    """Here, where all of them are installed but those of peers and of fuzzing."""
    code = "; ".join(each for extra, each in steps.PURPOSES.items() if extra not in ("peers", "fuzz", "rtx", "sign"))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_notes_are_the_versions_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "ROOT", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n\n- later\n\n## [0.2.0] - 2026-12-01\n\n- now\n"
    )
    assert steps.release_notes(tmp_path, "0.2.0") == "good"
    assert (tmp_path / "NOTES.md").read_text() == "- now\n"
    assert steps.release_notes(tmp_path, "0.3.0").startswith("UNRELEASED")
    assert (tmp_path / "NOTES.md").read_text() == "- later\n"
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n")
    with pytest.raises(StepError, match=r"neither a section \[0\.3\.0\]"):
        steps.release_notes(tmp_path, "0.3.0")


def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    for name in ("a.whl", "NOTES.md"):
        (tmp_path / name).write_text(name)
    assert steps.write_hashes(tmp_path) == "SHA256SUMS of 2 files"
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=True).stdout == b"NOTES.md: OK\na.whl: OK\n"
    (tmp_path / "a.whl").write_text("another")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_a_command_that_fails_says_which_and_why(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"a step failed .*python.*\nno such thing"):
        steps.run([sys.executable, "-c", "raise SystemExit('no such thing')"], cwd=tmp_path, what="a step")
    with pytest.raises(StepError, match="lacks emer_edge-"):
        steps.artefacts(tmp_path)
    help_page = "╭─ Commands ─╮\n│ export  x │\n"
    with pytest.raises(StepError, match="lists"):
        steps.commands(help_page)
