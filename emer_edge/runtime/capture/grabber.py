"""The base class of live cameras inside the capture process, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emer_edge.core.window import NANOSECONDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TRUSTED_NS: Final = NANOSECONDS


@dataclass(frozen=True, eq=False, slots=True)
class Grab:
    """One image.

    Attributes:
        image: (H, W, 3) uint8, B, G, R; the buffer given to `Grabber.read` where the driver could fill it. Or the bytes
            of a JPEG, as the camera has sent it: whoever looks at the image decodes it, nobody where nobody looks.
        stamp_ns: when it was taken, as far as `clock` knows.
        clock: `capture`, `arrival` or `stream`.
    """

    image: NDArray[np.uint8] | bytes
    stamp_ns: int
    clock: str


class Grabber(ABC):
    """Reads images one by one; lives in a process of its own and may hang there.

    Attributes:
        fps: rate that the device states, 0 where it states none.
        mode: what was agreed with the device, for messages; empty where nothing was.
        lag_ns: how much later than at first images come, beyond what their stamps tell.
    """

    fps: float = 0.0
    mode: str = ""
    lag_ns: int = 0

    @abstractmethod
    def read(self, into: NDArray[np.uint8] | None) -> Grab:
        """Wait for the next image.

        Args:
            into: (H, W, 3) uint8 of the last image's size; filling it spares a copy.

        Raises:
            CameraError: there are no more.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the device go."""


def frame_stamp(position_ms: float, arrival_ns: int) -> tuple[int, str]:
    """Return a live frame's stamp and its clock.

    Args:
        position_ms: CAP_PROP_POS_MSEC: with V4L2 the capture time on the monotonic clock, with other back ends a media
            time, 0 or -1; it counts only where it lies within one second before the arrival.
        arrival_ns: when the frame was read.
    """
    capture_ns = round(position_ms * 1e6) if abs(position_ms) < 1e15 else 0  # also false for NaN
    if capture_ns > 0 and abs(arrival_ns - capture_ns) <= _TRUSTED_NS:
        return min(capture_ns, arrival_ns), "capture"
    return arrival_ns, "arrival"
