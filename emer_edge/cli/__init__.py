"""The command line: one short file per command, which parses, calls one function, and prints.

Text for people goes to stderr, data to stdout. A user's mistake is one message and exit code 2, a failed gate exit
code 1, and no traceback for either.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run `emer-edge` with the process's arguments."""
    from emer_edge.core.leaving import Leaving

    with Leaving(_crashes):
        from emer_edge.cli.app import main as run

        run()


def _crashes() -> bool:
    """Whether an engine that may have been loaded crashes at the end, or is still at work."""
    if "numpy" not in sys.modules:  # which every engine needs
        return False
    from emer_edge.runtime.engines.base import LEFT_BEHIND
    from emer_edge.runtime.engines.onnxruntime_engine import crashes_at_exit

    return bool(LEFT_BEHIND) or crashes_at_exit()
