"""`emer-edge` with its threads named for the kernel, so that CPU time can be read per thread.

`python -m benchmarks.endurance.program run ...`
"""

from __future__ import annotations

import ctypes
import threading
from typing import Final

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
    from emer_edge.cli import main as run

    run()


if __name__ == "__main__":
    main()
