"""`emer-edge` with its threads named for the kernel, so that each one's CPU time can be told.

`python -m benchmarks.endurance.program [--with-view] run ...`: with `--with-view` the terminal view is drawn beside
`--json`, as when every output is on.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import Any, Final

__all__ = ["main", "name_threads"]

_PR_SET_NAME: Final = 15  # prctl(2)
_LONGEST: Final = 15


def name_threads() -> None:
    """Have every thread that Python starts from now on carry its Python name."""
    library = ctypes.CDLL(None)
    run = threading.Thread.run

    def named(self: threading.Thread) -> None:
        name = self.name.removeprefix("emer-edge ").split(" (")[0]
        library.prctl(_PR_SET_NAME, name.encode()[:_LONGEST], 0, 0, 0)
        run(self)

    threading.Thread.run = named  # type: ignore[method-assign]


def main() -> None:
    """Run `emer-edge` with the rest of the arguments."""
    name_threads()
    if "--with-view" in sys.argv:
        sys.argv.remove("--with-view")
        _draw_always()
    from emer_edge.cli import main as run

    run()


def _draw_always() -> None:
    from emer_edge.runtime import outputs

    wanted = outputs.Wanted

    def with_view(**asked: Any) -> outputs.Wanted:
        return wanted(**{**asked, "live": True})

    outputs.Wanted = with_view  # type: ignore[misc,assignment]


if __name__ == "__main__":
    main()
