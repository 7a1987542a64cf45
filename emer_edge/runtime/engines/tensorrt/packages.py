"""NVIDIA's two packages, and everything that differs between their versions in one table."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Literal

from emer_edge.errors import ConfigurationError, EngineError

__all__ = ["PACKAGES", "Capabilities", "Toolkit", "find_tensorrt", "load_toolkit", "probe"]

PACKAGES: Final = ("tensorrt", "tensorrt_rtx")
"""In order of preference: the one that a board runs, the one that any machine can check with."""

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
            follows the graph's types when asked to; `strong` always does, and has no FP16 or INT8 flag.
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
    def told(self) -> str:
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
        """Forget earlier errors, before a step whose own are wanted."""
        self.logger.errors.clear()

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
            "environments need --system-site-packages), elsewhere: pip install 'emer-edge[rtx]'"
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
    typing: Typing = "weak"
    if not hasattr(trt.BuilderFlag, "FP16"):
        typing = "strong"
    elif strong is not None:
        typing = "strong by flag"
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
            sorted((each for each in capabilities.__members__ if each.startswith("SM")), key=lambda name: int(name[2:]))
        )
        if capabilities is not None
        else (),
    )


def _listener(trt: Any) -> Any:
    severe = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

    class Listener(trt.ILogger):  # type: ignore[misc]
        """Keeps the last errors instead of printing them."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, message: str) -> None:
            if severity in severe:
                self.errors.append(message)

    return Listener()
