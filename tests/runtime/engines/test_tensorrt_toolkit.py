from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emer_edge.core.errors import ConfigurationError, EngineError
from emer_edge.runtime.engines.tensorrt.cuda import Gpu
from emer_edge.runtime.engines.tensorrt.toolkit import (
    PACKAGES,
    UNKNOWN,
    Capabilities,
    describe_machine,
    find_tensorrt,
    load_toolkit,
    probe,
)


class _Logger:
    Severity = SimpleNamespace(WARNING=2, ERROR=1, INTERNAL_ERROR=0)


def bindings(name: str, version: str, creation: dict[str, int], flags: str, *others: str) -> Any:
    """The names that probing looks at, as read off NVIDIA's own wheels of that version."""
    return SimpleNamespace(
        __name__=name,
        __version__=version,
        NetworkDefinitionCreationFlag=SimpleNamespace(**creation),
        BuilderFlag=SimpleNamespace(**dict.fromkeys(flags.split(), 0)),
        ILogger=_Logger,
        **dict.fromkeys(others, object),
    )


EIGHT = bindings(
    "tensorrt",
    "8.6.1",
    {"EXPLICIT_BATCH": 0, "EXPLICIT_PRECISION": 1},
    "FP16 INT8 TF32 OBEY_PRECISION_CONSTRAINTS PREFER_PRECISION_CONSTRAINTS FP8",
    "ITimingCache",
)
TEN = bindings(
    "tensorrt",
    "10.3.0",
    {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1},
    "FP16 BF16 INT8 TF32 OBEY_PRECISION_CONSTRAINTS PREFER_PRECISION_CONSTRAINTS FP8 INT4",
    "ITimingCache",
    "IProgressMonitor",
)
ELEVEN = bindings(
    "tensorrt",
    "11.4.0.106",
    {"STRONGLY_TYPED": 0, "PREFER_AOT_PYTHON_PLUGINS": 1, "PREFER_JIT_PYTHON_PLUGINS": 2},
    "TF32 SPARSE_WEIGHTS STRICT_NANS",
    "ITimingCache",
    "IProgressMonitor",
)


@pytest.mark.parametrize(
    ("trt", "typing", "network_flags", "progress"),
    [(EIGHT, "weak", 1, False), (TEN, "strong by flag", 2, True), (ELEVEN, "strong", 1, True)],
    ids=["8.6", "10", "11"],
)
def test_tensorrt_of_each_version(trt: Any, typing: str, network_flags: int, progress: bool) -> None:
    found = probe(trt)
    assert (found.typing, found.network_flags, found.progress) == (typing, network_flags, progress)
    assert found.timing_cache
    assert not found.runtime_cache
    assert found.compute_capabilities == ()
    assert found.label == f"tensorrt {trt.__version__}"


@pytest.mark.skipif(find_tensorrt() != "tensorrt_rtx", reason="tensorrt_rtx is not installed")
def test_tensorrt_rtx_as_installed() -> None:
    found = load_toolkit("tensorrt_rtx").can
    assert found.package == "tensorrt_rtx"
    assert found.typing == "strong"
    assert found.progress
    assert found.runtime_cache
    assert not found.timing_cache
    assert found.compute_capabilities[0] == "SM75"
    assert "SM87" not in found.compute_capabilities


@pytest.mark.skipif(find_tensorrt() is None, reason="neither tensorrt nor tensorrt_rtx is installed")
def test_one_logger_a_process_keeps_the_last_error() -> None:
    toolkit = load_toolkit()
    assert toolkit is load_toolkit()
    toolkit.logger.log(toolkit.trt.ILogger.Severity.ERROR, "first")
    toolkit.logger.log(toolkit.trt.ILogger.Severity.ERROR, "second")
    toolkit.logger.log(toolkit.trt.ILogger.Severity.WARNING, "a warning")
    assert toolkit.last == "second"
    toolkit.forget()
    assert toolkit.last == "it gave no reason"


def test_unknown_package() -> None:
    with pytest.raises(ConfigurationError, match="tensorrt or tensorrt_rtx, not 'openvino'"):
        load_toolkit("openvino")


def test_no_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emer_edge.runtime.engines.tensorrt.toolkit.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"neither tensorrt nor tensorrt_rtx .*JetPack.*\.\[rtx\]"):
        load_toolkit()


@pytest.mark.skipif(find_tensorrt() == "tensorrt", reason="tensorrt is installed")
def test_package_that_is_asked_for_and_absent() -> None:
    with pytest.raises(EngineError, match="tensorrt can't be imported"):
        load_toolkit(PACKAGES[0])


def test_machine_is_read_from_the_kernel_and_from_jetson_linux(tmp_path: Path) -> None:
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/device-tree").mkdir()
    (tmp_path / "proc/device-tree/model").write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain)\n"
    )
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    can = Capabilities("tensorrt", "10.3.0", "strong by flag", 2, True, True, False, ())
    here = describe_machine(can, Gpu("Orin", "8.7", True, 16, "12.6"), tmp_path)
    assert (here.driver, here.l4t, here.tensorrt) == ("540.4.0", "36.4.3", "tensorrt 10.3.0")
    assert (here.module, here.multiprocessors) == ("NVIDIA Jetson Orin Nano Developer Kit", "16")
    nothing = describe_machine(can, None, tmp_path / "absent")
    assert (nothing.gpu, nothing.driver, nothing.l4t, nothing.cuda) == (UNKNOWN,) * 4
