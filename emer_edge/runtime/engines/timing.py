"""Times of several works beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Final

import numpy as np

from emer_edge.core.progress import Progress, silent

ROUNDS: Final = 40
_WARM_UPS: Final = 5  # more than it takes TensorRT to capture a CUDA graph


def time_in_turns(
    works: Mapping[str, Callable[[], object]], rounds: int = ROUNDS, progress: Progress = silent
) -> dict[str, list[int]]:
    """Run every work once a round, in a new random order, after a warm-up; return its durations, ns.

    What slows the machine for a while slows all of them alike, and none finds its weights in the cache because it has
    just run.
    """
    names = list(works)
    taken_ns: dict[str, list[int]] = {name: [] for name in names}
    rng = np.random.default_rng(0)
    for turn in range(_WARM_UPS + rounds):
        for at in rng.permutation(len(names)):
            name = names[int(at)]
            began_ns = perf_counter_ns()
            works[name]()
            if turn >= _WARM_UPS:
                taken_ns[name].append(perf_counter_ns() - began_ns)
        progress("timing side by side", turn + 1, _WARM_UPS + rounds)
    return taken_ns
