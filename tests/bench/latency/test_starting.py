from __future__ import annotations

import os
from pathlib import Path

import pytest

from emer_edge.bench.latency.starting import drop_from_cache, first_results


def test_files_are_dropped_or_it_is_said_that_they_are_not(tmp_path: Path) -> None:
    path = tmp_path / "bundle" / "cpu" / "part.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(300_000))
    (path.parent / "empty").touch()
    reason = drop_from_cache(tmp_path / "bundle")
    assert reason == "" or "part.onnx" in reason
    if not reason:
        assert drop_from_cache(tmp_path / "bundle") == ""  # looking did not bring it back
        with path.open("rb", buffering=0) as file:
            if hasattr(os, "RWF_NOWAIT"):  # the kernel says that a read would have to wait
                with pytest.raises(BlockingIOError):
                    os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)


def test_files_in_memory_alone_cannot_be_dropped() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        pytest.skip("there is no /dev/shm that can be written to")
    path = folder / f"emer-edge-{os.getpid()}"
    path.mkdir()
    try:
        (path / "part.onnx").write_bytes(b"1" * 10_000)
        assert drop_from_cache(path) == "part.onnx stays in the page cache"
    finally:
        (path / "part.onnx").unlink()
        path.rmdir()


def test_bundles_start_in_turns_and_kinds_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a", "b")
    for name in names:
        (tmp_path / name).mkdir()
    started: list[str] = []

    def start(bundle: Path) -> float:
        started.append(bundle.name)
        return float(len(started))

    one, other = first_results([tmp_path / name for name in names], start, 2)
    assert started == ["a", "a", "b", "b"] * 2
    assert (one.cold_ms, one.warm_ms) == ((1.0, 5.0), (2.0, 6.0))
    assert (other.cold_ms, other.warm_ms, other.reason) == ((3.0, 7.0), (4.0, 8.0), "")


def test_where_nothing_can_be_dropped_there_is_no_cold_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    started: list[Path] = []
    (found,) = first_results([tmp_path], lambda path: float(len(started.append(path) or started)), 2)
    assert found.cold_ms == ()
    assert found.warm_ms == (2.0, 3.0)  # the first start, which may have been cold, is not counted
    assert "posix_fadvise" in found.reason
