from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


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
    assert "removed 1 files" in outcome.err
    assert not kept.exists()
