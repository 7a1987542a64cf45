"""Exports that run out of room, on a file system that really is too small and under a limit of the kernel's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emer_edge.model.checkpoint import metadata_of, save_checkpoint
from emer_edge.model.emert import Emert

PROGRAM = """
import resource, sys
from pathlib import Path
from emer_edge.errors import BundleError
from emer_edge.export.exporter import export_bundle
from emer_edge.export.options import ExportOptions
output, checkpoint, most = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    export_bundle(ExportOptions(output, "fp32", [checkpoint]))
except BundleError as error:
    print(error)
    sys.exit(2)
"""


@pytest.fixture(scope="module")
def checkpoint(nine: Emert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "nine.pt"
    save_checkpoint(path, nine, metadata_of(nine))
    return path


def refused(output: Path, checkpoint: Path, most: int = 0) -> str:
    """Export into a folder, expecting the one error; returns what it says."""
    command = [sys.executable, "-c", PROGRAM, str(output), str(checkpoint), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    return done.stdout


def test_a_file_that_may_not_grow_is_one_error(checkpoint: Path, tmp_path: Path) -> None:
    told = refused(tmp_path / "x.emer", checkpoint, 20_000_000)
    assert "x.emer" in told
    assert "File too large" in told
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MB: the detector fits, the encoder does not."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root: mounting a small file system")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_error(checkpoint: Path, small_disk: Path) -> None:
    told = refused(small_disk / "x.emer", checkpoint)
    assert "No space left on device" in told
    assert "leaves nothing behind" in told
    assert list(small_disk.iterdir()) == []
