from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emer_edge.cli.parsing import duration_s, points
from emer_edge.core.errors import ConfigurationError
from emer_edge.data.sessions import RESULTS_FILE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("2min", 120.0), ("1.5 min", 90.0), (" 500ms ", 0.5), ("45", 45.0), ("0.1h", 360.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-3s", "0s", "1e3s", "30 seconds", "nan", "2min30s", "1,5min"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="30s or 2min"):
        duration_s(text)


def test_points() -> None:
    assert points("960,540; 1.5,-2;") == ((960.0, 540.0), (1.5, -2.0))


@pytest.mark.parametrize("text", ["", ";", "960", "1,2,3", "a,b", "inf,0"])
def test_points_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="x,y;x,y"):
        points(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--participant", "p1"], "--save FOLDER"),
        (["--save", "sessions"], "--participant"),
        (["--save", "sessions", "--participant", "../p1"], "pseudonym"),
        (["--markers", "mouse"], "mouse"),
        (["--markers", "lines", "--pace", "fast"], "--pace real"),
        (["--validation-targets", "960"], "x,y;x,y"),
        (["--validate", "--validation-by", "window"], "--validation-by terminal"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_session_options_that_make_no_sense(
    emer_edge: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    done = emer_edge("run", "none.emer", *options)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_purging_a_participant(emer_edge: Callable[..., Any], tmp_path: Path) -> None:
    for each in ("p1/s1", "p2/s1"):
        (tmp_path / each).mkdir(parents=True)
        (tmp_path / each / RESULTS_FILE).write_text("{}\n")
    assert emer_edge("purge", "--participant", "p1").code == 2
    done = emer_edge("purge", "--participant", "p1", "--sessions", tmp_path)
    assert done.code == 0
    assert "removed 1 sessions of p1" in done.err
    assert [each.name for each in tmp_path.iterdir()] == ["p2"]
    again = emer_edge("purge", "--participant", "p1", "--sessions", tmp_path)
    assert (again.code, "nothing was removed" in again.err) == (2, True)
