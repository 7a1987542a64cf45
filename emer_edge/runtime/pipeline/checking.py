"""Looking at what a run needs, without running."""

from __future__ import annotations

from collections.abc import Callable

from emer_edge.errors import ConfigurationError, EmerEdgeError
from emer_edge.runtime.cameras.registry import check_camera
from emer_edge.runtime.engines import resolve_engine, tensorrt_engine
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.runtime.trackers.registry import check_tracker

__all__ = ["check_sources"]


def check_sources(camera: str, tracker: str, options: TrackerOptions, engine: str = "auto") -> None:
    """Look at a camera, a tracker and an engine: how they are written, whether they are there, what they need.

    Files are read; no device is opened, and nobody is connected to.

    Args:
        camera: as `open_camera` takes it.
        tracker: as `open_tracker` takes it.
        options: of the tracker; its pace is the camera's, too.
        engine: `onnxruntime`, `tensorrt`, or `auto`.

    Raises:
        ConfigurationError: names all that is wrong, a line each.
    """
    problems: list[str] = []
    live = [
        name
        for name, is_live in (
            ("camera", _noted(problems, lambda: check_camera(camera, options.pace))),
            ("tracker", _noted(problems, lambda: check_tracker(tracker, options))),
        )
        if is_live
    ]
    if options.pace == "fast" and live:
        problems.append(f"--pace fast replays files; live: {' and '.join(live)}. Use --pace real")
    name = _noted(problems, lambda: resolve_engine(engine))
    if name == tensorrt_engine.NAME and (reason := tensorrt_engine.why_not()) is not None:
        problems.append(f"the engine {name} can't run here: {reason}")
    if problems:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))


def _noted(problems: list[str], look: Callable[[], bool | str]) -> bool | str:
    try:
        return look()
    except EmerEdgeError as error:
        problems.append(str(error))
        return False
