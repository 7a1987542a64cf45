"""The engines, and which of them runs a bundle here.

An engine of one's own is a file with an `EngineDriver` and a line in `ENGINES`, or, in another package, an entry point
of the group `emer_edge.engines` that names one.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Final

from emer_edge.bundle import Part
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.packages import with_plugins
from emer_edge.core.progress import Progress, silent
from emer_edge.runtime.engines import onnxruntime_engine
from emer_edge.runtime.engines.base import Engine, EngineDriver
from emer_edge.runtime.engines.tensorrt import engine as tensorrt_engine

ENGINES: Final = (onnxruntime_engine.DRIVER, tensorrt_engine.DRIVER)
_RANK: Final = attrgetter("rank")
CPU_ENGINE: Final = onnxruntime_engine.DRIVER.name
"""The engine that runs on every machine, on its CPU."""


def engines() -> dict[str, EngineDriver]:
    """Name -> engine: our own, then those of other packages."""
    return with_plugins("emer_edge.engines", ENGINES, EngineDriver)


def resolve_engine(name: str) -> EngineDriver:
    """Find an engine by its name; `auto` is the best one that runs here.

    Why a better one does not is logged, as a warning where its package is installed and something beside it is missing.

    Raises:
        ConfigurationError: no engine has that name.
    """
    known = engines()
    if name != "auto":
        if name not in known:
            *others, last = known
            raise ConfigurationError(f"no engine is called {name!r}; choose auto, {', '.join(others)} or {last}")
        return known[name]
    ranked = sorted(filter(_RANK, known.values()), key=_RANK, reverse=True)
    lacks: list[tuple[EngineDriver, str]] = []
    for driver in ranked:
        reason = driver.why_not()
        if reason is None:
            break
        lacks.append((driver, reason))
    else:
        driver = known[CPU_ENGINE]  # whose own error says what is missing
    for better, reason in lacks:
        if better is not driver:
            level = logging.WARNING if find_spec(better.package) is not None else logging.INFO
            message = f"{driver.title} is used: {better.title} can't run here, as {reason}"
            logging.getLogger("emer_edge").log(level, message)
    return driver


def check_engine(name: str) -> None:
    """Raise ConfigurationError unless an engine has that name, or `auto`, and can run here."""
    driver = resolve_engine(name)
    reason = driver.why_not()
    if reason is not None:
        raise ConfigurationError(f"the engine {driver.name} can't run here: {reason}")


def open_engine(name: str, part: Part | Path, threads: int = 1, progress: Progress = silent) -> Engine:
    """Load an ONNX part.

    Args:
        name: of an engine, or `auto`.
        part: the part, or a file that was made here.
        threads: intra-op threads of CPU engines.
        progress: reports the building of an engine, which TensorRT does once per machine.

    Raises:
        ConfigurationError: no engine has that name, or fewer than one thread.
        EngineError: the engine is unavailable or refuses the part.
        OSError: the file can't be read.
        MissingExtraError: the engine needs a package that is not installed.
    """
    if threads < 1:
        raise ConfigurationError(f"an engine needs 1 thread or more, not {threads}")
    return resolve_engine(name).open(Part.of(part), threads, progress)
