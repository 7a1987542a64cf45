"""What there is to build with: NVIDIA's packages, the machine, and its memory.

All that differs between versions of the two packages is in one table. A plan belongs to a GPU and to the versions of
everything between it and us. The free memory is checked before a build begins: one that runs out is killed without
a word.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from emer_edge.core.errors import ConfigurationError, EngineError, install_line
from emer_edge.runtime.board import ADD_SWAP, Memory, read_l4t, read_text
from emer_edge.runtime.engines.tensorrt.cuda import Gpu

PACKAGES: Final = ("tensorrt", "tensorrt_rtx")
"""In order of preference: the one that a board runs, the one that any machine can check with."""

UNKNOWN: Final = "unknown"
_WORDS: Final = {
    "gpu": "GPU",
    "module": "module",
    "compute_capability": "compute capability",
    "multiprocessors": "multiprocessors",
    "tensorrt": "",  # its value names it
    "cuda": "CUDA",
    "driver": "driver",
    "l4t": "L4T",
}
NEEDED_MB: Final = 1000
"""Below this much free memory and swap a build is not begun: CUDA and TensorRT's libraries alone take most of it."""
ADVISED_MB: Final = 3000
"""Below this much a build may be killed halfway, and swap is advised. Both figures are cautious, not measured."""
_LAYERS: Final = ("Layers:", "Engine Layer Information:")
"""How the message begins that lists a plan's layers: tensorrt_rtx's, and that of tensorrt 8.6 and 10."""
_SHARE: Final = 4
_LEAST_MB, _MOST_MB = 64, 2048

Typing = Literal["weak", "strong by flag", "strong"]


@dataclass(frozen=True)
class Capabilities:
    """What one installed package can do.

    | | tensorrt 8.6 | 10 | 11 | tensorrt_rtx |
    | --- | --- | --- | --- | --- |
    | typing | weak | strong by flag | strong | strong |
    | progress | no | yes | yes | yes |
    | timing cache | yes | yes | yes | no (calls do nothing) |
    | runtime cache | no | no | no | yes (kernels are compiled on the device) |
    | compute capabilities | none | none | none | SM75 ... |

    Attributes:
        package, version: which one.
        typing: `weak` chooses types by builder flags and needs constraints to keep a layer's own; `strong by flag`
            follows the graph's types with a flag; `strong` always does, and has no FP16 or INT8 flag.
        network_flags: bit set for `create_network`.
        progress: `IProgressMonitor` exists.
        timing_cache: measured kernels can be kept between builds.
        runtime_cache: compiled kernels can be kept between runs.
        compute_capabilities: GPUs that it builds for without having one, by name.
    """

    package: str
    version: str
    typing: Typing
    network_flags: int
    progress: bool
    timing_cache: bool
    runtime_cache: bool
    compute_capabilities: tuple[str, ...]

    @property
    def label(self) -> str:
        """Package and version, for people."""
        return f"{self.package} {self.version}"


class Toolkit:
    """An imported package, what it can do, and the ears that hear its errors.

    TensorRT keeps the first logger that a process gives it, so there is one a package.

    Attributes:
        trt: the module.
        can: its capabilities.
        logger: passed to every builder, parser and runtime.
    """

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.can = probe(trt)
        self.logger = _listener(trt)

    def forget(self) -> None:
        """Forget what earlier steps said."""
        self.logger.errors.clear()
        self.logger.warnings.clear()
        self.logger.layers = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """TensorRT's warnings since `forget`, each once."""
        return tuple(dict.fromkeys(self.logger.warnings))

    @property
    def last(self) -> str:
        """TensorRT's last error since `forget`, in its own words."""
        return self.logger.errors[-1] if self.logger.errors else "it gave no reason"


def find_tensorrt() -> str | None:
    """Name of the TensorRT package that can be imported here, or None."""
    for name in PACKAGES:
        if find_spec(name) is None:
            continue
        try:
            import_module(name)
        except (ImportError, OSError):
            continue
        return name
    return None


def load_toolkit(package: str | None = None) -> Toolkit:
    """Import a package of `PACKAGES`, by default the one that is there.

    Raises:
        ConfigurationError: no such package is known.
        EngineError: it, or every one, can't be imported.
    """
    if package is not None and package not in PACKAGES:
        raise ConfigurationError(f"the package is {' or '.join(PACKAGES)}, not {package!r}")
    name = package or find_tensorrt()
    if name is None:
        raise EngineError(
            "neither tensorrt nor tensorrt_rtx can be imported; on a Jetson tensorrt is part of JetPack (virtual "
            f"environments need --system-site-packages), elsewhere: {install_line('rtx')}"
        )
    try:
        import_module(name)
    except (ImportError, OSError) as error:
        raise EngineError(f"{name} can't be imported ({error}); install it, or choose another --package") from None
    return _toolkit(name)


@cache
def _toolkit(name: str) -> Toolkit:
    return Toolkit(import_module(name))


def probe(trt: Any) -> Capabilities:
    """Find out what an imported package can do by looking at what it has."""
    creation = trt.NetworkDefinitionCreationFlag
    strong, explicit = getattr(creation, "STRONGLY_TYPED", None), getattr(creation, "EXPLICIT_BATCH", None)
    typing: Typing = "weak" if strong is None else "strong by flag"
    if not hasattr(trt.BuilderFlag, "FP16"):
        typing = "strong"
    flag = strong if strong is not None else explicit
    capabilities = getattr(trt, "ComputeCapability", None)
    return Capabilities(
        package=str(trt.__name__),
        version=str(trt.__version__),
        typing=typing,
        network_flags=0 if flag is None else 1 << int(flag),
        progress=hasattr(trt, "IProgressMonitor"),
        timing_cache=hasattr(trt, "ITimingCache") and not hasattr(trt, "IRuntimeCache"),
        runtime_cache=hasattr(trt, "IRuntimeCache"),
        compute_capabilities=tuple(
            sorted((name for name in capabilities.__members__ if name.startswith("SM")), key=lambda name: int(name[2:]))
        )
        if capabilities is not None
        else (),
    )


def _listener(trt: Any) -> Any:
    severe = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

    class Listener(trt.ILogger):  # type: ignore[misc]
        """Keeps the last errors and warnings, and the builder's list of layers, instead of printing them."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=8)
            self.warnings: deque[str] = deque(maxlen=8)
            self.layers = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in severe:
                self.errors.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                self.warnings.append(message)
            elif message.startswith(_LAYERS):
                self.layers = message

    return Listener()


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A machine as far as a plan is concerned; `unknown` where something can't be known.

    Attributes:
        gpu: its name; every Orin says `Orin`.
        module: model of the board, from the device tree.
        compute_capability: for example `8.7`.
        multiprocessors: of the GPU, those that the power mode leaves on.
        tensorrt: package and version.
        cuda: the newest CUDA version that the driver knows.
        driver: version of the kernel's NVIDIA driver.
        l4t: version of Jetson Linux, for example `36.3.0`.
    """

    gpu: str = UNKNOWN
    module: str = UNKNOWN
    compute_capability: str = UNKNOWN
    multiprocessors: str = UNKNOWN
    tensorrt: str = UNKNOWN
    cuda: str = UNKNOWN
    driver: str = UNKNOWN
    l4t: str = UNKNOWN


def describe_machine(capabilities: Capabilities, gpu: Gpu | None, root: Path = Path("/")) -> Machine:
    """Describe this machine.

    Args:
        capabilities: of the package in use.
        gpu: from `find_gpu`.
        root: where /etc and /proc are.
    """
    known = {}
    if gpu is not None:
        known = {"gpu": gpu.name, "compute_capability": gpu.compute_capability, "cuda": gpu.cuda}
        known["multiprocessors"] = str(gpu.multiprocessors)
    return Machine(
        **known,
        module=read_text(root / "proc/device-tree/model") or UNKNOWN,
        tensorrt=capabilities.label,
        driver=_driver(root / "proc/driver/nvidia/version"),
        l4t=read_l4t(root) or UNKNOWN,
    )


def difference(built: Machine, here: Machine) -> str | None:
    """Name what differs, both sides, in one sentence; None where nothing that is known differs."""
    parts = []
    for name, word in _WORDS.items():
        then, now = getattr(built, name), getattr(here, name)
        if then != now and UNKNOWN not in (then, now):
            parts.append((f"{word} {then}".strip(), f"{word} {now}".strip()))
    if not parts:
        return None
    then, now = map(", ".join, zip(*parts, strict=True))
    return f"it was built with {then}, and this machine has {now}"


def _driver(path: Path) -> str:
    """`NVRM version: NVIDIA UNIX ... Kernel Module  540.3.0  ...` -> `540.3.0`."""
    match = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", read_text(path) or "")
    return match[1] if match else UNKNOWN


def workspace_cap_mb(memory: Memory | None) -> int:
    """Scratch memory that TensorRT's kernels may ask for, MB: a quarter of what is available, 64 to 2048.

    A quarter, because on a Jetson the GPU's memory is the same memory, and weights, the kernels under trial and
    TensorRT's libraries take their share of it at the same time. The network's own kernels need little.
    """
    if memory is None:
        return _LEAST_MB * 4
    return max(_LEAST_MB, min(_MOST_MB, memory.available_mb // _SHARE))


def advice(memory: Memory | None) -> str | None:
    """Say what to do where a build may be killed for memory; None where there is enough."""
    if memory is None or memory.total_mb >= ADVISED_MB:
        return None
    return (
        f"{memory.available_mb} MB of memory and {memory.swap_mb} MB of swap are free, and building engines can take "
        f"{ADVISED_MB} MB: stop other programs (the desktop, too: sudo systemctl isolate multi-user), or add swap "
        f"({ADD_SWAP})"
    )


def ensure_enough(memory: Memory | None) -> None:
    """Raise EngineError where a build would be killed for memory."""
    if memory is not None and memory.total_mb < NEEDED_MB:
        raise EngineError(f"no engine is built: {advice(memory)}; then run emer-edge build again")


def check_lines(
    part: Path,
    plan: Path | None,
    can: Capabilities,
    *,
    shapes: Mapping[str, tuple[int, ...]],
    most: Mapping[str, float],
) -> tuple[str, ...]:
    """Lines for a shell by which NVIDIA's own tools check a plan: its time by trtexec, its outputs by polygraphy.

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
