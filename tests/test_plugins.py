"""Records that other packages add."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from emer_edge.core.packages import with_plugins


@dataclass(frozen=True)
class Kind:
    name: str


def install(folder: Path, entries: str) -> None:
    info = folder / "added-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[emer_edge.test]\n{entries}\n")


def test_records_of_other_packages_come_after_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "b = plugin_records:SECOND\na = plugin_records:FIRST")
    (tmp_path / "plugin_records.py").write_text(f"from {__name__} import Kind\nFIRST, SECOND = Kind('a'), Kind('b')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(with_plugins("emer_edge.test", [Kind("own")], Kind)) == ["own", "a", "b"]
    assert list(with_plugins("emer_edge.none", [Kind("own")], Kind)) == ["own"]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("import nothing_of_this_name", "No module named"),
        ("RECORD = 5", "is no Kind"),
        (f"from {__name__} import Kind\nRECORD = Kind('own')", "there is a own already"),
    ],
)
def test_one_that_is_no_use_is_left_out_in_the_log(
    record: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = f"plugin_{abs(hash(record))}"
    install(tmp_path, f"bad = {module}:RECORD")
    (tmp_path / f"{module}.py").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING, "emer_edge"):
        assert list(with_plugins("emer_edge.test", [Kind("own")], Kind)) == ["own"]
    assert why in caplog.text
    assert "bad of emer_edge.test" in caplog.text
