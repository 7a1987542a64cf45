"""The sources of a run's markers, chosen by one word each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.markers.marker_log import MarkerSource
from emer_edge.runtime.say import Say

KEYS: Final = "keys"
LINES: Final = "lines"
NONE: Final = "none"
_LSL: Final = "lsl://"


def marker_sources(names: Sequence[str], say: Say, pace: str = "real") -> list[MarkerSource]:
    """Make the sources of a run.

    Args:
        names: each `keys` (the terminal's keyboard), `lines` (each line of stdin), `lsl://` or `lsl://NAME`; `none`
            alone for none at all. The keyboard is added when stdin is a terminal and `lines` does not read it.
        say: gets the keys, and when a stream comes and goes.
        pace: of the run; in a `fast` replay a marker has no time.

    Raises:
        ConfigurationError: an unknown name, `none` beside others, keys without a terminal, keys and lines at once, or
            any in a fast replay.
        MissingExtraError: an LSL stream without pylsl.
    """
    from emer_edge.runtime.markers.lsl_markers import LslMarkers
    from emer_edge.runtime.markers.stdin import Keyboard, Lines

    names = list(dict.fromkeys(names))
    if NONE in names:
        if len(names) > 1:
            raise ConfigurationError("--markers none goes with no other source of markers")
        return []
    if pace == "fast":
        if names:
            raise ConfigurationError("--markers needs --pace real: a fast replay has no now to mark")
        return []
    unknown = [name for name in names if name not in (KEYS, LINES) and not name.startswith(_LSL)]
    if unknown:
        raise ConfigurationError(
            f"can't take markers from {unknown[0]!r}; sources are keys, lines, lsl://, lsl://NAME and none"
        )
    if KEYS in names and LINES in names:
        raise ConfigurationError("--markers keys and --markers lines both read stdin; choose one")
    terminal = stdin_is_terminal()
    if KEYS in names and not terminal:
        raise ConfigurationError("--markers keys needs a terminal on stdin; a program writes to --markers lines")
    sources: list[MarkerSource] = []
    if terminal and LINES not in names:
        sources.append(Keyboard(sys.stdin.fileno(), say))
    if LINES in names:
        sources.append(Lines(sys.stdin.fileno(), say))
    return sources + [LslMarkers(name.removeprefix(_LSL), say) for name in names if name.startswith(_LSL)]


def stdin_is_terminal() -> bool:
    """Whether a person can type."""
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):  # no stdin, or one that is no file
        return False
