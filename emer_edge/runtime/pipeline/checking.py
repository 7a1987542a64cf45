"""Looking at what a run needs, without running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from emer_edge.errors import ConfigurationError, EmerEdgeError
from emer_edge.runtime.cameras.registry import check_camera
from emer_edge.runtime.engines import check_engine
from emer_edge.runtime.pipeline.streams import StreamSource
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.runtime.trackers.registry import check_tracker
from emer_edge.spec.samples import Display

__all__ = ["check_sources", "check_streams"]


def check_sources(camera: str, tracker: str, options: TrackerOptions, engine: str = "auto") -> None:
    """Look at a camera, a tracker and an engine: how they are written, whether they are there, what they need.

    Files are read; no device is opened, and nobody is connected to.

    Args:
        camera: as `open_camera` takes it.
        tracker: as `open_tracker` takes it.
        options: of the tracker; its pace is the camera's, too.
        engine: name of an engine, or `auto`.

    Raises:
        ConfigurationError: names all that is wrong, a line each.
    """
    _raise([*_source_problems(camera, tracker, options), *_engine_problems(engine)])


def check_streams(sources: Sequence[StreamSource], say: Say, engine: str = "auto") -> None:
    """Look at what several streams need, as `check_sources` does at one; each line names its stream."""
    problems: list[str] = []
    for each in sources:
        if isinstance(each.camera, str) and isinstance(each.tracker, str):
            options = TrackerOptions(display=each.display or Display(), offset_ms=each.offset_ms, say=say)
            found = _source_problems(each.camera, each.tracker, options)
            problems += [f"stream {each.name}: {problem}" for problem in found]
    problems += [f"two streams read {source}" for source in _shared(sources)]
    _raise([*problems, *_engine_problems(engine)])


def _shared(sources: Sequence[StreamSource]) -> list[str]:
    """Live sources that two streams would open; a file may be read twice."""
    texts = Counter(text for each in sources for text in (each.camera, each.tracker) if isinstance(text, str))
    return [text for text, count in texts.items() if count > 1 and not Path(text).is_file()]


def _source_problems(camera: str, tracker: str, options: TrackerOptions) -> list[str]:
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
    return problems


def _engine_problems(engine: str) -> list[str]:
    problems: list[str] = []
    _noted(problems, lambda: check_engine(engine))
    return problems


def _raise(problems: list[str]) -> None:
    if problems:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))


def _noted(problems: list[str], look: Callable[[], bool | None]) -> bool | None:
    try:
        return look()
    except EmerEdgeError as error:
        problems.append(str(error))
        return False
