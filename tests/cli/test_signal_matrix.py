"""Signals at the moments when commands have begun to write: the core of `benchmarks.signal_matrix`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.signal_matrix import MOMENTS, SIGNALS, Cell, Stage, table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stage(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(exported, tmp_path_factory.mktemp("signals"))


@pytest.mark.parametrize("moment", MOMENTS[:2])
def test_no_command_leaves_anything_behind(stage: Stage, moment: str) -> None:
    cells = {
        (command, moment, number.name): stage.send(command, number, moment)
        for command in stage.commands
        for number in SIGNALS
    }
    assert {key: cell for key, cell in cells.items() if cell.wrong} == {}
    assert sum(cell.ended != "ended before" for cell in cells.values()) > len(cells) / 2
    assert table(cells).count("\n| `") == len(stage.commands)


def test_what_is_wrong_is_told(stage: Stage) -> None:
    assert "| `x` | starting | 1 traceback |" in table(
        {("x", MOMENTS[0], each.name): Cell("1", "traceback") for each in SIGNALS}
    )
