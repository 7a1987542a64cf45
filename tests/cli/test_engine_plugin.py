"""An engine of another package, found by its entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emer_edge.runtime.session import Session

ENGINE = """
from dataclasses import replace
from pathlib import Path

from emer_edge.runtime.engines.onnxruntime_engine import DRIVER, OnnxRuntimeEngine

class AcmeEngine(OnnxRuntimeEngine):
    name = "acme"

def why_not():
    return None if Path(__file__).with_name("board").exists() else "it needs an Acme board"

def opened(path, threads, progress):
    Path(__file__).with_name("built").touch()
    return AcmeEngine(path, threads)

ENGINE = replace(DRIVER, name="acme", help="an Acme board", why_not=why_not, rank=0, open=opened, builds=True)
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "acme"
    information = folder / "acme-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[emer_edge.engines]\nacme = acme_engine:ENGINE\n")
    (folder / "acme_engine.py").write_text(ENGINE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "acme_engine", raising=False)
    return folder


@pytest.mark.parametrize("command", ["run", "bench", "predict", "doctor"])
def test_help_lists_engines_of_other_packages(acme: Path, emer_edge: Callable[..., object], command: str) -> None:
    told = " ".join(emer_edge(command, "--help").out.replace("│", " ").split())
    for engine in ("onnxruntime (ONNX Runtime on the CPU)", "tensorrt (TensorRT on an NVIDIA GPU)", "acme (an Acme"):
        assert engine in told


def test_check_says_what_the_engine_lacks(acme: Path, bundle: Path, emer_edge: Callable[..., object]) -> None:
    check = ("run", bundle, "--camera", "synthetic://", "--tracker", "opengaze://10.0.0.1", "--check", "--engine")
    refused = emer_edge(*check, "acme")
    assert (refused.code, "the engine acme can't run here: it needs an Acme board" in refused.err) == (2, True)
    assert "choose auto, onnxruntime, tensorrt or acme" in emer_edge(*check, "tflite").err
    (acme / "board").touch()
    assert emer_edge(*check, "acme").code == 0
    assert "acme: 1" in " ".join(emer_edge("doctor").err.split())


def test_a_session_runs_in_it(acme: Path, bundle: Path) -> None:
    with Session(bundle, engine="acme") as session:
        assert (session.engine_name, session.encode(np.zeros((1, 3, 112, 112), np.float32)).shape) == ("acme", (1, 128))


def test_nothing_is_built_before_sources_and_files_are_found(
    acme: Path, bundle: Path, tmp_path: Path, emer_edge: Callable[..., object]
) -> None:
    (acme / "board").touch()
    gone = tmp_path / "gone.avi"
    for command in (
        ("run", bundle, "--camera", gone, "--tracker", "opengaze://127.0.0.1:1"),
        ("run", bundle, "--camera", "synthetic://", "--tracker", tmp_path / "gone.tsv"),
        ("predict", bundle, gone, "--output", tmp_path / "scores.csv"),
    ):
        refused = emer_edge(*command, "--engine", "acme")
        assert (refused.code, "gone" in refused.err) == (2, True), refused.err
        assert not (acme / "built").exists()
    with Session(bundle, engine="acme"):
        assert (acme / "built").exists()
