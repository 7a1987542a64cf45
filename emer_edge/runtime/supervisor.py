"""Telling systemd that a service is ready, alive, or ending: the protocol of sd_notify(3), a datagram a message.

Without `NOTIFY_SOCKET` in the environment, so outside of a service of `Type=notify`, nothing is done.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from time import monotonic
from typing import Final

_EVERY_S: Final = 1.0


class Supervisor:
    """Whoever started this process and wants to hear from it.

    Args:
        environment: holds `NOTIFY_SOCKET`, a path, or a name of Linux's abstract sockets after `@`.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._told_s: float | None = None

    def ready(self, status: str) -> None:
        """The service has started; `status` is a line for people."""
        self._tell(f"READY=1\nSTATUS={' '.join(status.split())}")

    def alive(self) -> None:
        """The service does its work; called as often as it likes, told once a second."""
        now_s = monotonic()
        if self._told_s is None or now_s - self._told_s >= _EVERY_S:
            self._told_s = now_s
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is ending."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
                peer.setblocking(False)  # a supervisor that does not read must not hold up the run
                peer.sendto(message.encode(), self._address)
        except OSError:
            return  # it hears nothing, and acts on that
