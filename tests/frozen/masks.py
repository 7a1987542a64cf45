"""What is masked before outputs are frozen or compared: one table for all of them.

A mask names a place by its path, the keys from the outermost in with dots between and list positions left out
(`results.stages_ms.encode`). Either the whole value goes, be it a list, or only what a pattern finds in a string. The
first mask that fits is taken. Everything else is held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from trees import Number

__all__ = ["BY_EXPORTER", "BY_MACHINE", "BY_PACKAGES", "BY_PIXELS", "HEADS", "MASKS", "Mask", "masked"]


@dataclass(frozen=True)
class Mask:
    """One row of the table.

    Attributes:
        where: a pattern for the whole path.
        put: what takes the place.
        found: only this pattern in a string is replaced; None replaces the value.
    """

    where: str
    put: str
    found: str | None = None


MASKS: Final = (
    # times that were measured
    Mask(r".*stages_ms\.\w+", "<ms>"),
    Mask(r".*\.stages\.[^.]+\.(p50_ms|p90_ms|p99_ms|min_ms|max_ms|bins)", "<ms>"),
    Mask(r".*\.(latency|several_streams|single_stream)\..*\.(p50_ms|p90_ms|p99_ms|min_ms|max_ms|bins)", "<ms>"),
    Mask(r".*\.(loading\.\w+_ms|look\.detect_ms)", "<ms>"),
    Mask(r".*\.clips_per_s", "<rate>"),
    Mask(r".*\.summary\.seconds", "<s>"),
    Mask(r".*said", "<s> on", r"^[\d.]+ s on"),
    # when it was
    Mask(r".*\.(created|started|started_ns|ended|unix_s|unix_offset_ns)", "<time>"),
    Mask(r".*\.firsts\.[^.]+\.(taken_ns|timestamp\.n?sec)", "<time>"),
    # memory and sizes that hang on the machine
    Mask(r".*\.(\w+_)?rss_mb", "<MB>"),
    Mask(r".*said", "<MB>", r"\d+ MB"),
    Mask(r".*\.size_bytes", "<bytes>"),
    # images: how they are packed hangs on OpenCV, and what they show is held through results
    Mask(r".*\.firsts\.(/camera\.data|/frames\.look\.crop)", "<image>"),
    # the machine
    Mask(r".*\.versions\.[^.]+", "<version>"),
    Mask(r".*\.environment\.[^.]+", "<machine>"),
    Mask(r".*\.conditions\.((before|after)\.)?(?!before|after)\w+", "<machine>"),
    # files that hold times: a bundle's pages, and through them its manifest
    Mask(r".*\.files\.report\.(html|json)\.(sha256|bytes)", "<file>"),
    Mask(r".*\.manifest_sha256", "<file>"),
)
"""All that is not held."""

BY_EXPORTER: Final = r".*\.onnx\.(sha256|bytes)"
"""Held where torch, onnx and onnxruntime are those of the machine that froze it (INT8: where the machine is)."""
BY_MACHINE: Final = r".*\.golden\.npz\.(sha256|bytes)"
"""Held on the machine that froze it: a file of computed numbers."""
BY_PACKAGES: Final = r".*\.(calibration\.clip_hashes|report\.data\.fingerprint|accuracy\.fingerprint)"
"""Held where all packages are those of the machine that froze it: hashes of the sheets and images that they write."""
BY_PIXELS: Final = r".*\.reliability\.count"
"""Held where FP32 is: how many probabilities lie in a bin."""
HEADS: Final = r".*\.heads\.[^.]+"
"""Where a mapping of class to probability lies."""


def masked(value: Any, path: str = "") -> Any:
    """Replace what the table names in a tree of plain values."""
    for mask in MASKS:
        if not re.fullmatch(mask.where, path):
            continue
        if mask.found is None:
            return mask.put
        if isinstance(value, str) and re.search(mask.found, value):
            return re.sub(mask.found, mask.put, value)
    if isinstance(value, dict):
        return {key: masked(each, f"{path}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [masked(each, path) for each in value]
    assert value is None or isinstance(value, str | bool | int | Number), f"{path} holds {value!r}"
    return value
