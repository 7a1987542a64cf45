"""LSL streams as other programs send them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest

__all__ = ["Outlet", "unique"]


def unique(name: str) -> str:
    """A stream's name that no other test has."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


class Outlet:
    """One stream, until `close`; whoever still holds this object then keeps nothing open.

    Args:
        name: of the stream.
        type: of the stream.
        labels: one a channel.
        unit: of all channels.
        rate_hz: nominal rate, 0 for none.
        text: whether it sends text instead of numbers.
    """

    def __init__(
        self,
        name: str,
        type: str = "Gaze",  # noqa: A002
        labels: str = "x y",
        unit: str = "",
        rate_hz: float = 100.0,
        text: bool = False,
    ) -> None:
        self.pylsl = pytest.importorskip("pylsl", reason="pylsl (extra lsl) is not installed")
        self.name = name
        count, kind = len(labels.split()), self.pylsl.cf_string if text else self.pylsl.cf_double64
        info = self.pylsl.StreamInfo(name, type, count, rate_hz, kind, unique(name))
        channels = info.desc().append_child("channels")
        for label in labels.split():
            node = channels.append_child("channel")
            node.append_child_value("label", label)
            node.append_child_value("unit", unit)
        self._outlet: Any = self.pylsl.StreamOutlet(info)

    def ready(self) -> bool:
        """Wait until somebody listens."""
        return bool(self._outlet.wait_for_consumers(20.0))

    def push(self, values: Sequence[Any], stamp_s: float) -> None:
        """Send a sample with a stamp."""
        self._outlet.push_sample(values, stamp_s)

    def close(self) -> None:
        """Take the stream off the network."""
        self._outlet = None
