"""How targets are shown: in a window that fills the display, or by telling where to look."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display
from emer_edge.core.secrets import seen_by_children
from emer_edge.data.images import import_cv2
from emer_edge.runtime.markers.marker_sources import stdin_is_terminal
from emer_edge.runtime.say import Say

PRESENTERS: Final = ("auto", "window", "terminal")

_TITLE: Final = "emer-edge: gaze validation"
_PROBE: Final = "import cv2; cv2.namedWindow('emer-edge', 0); cv2.waitKey(1); cv2.destroyAllWindows()"
_PROBE_S: Final = 20.0
_BACKGROUND: Final = 128  # grey as most stimuli on average, so that pupils need not change much
_POLL_S: Final = 0.1
_OPENING_S: Final = 3.0  # for a window manager to make a window fill the display
_SLACK_PX: Final = 4


class Presenter(ABC):
    """Shows one target after the other; `name` says how, for the record."""

    name: str

    def begin(self, display: Display) -> None:  # noqa: B027  (not every way needs to)
        """Get ready."""

    @abstractmethod
    def show(self, target_px: tuple[float, float], number: int, total: int, stopped: Callable[[], bool]) -> bool:
        """Show target `number` of `total`, from 1; return when it can be seen, false when `stopped` said so."""

    def refresh(self, share: float) -> None:  # noqa: B027
        """Called while a target is looked at: `share` of the settling is over, 0 to 1."""

    def end(self) -> None:  # noqa: B027
        """Show nothing any more; may be called without `begin`."""


class WindowPresenter(Presenter):
    """OpenCV's full-screen window; the display must be the one that the gaze refers to."""

    name = "window"

    def __init__(self) -> None:
        self._display = Display()
        self._target_px = (0.0, 0.0)
        self._cv2 = import_cv2()

    def begin(self, display: Display) -> None:
        """Open the window; raise ConfigurationError where it does not fill a display of this size."""
        self._display = display
        self._cv2.namedWindow(
            _TITLE, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_FREERATIO | self._cv2.WINDOW_GUI_NORMAL
        )
        self._cv2.resizeWindow(_TITLE, display.width_px, display.height_px)
        self._cv2.moveWindow(_TITLE, 0, 0)
        self._cv2.setWindowProperty(_TITLE, self._cv2.WND_PROP_FULLSCREEN, self._cv2.WINDOW_FULLSCREEN)
        blank = target_image((-display.height_px, 0), display)
        deadline_s = monotonic() + _OPENING_S
        while not self._fills() and monotonic() < deadline_s:
            self._cv2.imshow(_TITLE, blank)
            self._cv2.waitKey(20)
        if not self._fills():
            width, height = self._cv2.getWindowImageRect(_TITLE)[2:]
            raise ConfigurationError(
                f"the window with the targets is {width}x{height} px, the display {display.width_px}x"
                f"{display.height_px}: the gaze would seem to be off; say the display with --display, or use "
                "--validation-by terminal"
            )

    def _fills(self) -> bool:
        width, height = self._cv2.getWindowImageRect(_TITLE)[2:]
        off_px = max(abs(width - self._display.width_px), abs(height - self._display.height_px))
        return bool(off_px <= _SLACK_PX)

    def show(self, target_px: tuple[float, float], number: int, total: int, stopped: Callable[[], bool]) -> bool:
        """Draw the target."""
        self._target_px = target_px
        self.refresh(0.0)
        return not stopped()

    def refresh(self, share: float) -> None:
        """Draw the target as it shrinks, and let the window live."""
        self._cv2.imshow(_TITLE, target_image(self._target_px, self._display, share))
        self._cv2.waitKey(1)

    def end(self) -> None:
        """Close the window."""
        with contextlib.suppress(self._cv2.error):
            self._cv2.destroyWindow(_TITLE)
            self._cv2.waitKey(1)


class TerminalPresenter(Presenter):
    """Says where to look; the targets are on the lab's own stimulus display.

    Where stdin is a terminal, each target waits for Enter, so that they can be put up one by one; elsewhere they follow
    each other.
    """

    name = "terminal"

    def __init__(self, say: Say) -> None:
        self._say = say

    def show(self, target_px: tuple[float, float], number: int, total: int, stopped: Callable[[], bool]) -> bool:
        """Say where it is."""
        waits = stdin_is_terminal()
        then = "; press Enter while it is looked at" if waits else ""
        self._say(f"target {number} of {total}: look at x {target_px[0]:.0f}, y {target_px[1]:.0f} px{then}")
        while waits and not stopped():
            if select.select([sys.stdin.fileno()], [], [], _POLL_S)[0]:
                os.read(sys.stdin.fileno(), 4096)
                break
        return not stopped()


def presenter(kind: str, say: Say) -> Presenter:
    """Make a presenter.

    Args:
        kind: `window`, `terminal`, or `auto`: a window where one can be opened.
        say: for `terminal`.

    Raises:
        ConfigurationError: another kind, or a window where none can be opened.
    """
    if kind not in PRESENTERS:
        raise ConfigurationError(f"targets are shown by {', '.join(PRESENTERS)}, not by {kind!r}")
    if kind == "terminal" or (kind == "auto" and not has_window()):
        return TerminalPresenter(say)
    if kind == "window" and not has_window():
        raise ConfigurationError(
            "no window can be opened here (no display, or an OpenCV without windows): use --validation-by terminal "
            "and show the targets on the stimulus display"
        )
    return WindowPresenter()


def has_window() -> bool:
    """Whether OpenCV can open a window; tried in another process, which a display that refuses would abort."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, timeout=_PROBE_S, env=seen_by_children()
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def target_image(target_px: tuple[float, float], display: Display, share: float = 0.0) -> NDArray[np.uint8]:
    """Draw a target: a black ring that shrinks around a white dot, on grey.

    Args:
        target_px: its middle, display pixels.
        display: its size is the image's.
        share: 0 to 1: how far the ring has shrunk.

    Returns:
        (height, width, 3) uint8.
    """
    image = np.full((display.height_px, display.width_px, 3), _BACKGROUND, np.uint8)
    middle = (round(target_px[0]), round(target_px[1]))
    cv2 = import_cv2()
    degree_px = display.height_px / 27  # about, on a desktop display at 60 cm
    cv2.circle(image, middle, round(degree_px * (1.0 - 0.6 * share)), (0, 0, 0), -1, cv2.LINE_AA)
    cv2.circle(image, middle, max(2, round(degree_px * 0.12)), (255, 255, 255), -1, cv2.LINE_AA)
    return image
