"""What a Jetson could carry at most, computed from public specifications: a roofline, not a measurement.

For each part of the bundle's tensorrt variant: multiply-accumulates counted on the graph, bytes of its weights and of
what each product reads and writes, against the board's dense INT8 or FP16 rate and its memory bandwidth; the slower of
both is the least time that the part can take (Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009). Launching
kernels, the CPU's share and other work come on top: nothing here says what a board does, only what it can't beat.

The rates: an Ampere SM of an Orin does 2,048 INT8 or 1,024 FP16 multiply-accumulates a clock without sparsity; with the
SMs and GPU clocks of NVIDIA's data sheets this gives half of their "sparse TOPS" of the GPU (AGX Orin 64GB 170, Orin NX
16GB 60, Orin Nano 8GB 40; in the Super modes of JetPack 6.2 77 and 67). FP32 is 128 a clock, on the CUDA cores. The
deep-learning accelerators (DLA) are left out. The table in docs/scaling.md is written by this script.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.common import conclude, parser, workshop
from benchmarks.tables import put_table
from emer_edge.bundle import Bundle, load_bundle
from emer_edge.export.precision.macs import macs_of_variant
from emer_edge.report.table import Cell, Column, Table

SCALING: Final = Path(__file__).parents[1] / "docs" / "scaling.md"
MACS_A_CLOCK: Final = {"int8": 2048, "fp16": 1024, "fp32": 128}
FRAMES_HZ, LOOK_EVERY, WHOLE_LOOKS_HZ = 30.0, 5, 1.0
GPU_SHARE: Final = 0.5
"""Of the GPU's time that the streams may take together; the rest is for the display, encoding and launching."""


@dataclass(frozen=True)
class Board:
    """A module of NVIDIA's data sheets.

    Attributes:
        sms: streaming multiprocessors of its Ampere GPU.
        gpu_mhz: highest GPU clock of the power mode.
        memory_gb_s: memory bandwidth, 10^9 bytes a second.
        watts: of the power mode.
    """

    name: str
    sms: int
    gpu_mhz: float
    memory_gb_s: float
    watts: str

    def rate(self, precision: str) -> float:
        """Multiply-accumulates per second."""
        return self.sms * MACS_A_CLOCK[precision] * self.gpu_mhz * 1e6


BOARDS: Final = (
    Board("Jetson Orin Nano 8GB", 8, 625, 68.0, "15 W"),
    Board("Jetson Orin Nano 8GB, Super", 8, 1020, 102.0, "25 W"),
    Board("Jetson Orin NX 16GB", 8, 918, 102.4, "25 W"),
    Board("Jetson Orin NX 16GB, Super", 8, 1173, 102.4, "40 W"),
    Board("Jetson AGX Orin 64GB", 16, 1300, 204.8, "60 W"),
)


@dataclass(frozen=True)
class Work:
    """One run of a part, or of several, for one stream.

    Attributes:
        macs: precision -> multiply-accumulates.
        bytes: read from and written to memory if nothing stays in a cache.
    """

    macs: dict[str, int]
    bytes: int

    def least_s(self, board: Board) -> float:
        """The least time it can take on a board."""
        return max(
            sum(count / board.rate(precision) for precision, count in self.macs.items()),
            self.bytes / (board.memory_gb_s * 1e9),
        )


def work_of(bundle: Bundle, part: str) -> Work:
    """One run of a part, a batch of one."""
    path = bundle.part("tensorrt", part).path
    precision = bundle.manifest.precision.parts[f"tensorrt/{part}"]
    rest = "fp16" if precision == "int8" else precision
    macs = dict.fromkeys(MACS_A_CLOCK, 0)
    for layer in macs_of_variant(path, "tensorrt"):
        macs["int8" if layer.int8 else rest] += layer.macs
    # Weights are read once; activations are a few times smaller and mostly stay in the L2 cache.
    return Work(macs, path.stat().st_size)


def main() -> int:
    """Run it; return the exit code."""
    arguments = parser("What Jetson boards can't beat, computed from public specifications.").parse_args()
    with workshop(arguments.work) as shop:
        bundle = load_bundle(arguments.bundle or shop.bundle("int8"))
        names = [key.partition("/")[2] for key in bundle.manifest.precision.parts if key.startswith("tensorrt/")]
        parts = {name: work_of(bundle, name) for name in names}
    hop_hz = 1e9 / bundle.manifest.window.hop_ns
    near = next((part for part in parts if part.endswith("near")), "face_detector")
    looks_hz = FRAMES_HZ / LOOK_EVERY - WHOLE_LOOKS_HZ
    rates = {"face_encoder": hop_hz, "fusion": hop_hz, near: looks_hz, "face_detector": WHOLE_LOOKS_HZ}
    rows: list[tuple[Cell, ...]] = []
    boards = {}
    for board in BOARDS:
        least = {name: part.least_s(board) for name, part in parts.items()}
        step_ms = (least["face_encoder"] + least["fusion"]) * 1e3
        load = sum(least[name] * hz for name, hz in rates.items())
        streams = int(GPU_SHARE / load)
        boards[board.name] = {
            "int8_tops_dense": 2 * board.rate("int8") / 1e12,
            "memory_gb_s": board.memory_gb_s,
            "least_ms": {name: least_s * 1e3 for name, least_s in least.items()},
            "step_ms": step_ms,
            "gpu_share_a_stream": load,
            "streams_at_half_gpu": streams,
        }
        tops = 2 * board.rate("int8") / 1e12
        rows.append((f"{board.name}, {board.watts}", tops, board.memory_gb_s, step_ms, 100 * load, streams))
    table = Table(
        "Bounds by roofline (computed, not measured)",
        (
            Column("Board"),
            Column("INT8 dense", "TOPS", 1),
            Column("Memory", "GB/s", 1),
            Column("Step, at least", "ms", 3),
            Column("GPU per stream, at least", "%", 3),
            Column("Streams at half the GPU, at most", digits=0),
        ),
        tuple(rows),
        "Kernel launches, the CPU's work and memory traffic of activations are not in it.",
    )
    work = {name: {"macs": part.macs, "bytes": part.bytes} for name, part in parts.items()}
    figures = {"work": work, "runs_a_second": rates, "boards": boards}
    return conclude("roofline", [], figures, beside=lambda: put_table(SCALING, "roofline", table))


if __name__ == "__main__":
    sys.exit(main())
