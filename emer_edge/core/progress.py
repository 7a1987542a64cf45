"""Progress of long work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with a label, the number of steps done and the total."""


def silent(label: str, done: int, total: int) -> None:
    """Print nothing: the default progress."""
