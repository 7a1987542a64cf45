"""A live camera: a capture process that is watched, and replaced when its camera hangs, freezes, blacks out or is lost.

The process reads as fast as images come, so that a slow reader gets the newest ones; skipped images are counted, and
repeated ones are dropped. Images travel as the camera sends them, and are converted by whoever looks at them first.
Trouble with a camera is reported once, and no frames come until it is over; meanwhile a new process tries to open it,
with growing pauses. Nothing here waits in a driver.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError
from emer_edge.core.samples import Frame
from emer_edge.core.secrets import named
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import Camera
from emer_edge.runtime.cameras.grabber import Target
from emer_edge.runtime.cameras.sent import BLACK_LEVEL, SentImage, is_black
from emer_edge.runtime.capture.image_ring import RingReader
from emer_edge.runtime.capture.records import Flags, Kind, Record, Records
from emer_edge.runtime.child_process import GENTLE_S, ChildProcess
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say, say_to_log


@dataclass(frozen=True)
class Patience:
    """Time limits of a live camera, in seconds.

    Attributes:
        open_s: from the start of a process to its first image.
        silent_s: from one image to the next.
        frozen_s: of one and the same image.
        black_s: of nothing but black.
        pauses_s: first and longest pause before a lost camera is tried again; each is twice the one before.
        black_pauses_s: the same for a black camera, whose lens is usually covered.
        settled_s: of images until the pauses start again at the first.
    """

    open_s: float = 10.0
    silent_s: float = 2.0
    frozen_s: float = 2.0
    black_s: float = 2.0
    pauses_s: tuple[float, float] = (0.25, 5.0)
    black_pauses_s: tuple[float, float] = (2.0, 30.0)
    settled_s: float = 3.0


_READ_BYTES: Final = 1 << 16
_FEWEST_REPEATS: Final = 10
_ABSENT_POLL_S: Final = 0.25
_KEPT: Final = 4  # images that wait for a reader that comes late; more would only make them older
_LOOKED_NS: Final = NANOSECONDS // 2  # as long nobody has looked at an image: then one is looked at, as it may be black
_CHILD: Final = "emer_edge.runtime.capture.child"


class CaptureProcess:
    """A capture process and its two channels.

    Args:
        target: what it opens.

    Raises:
        CameraError: the system can't start it.

    Attributes:
        over: whether it has closed its end of the pipe.
        pid: its process number.
    """

    def __init__(self, target: Target) -> None:
        self.over = False
        names = named(target.text)
        try:
            self._child = ChildProcess(_CHILD, target.text, target.light, memory="camera", names=names, end_s=GENTLE_S)
        except OSError as error:
            raise CameraError(f"can't start the capture process for {target.text}: {error}") from error
        os.set_blocking(self._child.pipe, False)
        self._records = Records()
        self._reader = RingReader(self._child.memory)
        self.pid = self._child.pid

    def receive(self, wait_s: float, wake: int) -> list[Record]:
        """Records that have come; wait at most so long for the first, or until `wake` is readable."""
        poll = select.poll()
        poll.register(self._child.pipe, select.POLLIN)
        poll.register(wake, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, 1000 * wait_s))]
        if self._child.pipe not in ready:
            return []
        data = os.read(self._child.pipe, _READ_BYTES)
        self.over = not data
        return self._records.feed(data)

    def image(self, record: Record, seen: Callable[[NDArray[np.uint8]], None]) -> SentImage | None:
        """A copy of the image that a record announces, or None where it has been overwritten meanwhile."""
        data = self._reader.copy(record.number, record.slot_bytes, record.size)
        return None if data is None else SentImage(data, record.coding, record.height, record.width, seen=seen)

    def ending(self) -> str:
        """How it ended, for a sentence."""
        return f"its capture process {self._child.ending()}"

    def close(self) -> None:
        """End it with all that it has started, and free the channels; may be called twice."""
        self._child.close()


class LiveCapture(Camera):
    """A live camera; made by `open_camera`.

    Args:
        address: what to capture.
        target: where the process finds it, and whether it is there at all.
        say: takes a sentence when the camera is lost and when it is back.
        patience: time limits.

    Raises:
        CameraError: it can't be opened, or gives no image in time.

    Attributes:
        repeats: images that equalled the one before; never yielded.
        losses: how often the camera was lost.
        idle_ns: host time -> for how long images may wait to be taken together; None: each is taken as it comes.
    """

    live = True
    idle_ns: Callable[[int], int] | None = None

    def __init__(
        self,
        address: Address,
        target: Target,
        say: Say = say_to_log,
        *,
        patience: Patience | None = None,
    ) -> None:
        self.source = address.name
        self.fps, self.size_px, self.clock = 0.0, (0, 0), "arrival"
        self.repeats = 0
        self._say = say
        self._target = target
        self._patience = patience or Patience()
        self._mode = ""
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
        self._early: list[Record] = []  # images that came while it opened
        self._ready: list[Record] = []  # images that were judged
        self._fresh = True  # no image of this process was yielded yet
        self._last: SentImage | None = None
        self._looked = (0, False)  # when an image was looked at last, and whether it was black
        self._closed = threading.Event()
        self._wake, self._waker = os.pipe()
        self._closing = threading.Lock()
        self._lock = threading.Lock()  # of the channels, between the reader and `close`
        self._process: CaptureProcess | None = None
        try:
            self._process = CaptureProcess(self._target)
            self._await_opening()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """Number of the capture process; None while the camera is lost."""
        process = self._process
        return None if process is None else process.pid

    @property
    def description(self) -> str:
        """What was opened, and what was agreed with the device, in one line."""
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
                raise CameraError(
                    f"{self.source} gave no image within {self._patience.open_s:g} s; {self._target.stuck}"
                )
            self._early += self._images(self._process.receive(left_s, self._wake))
            if self._process.over and not self._opened:
                raise CameraError(f"{self.source} can't be opened: {self._process.ending()}")

    def _images(self, records: Sequence[Record]) -> list[Record]:
        """Handle records that are no images and return the images; raise CameraError where the process has failed."""
        images = []
        for record in records:
            if record.kind is Kind.FAILED:
                raise CameraError(record.text["error"])
            if record.kind is Kind.OPENED:
                self.fps, (width, height), self._mode, self.clock = (
                    record.text[key] for key in ("fps", "size", "mode", "clock")
                )
                self.size_px = (width, height)
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
        if self._opened and self._ready:
            return self._next(self._ready.pop(0))
        if self.idle_ns is not None and self._opened and (idle_ns := self.idle_ns(monotonic_ns())) > 0:
            self._closed.wait(idle_ns / NANOSECONDS)
        patience_s = self._patience.silent_s if self._opened else self._patience.open_s
        left_s = patience_s - (monotonic_ns() - self._heard_ns) / NANOSECONDS
        try:
            images = self._early or self._images(self._process.receive(left_s, self._wake))
        except CameraError as error:
            self._lose(str(error))
            return None
        self._early = []
        if images:
            self._heard_ns = monotonic_ns()
            self._take(images)
        elif self._process.over:
            self._lose(f"{self.source}: {self._process.ending()}")
        elif left_s <= 0 and not self._closed.is_set():
            what = "has sent no frame" if self._opened else "has given no image"
            self._lose(f"{self.source} {what} for {patience_s:g} s; {self._target.stuck}")
        return None

    def _take(self, images: list[Record]) -> None:
        """Judge the camera by new images, and have the newest that are no repeats wait for `__next__`."""
        self._judge(images)
        fit = [image for image in images if not image.flags & Flags.REPEAT]
        self.repeats += len(images) - len(fit)
        last = images[-1].number
        self.dropped += last + 1 - (self._next_index - self._first_index) - len(images)  # damaged ones have no record
        self._next_index = self._first_index + last + 1
        if not self._doomed(images[-1]):
            self.dropped += max(0, len(fit) - _KEPT)
            self._ready = fit[-_KEPT:]

    def _next(self, record: Record) -> Frame | None:
        """The frame of an image, unless it is gone, no news, or black and the camera is in trouble."""
        assert self._process is not None
        image = self._process.image(record, self._seen)
        if image is None:  # overwritten while it waited: newer ones are there
            self.dropped += 1
            return None
        if self._fresh and image.equals(self._last):  # frozen before it was lost, and still
            self.repeats += 1
            return None
        if self.trouble is not None and self._is_black(image):
            return None
        self._fresh, self._last = False, image
        return self._frame(record, image)

    def _seen(self, image: NDArray[np.uint8]) -> None:
        self._looked = (monotonic_ns(), is_black(image))

    def _is_black(self, image: SentImage) -> bool:
        """Look at an image, and say whether it is black; one that is damaged is not."""
        try:
            image.image  # noqa: B018
        except CameraError:
            return False
        return self._looked[1]

    def _judge(self, images: list[Record]) -> None:
        """Note since when the camera has been repeating itself, and since when it has been black."""
        assert self._process is not None
        for image in images:
            if not image.flags & Flags.REPEAT:
                self._repeated_ns, self._repeated = None, 0
            else:
                self._repeated += 1
                if self._repeated_ns is None:
                    self._repeated_ns = image.stamp_ns
        newest = images[-1]
        if monotonic_ns() - self._looked[0] > _LOOKED_NS or self._black_s(newest) >= self._patience.black_s:
            looked = self._process.image(newest, self._seen)
            if looked is not None:
                self._is_black(looked)
        if not self._looked[1]:
            self._black_ns = None
        elif self._black_ns is None:
            self._black_ns = newest.stamp_ns

    def _black_s(self, last: Record) -> float:
        return 0.0 if self._black_ns is None else (last.stamp_ns - self._black_ns) / NANOSECONDS

    def _doomed(self, last: Record) -> bool:
        """Give the camera up where it has been black or frozen for too long; a black one is both: reported as black."""
        black_s = self._black_s(last)
        frozen_s = 0.0 if self._repeated_ns is None else (last.stamp_ns - self._repeated_ns) / NANOSECONDS
        frozen = frozen_s >= self._patience.frozen_s and self._repeated >= _FEWEST_REPEATS
        unseen_s = (monotonic_ns() - max(self._looked[0], self._started_ns)) / NANOSECONDS
        if black_s >= self._patience.black_s or (frozen and self._looked[1]):
            self._lose(
                f"{self.source} gives only black (levels up to {BLACK_LEVEL} of 255) for {max(black_s, frozen_s):.1f} "
                "s; is its lens covered, or the room dark?",
                self._patience.black_pauses_s,
            )
        elif frozen:
            self._lose(f"{self.source} is frozen: the very same image for {frozen_s:.1f} s")
        elif unseen_s >= self._patience.open_s:
            self._lose(f"{self.source} sends images that can't be decoded")
        else:
            return False
        return True

    def _frame(self, record: Record, image: SentImage) -> Frame:
        now_ns = monotonic_ns()
        if self.trouble is not None:
            self._say(f"{self.source} is back after {(now_ns - self._lost_ns) / NANOSECONDS:.1f} s")
            self.trouble = None
        elif self._tried_s is not None and now_ns - self._started_ns > self._patience.settled_s * NANOSECONDS:
            self._tried_s = None
        self._last_stamp_ns = max(record.stamp_ns, self._last_stamp_ns + 1)
        self.clock, self.lag_ns = record.clock, int(record.text.get("lag_ns", 0))
        index = self._first_index + record.number
        return Frame(index, image, self._last_stamp_ns, now_ns, clock=record.clock)

    def _lose(self, why: str, pauses_s: tuple[float, float] | None = None) -> None:
        """End the process, say why once, and set the pause before the next try."""
        first_s, longest_s = pauses_s or self._patience.pauses_s
        self._drop_process()
        self._tried_s = min(longest_s, max(first_s, 2 * (self._tried_s or 0.0)))
        known, self.trouble = self.trouble is not None, why
        if not known:
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
        self._opened, self._fresh, self._looked = False, True, (0, False)
        try:
            self._process = CaptureProcess(self._target)
        except CameraError as error:
            self._lose(str(error))

    def _drop_process(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
        self._early, self._ready = [], []
