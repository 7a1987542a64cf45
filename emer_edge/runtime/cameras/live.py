"""A live camera: a capture process that is watched, and replaced when its camera hangs, freezes, blackens or goes.

The process reads as fast as images come, so that the newest image is always the one that is taken; those that nobody
took are counted. What a driver gives twice is not given twice. A camera in trouble is said once and left out until it
is well again; meanwhile a new process tries it, with growing pauses. Nothing here waits in a driver.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError
from emer_edge.core.samples import Frame
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import Camera
from emer_edge.runtime.cameras.capture_process import CaptureProcess
from emer_edge.runtime.cameras.capture_records import Flags, Kind, Record
from emer_edge.runtime.cameras.grabber import BLACK_LEVEL, Target, is_repeat
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say, say_to_log


@dataclass(frozen=True)
class Patience:
    """How long a live camera is waited for, in seconds.

    Attributes:
        open_s: from the start of a process to its first image.
        silent_s: from one image to the next.
        frozen_s: of one and the same image.
        black_s: of nothing but black.
        pauses_s: before a lost camera is tried again: the first pause and the longest; each is twice the one before.
        black_pauses_s: the same where the camera is black: more often than not its lens is covered.
        settled_s: of images until the pauses start anew.
    """

    open_s: float = 10.0
    silent_s: float = 2.0
    frozen_s: float = 2.0
    black_s: float = 2.0
    pauses_s: tuple[float, float] = (0.25, 5.0)
    black_pauses_s: tuple[float, float] = (2.0, 30.0)
    settled_s: float = 3.0


_FEWEST_REPEATS: Final = 10
_ABSENT_POLL_S: Final = 0.25


class LiveCapture(Camera):
    """A live camera; made by `open_camera`.

    Args:
        address: what to capture.
        target: where the process finds it, and whether it is there at all.
        say: told in a sentence when the camera is lost and when it is back.
        patience: see there.
        originals: whether frames bring along the JPEGs of a camera that sends such.

    Raises:
        CameraError: it can't be opened, or gives no image in time.

    Attributes:
        repeats: images that were the one before once more; never yielded.
        losses: how often the camera was lost.
    """

    live = True

    def __init__(
        self,
        address: Address,
        target: Target,
        say: Say = say_to_log,
        *,
        patience: Patience | None = None,
        originals: bool = False,
    ) -> None:
        self.source = address.name
        self.dropped = 0
        self.repeats = 0
        self.losses = 0
        self._say = say
        self._target = target
        self._patience = patience or Patience()
        self._originals = originals
        self._fps = 0.0
        self._size_px = (0, 0)
        self._mode = ""
        self._clock = "arrival"
        self._trouble: str | None = None
        self._lost_ns = 0
        self._tried_s: float | None = None  # the last pause
        self._next_index = 0
        self._first_index = 0
        self._last_stamp_ns = -1
        self._heard_ns = self._started_ns = monotonic_ns()
        self._repeated_ns: int | None = None
        self._black_ns: int | None = None
        self._repeated = 0
        self._opened = False
        self._ready: list[Record] = []
        self._last_image: NDArray[np.uint8] | None = None
        self._closed = threading.Event()
        self._wake, self._waker = os.pipe()
        self._closing = threading.Lock()
        self._lock = threading.Lock()  # of the channels, between the reader and `close`
        self._process: CaptureProcess | None = None
        try:
            self._process = CaptureProcess(self._target.text, self._originals)
            self._await_opening()
        except BaseException:
            self.close()
            raise

    @property
    def fps(self) -> float:
        """Rate that the device states, 0 where it states none."""
        return self._fps

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of a frame."""
        return self._size_px

    @property
    def clock(self) -> str:
        """Clock of the newest frame's stamp."""
        return self._clock

    @property
    def trouble(self) -> str | None:
        """What is wrong with the camera now, or None."""
        return self._trouble

    @property
    def pid(self) -> int | None:
        """Number of the capture process, None while the camera is lost."""
        process = self._process
        return None if process is None else process.pid

    @property
    def description(self) -> str:
        """One line for people: what was opened, and what was agreed with the device."""
        return f"{super().description}{f': {self._mode}' if self._mode else ''}"

    def __next__(self) -> Frame:
        with self._lock:
            while not self._closed.is_set():
                frame = self._advance()
                if frame is not None:
                    return frame
            raise StopIteration

    def close(self) -> None:
        """End the capture process and let the device go."""
        with self._closing:
            if not self._closed.is_set():
                self._closed.set()
                os.write(self._waker, b"!")  # never read: whoever waits is woken for good
        with self._lock:
            self._drop_process()
            for descriptor in (self._wake, self._waker):
                if descriptor >= 0:
                    os.close(descriptor)
            self._wake = self._waker = -1

    def _await_opening(self) -> None:
        """Wait for the first image, which stays ready for the first `__next__`."""
        assert self._process is not None
        while not self._opened:
            left_s = self._patience.open_s - (monotonic_ns() - self._started_ns) / NANOSECONDS
            if left_s <= 0:
                raise CameraError(f"{self.source} gave no image within {self._patience.open_s:g} s; is it in use?")
            self._ready += self._heard(self._process.receive(left_s, self._wake))
            if self._process.over and not self._opened:
                raise CameraError(f"{self.source} can't be opened: {self._process.ending()}")

    def _heard(self, records: Sequence[Record]) -> list[Record]:
        """Take note of what is no image and return the images; raise CameraError where the process has failed."""
        images = []
        for record in records:
            if record.kind is Kind.FAILED:
                raise CameraError(record.text["error"])
            if record.kind is Kind.OPENED:
                text = record.text
                self._fps, self._size_px, self._mode = text["fps"], (text["size"][0], text["size"][1]), text["mode"]
                self._clock = text["clock"]
                self._opened = True
                self._first_index = self._next_index
            else:
                images.append(record)
        return images

    def _advance(self) -> Frame | None:
        """Do what is due next: wait for images, or for the time to try a lost camera again."""
        if self._process is None:
            self._retry()
            return None
        patience_s = self._patience.silent_s if self._opened else self._patience.open_s
        left_s = patience_s - (monotonic_ns() - self._heard_ns) / NANOSECONDS
        try:
            images, self._ready = self._ready, []
            images = images or self._heard(self._process.receive(left_s, self._wake))
        except CameraError as error:
            self._lose(str(error))
            return None
        if images:
            self._heard_ns = monotonic_ns()
            return self._newest(images)
        if self._process.over:
            self._lose(f"{self.source}: {self._process.ending()}")
        elif left_s <= 0 and not self._closed.is_set():
            what = "has sent no frame" if self._opened else "has given no image"
            self._lose(f"{self.source} {what} for {patience_s:g} s; is it still plugged in, or does its driver hang?")
        return None

    def _newest(self, images: list[Record]) -> Frame | None:
        """The newest image that is no repeat and, from a camera in trouble, not black."""
        assert self._process is not None
        self._judge(images)
        fit = [each for each in images if not each.flags & Flags.REPEAT]
        if self._trouble is not None:
            fit = [each for each in fit if not each.flags & Flags.BLACK]
        self.repeats += sum(bool(each.flags & Flags.REPEAT) for each in images)
        self._next_index = self._first_index + images[-1].number + 1
        if self._doomed(images[-1]):
            return None
        if not fit:
            return None
        record = fit[-1]
        image, original = self._process.image(record), self._process.original(record)
        if image is None:  # overwritten while it was copied: a newer one is there
            self.dropped += len(fit)
            return None
        if record.number == 0 and is_repeat(image, self._last_image):  # frozen before it was lost, and still
            self.repeats += 1
            return None
        self._last_image = image
        self.dropped += len(fit) - 1
        return self._frame(record, image, original)

    def _judge(self, images: list[Record]) -> None:
        """Note since when the camera has been repeating itself, and since when it has been black."""
        for each in images:
            if not each.flags & Flags.REPEAT:
                self._repeated_ns, self._repeated = None, 0
            else:
                self._repeated += 1
                if self._repeated_ns is None:
                    self._repeated_ns = each.stamp_ns
            if not each.flags & Flags.BLACK:
                self._black_ns = None
            elif self._black_ns is None:
                self._black_ns = each.stamp_ns

    def _doomed(self, last: Record) -> bool:
        """Give the camera up where it has been black or frozen for too long; black is said first: it is both."""
        black_s, frozen_s = (
            0.0 if since_ns is None else (last.stamp_ns - since_ns) / NANOSECONDS
            for since_ns in (self._black_ns, self._repeated_ns)
        )
        if black_s >= self._patience.black_s:
            self._lose(
                f"{self.source} gives only black (levels up to {BLACK_LEVEL} of 255) for {black_s:.1f} s; "
                "is its lens covered, or the room dark?",
                self._patience.black_pauses_s,
            )
            return True
        if frozen_s >= self._patience.frozen_s and self._repeated >= _FEWEST_REPEATS:
            self._lose(f"{self.source} is frozen: the very same image for {frozen_s:.1f} s")
            return True
        return False

    def _frame(self, record: Record, image: NDArray[np.uint8], original: bytes | None) -> Frame:
        now_ns = monotonic_ns()
        if self._trouble is not None:
            self._say(f"{self.source} is back after {(now_ns - self._lost_ns) / NANOSECONDS:.1f} s")
            self._trouble = None
        elif self._tried_s is not None and now_ns - self._started_ns > self._patience.settled_s * NANOSECONDS:
            self._tried_s = None
        self._last_stamp_ns = max(record.stamp_ns, self._last_stamp_ns + 1)
        self._clock = record.clock
        index = self._first_index + record.number
        return Frame(index, image, self._last_stamp_ns, now_ns, clock=record.clock, original=original)

    def _lose(self, why: str, pauses_s: tuple[float, float] | None = None) -> None:
        """End the process, say why once, and set the time of the next try."""
        first_s, longest_s = pauses_s or self._patience.pauses_s
        self._drop_process()
        self._tried_s = min(longest_s, max(first_s, 2 * (self._tried_s or 0.0)))
        said, self._trouble = self._trouble is not None, why
        if not said:
            self.losses += 1
            self._lost_ns = monotonic_ns()
            self._say(f"lost the camera: {why}; trying to open it again")

    def _retry(self) -> None:
        """Wait for the pause to end and for the device to be there, then start a new process."""
        if self._closed.wait(self._tried_s or 0.0):
            return
        while not self._target.present():
            if self._closed.wait(_ABSENT_POLL_S):
                return
        self._started_ns = self._heard_ns = monotonic_ns()
        self._repeated_ns = self._black_ns = None
        self._repeated = 0
        self._opened = False
        try:
            self._process = CaptureProcess(self._target.text, self._originals)
        except CameraError as error:
            self._lose(str(error))

    def _drop_process(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
        self._ready = []
