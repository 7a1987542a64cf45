"""The command line: one short file per command, which parses, calls one function, and prints.

Text for people goes to stderr, data to stdout. A user's mistake is one message and exit code 2, a failed gate exit
code 1, and no traceback for either.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run `emer-edge` with the process's arguments."""
    from emer_edge.cli.app import main as run

    run()
