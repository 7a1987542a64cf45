"""How long work tells whoever waits how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with a label, the number of steps done and the number of steps in all."""


def silent(label: str, done: int, total: int) -> None:
    """Say nothing: the default progress."""
