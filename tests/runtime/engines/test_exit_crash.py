"""Which ONNX Runtime may crash at the end of a process."""

from __future__ import annotations

from importlib import metadata

import pytest

from emer_edge.runtime.engines.onnxruntime_engine import crashes_at_exit


@pytest.mark.case(
    "onnxruntime 1.21.0 built for JetPack 6.2",
    source="https://github.com/microsoft/onnxruntime/issues/24092",
    before="invalid free at the end of every run",
)
@pytest.mark.parametrize(
    ("machine", "version", "crashes"),
    [
        ("aarch64", "1.21.0", True),
        ("aarch64", "1.23.2", True),
        ("aarch64", "1.24.2", True),
        ("aarch64", "1.32.0", False),
        ("x86_64", "1.23.2", False),
    ],
)
def test_versions_that_crash(monkeypatch: pytest.MonkeyPatch, machine: str, version: str, crashes: bool) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("emer_edge.runtime.engines.onnxruntime_engine.version", lambda _: version)
    assert crashes_at_exit() == crashes


def test_a_machine_without_it_does_not_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("emer_edge.runtime.engines.onnxruntime_engine.version", absent)
    assert not crashes_at_exit()
