"""One sentence at a time for whoever watches a run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from emer_edge.core.public_text import public

Say = Callable[[str], None]
"""Takes one sentence for the person who watches the run: a sensor lost, found again, or silent."""


def say_to_log(sentence: str) -> None:
    """The default `Say`: a warning of the logger `emer_edge`."""
    logging.getLogger("emer_edge").warning(public(sentence))
