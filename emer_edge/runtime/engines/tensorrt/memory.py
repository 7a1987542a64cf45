"""How much memory a build may take, asked before it begins: a build that runs out is killed without a word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.errors import EngineError

__all__ = ["ADVISED_MB", "NEEDED_MB", "Memory", "advice", "ensure_enough", "read_memory", "workspace_cap_mb"]

NEEDED_MB: Final = 1000
"""Below this much free memory and swap a build is not begun: CUDA and TensorRT's libraries alone take most of it."""
ADVISED_MB: Final = 3000
"""Below this much a build may be killed halfway, and swap is advised. Both figures are cautious, not measured."""

_SHARE: Final = 4
_LEAST_MB, _MOST_MB = 64, 2048
_SWAP: Final = (
    "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
)


@dataclass(frozen=True)
class Memory:
    """Free memory, in 10^6 bytes.

    Attributes:
        available_mb: what programs can get without swapping (MemAvailable).
        swap_mb: free swap.
    """

    available_mb: int
    swap_mb: int

    @property
    def total_mb(self) -> int:
        """Both."""
        return self.available_mb + self.swap_mb


def read_memory(path: Path = Path("/proc/meminfo")) -> Memory | None:
    """Read the kernel's figures; None where they can't be had."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        figure = rest.split()
        if figure and figure[0].isdigit():
            found[name] = int(figure[0]) * 1024 // 10**6
    if "MemAvailable" not in found:
        return None
    return Memory(found["MemAvailable"], found.get("SwapFree", 0))


def workspace_cap_mb(memory: Memory | None) -> int:
    """Scratch memory that TensorRT's kernels may ask for, MB: a quarter of what is available, 64 to 2048.

    A quarter, because on a Jetson the GPU's memory is the same memory, and weights, the kernels under trial and
    TensorRT's libraries take their share of it at the same time. The network's own kernels need little.
    """
    if memory is None:
        return _LEAST_MB * 4
    return max(_LEAST_MB, min(_MOST_MB, memory.available_mb // _SHARE))


def advice(memory: Memory | None) -> str | None:
    """Say what to do where a build may be killed for memory; None where there is enough."""
    if memory is None or memory.total_mb >= ADVISED_MB:
        return None
    return (
        f"{memory.available_mb} MB of memory and {memory.swap_mb} MB of swap are free, and building engines can take "
        f"{ADVISED_MB} MB: stop other programs (the desktop, too: sudo systemctl isolate multi-user), or add swap "
        f"({_SWAP})"
    )


def ensure_enough(memory: Memory | None) -> None:
    """Raise EngineError where a build would be killed for memory."""
    if memory is not None and memory.total_mb < NEEDED_MB:
        raise EngineError(f"no engine is built: {advice(memory)}; then run emer-edge build again")
