"""Whether TensorRT takes the parts: each one is parsed and built, and the plan thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from emer_edge.errors import EngineError
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions, build_plan
from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt
from emer_edge.spec.progress import Progress, silent

__all__ = ["NOT_CHECKED", "TensorRtCheck", "check_parts"]

NOT_CHECKED = "not checked (no TensorRT here)"


@dataclass(frozen=True)
class TensorRtCheck:
    """One part's result.

    Attributes:
        part: `face_encoder` and so on.
        ok: whether it was parsed and built.
        package: package and version, empty when not built.
        seconds: time to parse and build.
        plan_bytes: size of the plan.
        error: TensorRT's own words and the node, empty when all is well.
    """

    part: str
    ok: bool
    package: str = ""
    seconds: float = 0.0
    plan_bytes: int = 0
    error: str = ""

    def to_builtins(self) -> dict[str, object]:
        """As plain values for `report.json`."""
        return asdict(self)


def check_parts(parts: Mapping[str, Path], progress: Progress = silent) -> tuple[TensorRtCheck, ...] | None:
    """Parse and build every part; None where neither `tensorrt` nor `tensorrt_rtx` can be imported."""
    package = find_tensorrt()
    if package is None:
        return None
    results = []
    for done, (name, path) in enumerate(parts.items(), start=1):
        try:
            built = build_plan(path, BuildOptions(package))
            told = f"{built.package} {built.version}"
            results.append(TensorRtCheck(name, True, told, round(built.seconds, 3), len(built.plan)))
        except EngineError as error:
            results.append(TensorRtCheck(name, False, error=str(error)))
        progress("building with TensorRT", done, len(parts))
    return tuple(results)
