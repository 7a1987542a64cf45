"""Lines for a shell by which NVIDIA's own tools check a plan: its time by trtexec, its outputs by polygraphy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from emer_edge.runtime.engines.tensorrt.toolkit import Capabilities


def check_lines(
    part: Path,
    plan: Path | None,
    can: Capabilities,
    *,
    shapes: Mapping[str, tuple[int, ...]],
    most: Mapping[str, float],
) -> tuple[str, ...]:
    """The lines for one part.

    Args:
        part: its ONNX file.
        plan: its plan; None where it could not be kept.
        can: what built it.
        shapes: input with a batch axis -> its shape.
        most: output -> the difference from ONNX Runtime that is allowed.
    """
    tool, prefix = ("trtexec", "") if can.package == "tensorrt" else ("tensorrt_rtx", "USE_TENSORRT_RTX=1 ")
    timed = [tool, f"--loadEngine={plan}", "--useCudaGraph"]
    compared = ["polygraphy", "run", str(part), "--trt", "--onnxrt"]
    compared += ["--fp16", "--int8"] if can.typing == "weak" else ["--strongly-typed"]
    compared += ["--rtol", "0", "--atol", *(f"{name}:{value:.3g}" for name, value in most.items())]
    if shapes:
        timed.append("--shapes=" + ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items()))
        compared += ["--input-shapes", *(f"{name}:[{','.join(map(str, shape))}]" for name, shape in shapes.items())]
    return (*((shlex.join(timed),) if plan is not None else ()), prefix + shlex.join(compared))
