from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from emer_edge.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, its data, and its words."""

    code: int
    out: str
    err: str


@pytest.fixture
def emer_edge(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["emer-edge", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
