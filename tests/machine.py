"""What tests ask of the machine that they run on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import pytest

__all__ = ["NATURE", "find_program", "needs", "newer_opencv", "without_tensorrt"]

NATURE = (
    "needs root",
    "root may write anywhere",
    "there is a GPU here",
    "tensorrt is installed",
    "this is a Jetson",
    "this systemd is older",
    "no file system can be mounted here",
    "there is no /dev/shm",
    "pycuda can't be had here",
)
"""How reasons to skip begin that are about what a machine is; any other one is about a component that it lacks."""


def find_program(*names: str) -> str | None:
    """Path of the first of these programs that is installed; servers lie where a user's PATH does not lead."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def newer_opencv(*least: int) -> pytest.MarkDecorator:
    """Skip a test of what OpenCV has from a version on."""
    old = tuple(int(part) for part in cv2.__version__.split(".")[:2]) < least
    return pytest.mark.skipif(old, reason=f"this OpenCV is older than {'.'.join(map(str, least))}")


@contextmanager
def without_tensorrt() -> Iterator[None]:
    """As on a machine without TensorRT, where an export builds no engines to check its parts: half of its time."""
    with pytest.MonkeyPatch.context() as patch:
        for package in ("tensorrt", "tensorrt_rtx"):
            patch.setitem(sys.modules, package, None)
        yield


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test where none of these programs is installed."""
    return pytest.mark.skipif(find_program(*names) is None, reason=f"{names[0]} is not installed (make test-deps)")
