from __future__ import annotations

import os
from pathlib import Path

import pytest

from emer_edge.core.whole_file import Syncing


def test_the_end_syncs_and_a_disk_that_refuses_is_noticed(tmp_path: Path) -> None:
    with (tmp_path / "kept").open("wb") as file:
        syncing = Syncing(file.fileno(), folders=[tmp_path])
        file.write(b"line\n")
        file.flush()
        syncing.check()
        syncing.close()
    refused = Syncing(file_closed(tmp_path), folders=[])
    with pytest.raises(OSError, match="Bad file descriptor"):
        refused.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        refused.check()


def file_closed(folder: Path) -> int:
    """A descriptor that is none any more, and that nothing else takes meanwhile."""
    descriptor = os.open(folder / "closed", os.O_WRONLY | os.O_CREAT, 0o600)
    far = 900
    os.dup2(descriptor, far)
    os.close(descriptor)
    os.close(far)
    return far


def test_what_can_not_be_synced_is_no_fault() -> None:
    read, write = os.pipe()
    try:
        Syncing(write, folders=[]).close()
    finally:
        os.close(read)
        os.close(write)
