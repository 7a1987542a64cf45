from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from machine import without_tensorrt

from emer_edge.cli.app import main
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.window import WindowSpec
from emer_edge.model.checkpoint import save_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata


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


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoints") / "random.pt"
    classes = {each.name: each.classes for each in HEADS.values() if isinstance(each, ClassHead)}
    metadata = CheckpointMetadata(
        variant="nine", heads=tuple(HEADS), classes=classes, standardised=True, events="causal", window=WindowSpec()
    )
    save_checkpoint(path, Emert("nine"), metadata)
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    from emer_edge.export.export_options import ExportOptions
    from emer_edge.export.exporter import export_bundle

    path = tmp_path_factory.mktemp("bundles") / "random.emer"
    with without_tensorrt():
        return export_bundle(ExportOptions(output=path, precision="fp32", checkpoints=(str(checkpoint),))).path


@pytest.fixture
def bundle(tmp_path: Path, exported: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy.emer"))
