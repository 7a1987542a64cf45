"""How fast parts are on the machine at hand, measured side by side.

Every round runs each candidate once, in an order that is drawn anew: whatever slows the machine down for a while slows
all of them down alike, and none finds its weights in the cache because it has just run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import EngineError, MissingExtraError
from emer_edge.export.judging.seeded import seeded_windows
from emer_edge.export.precision.variants import Parts
from emer_edge.metrics.latency import LatencySummary, summarise
from emer_edge.runtime.engines import CPU_ENGINE, Engine, engines, open_engine, resolve_engine
from emer_edge.spec.progress import Progress, silent

__all__ = ["ROUNDS", "Timing", "time_steps"]

ROUNDS: Final = 40
_WARM_UPS: Final = 3
_PARTS: Final = ("face_encoder", "fusion")

Inputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Timing:
    """Times of several candidates from one run.

    Attributes:
        engine: what ran them, a name of `emer_edge.runtime.engines.ENGINES`.
        device: for people.
        notes: why the best engine could not be taken, if so.
        times: candidate -> `face_encoder` (one crop), `fusion` (one window) and `step` (both) -> percentiles.
    """

    engine: str
    device: str
    notes: tuple[str, ...]
    times: Mapping[str, Mapping[str, LatencySummary]]

    def medians_ms(self, candidate: str) -> dict[str, float]:
        """Medians of a candidate, milliseconds."""
        return {name: round(each.p50_ms, 3) for name, each in self.times[candidate].items()}

    def to_builtins(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return {
            "engine": self.engine,
            "device": self.device,
            "threads": 1,
            "times": {
                name: {part: each.to_dict() for part, each in parts.items()} for name, parts in self.times.items()
            },
        }


def time_steps(
    candidates: Mapping[str, Parts], progress: Progress = silent, rounds: int = ROUNDS, engine: str = "auto"
) -> Timing:
    """Time one crop's encoding and one fusion of each candidate, one thread, on the best engine that runs here.

    Candidates whose files are the same share one measurement. Where TensorRT is there but can't run the parts, ONNX
    Runtime is timed instead, and a note says so.

    Args:
        candidates: name -> parts.
        progress: told of engines that are built, which takes TensorRT minutes, and of rounds.
        rounds: runs of each candidate.
        engine: a name of `emer_edge.runtime.engines.ENGINES`, or `auto`.

    Raises:
        EngineError: ONNX Runtime refuses a part.
    """
    name = resolve_engine(engine).name
    try:
        return _timed(name, candidates, progress, rounds, ())
    except (EngineError, MissingExtraError) as error:
        if name == CPU_ENGINE:
            raise
        return _timed(CPU_ENGINE, candidates, progress, rounds, (f"timed on the CPU instead of {name}: {error}",))


def _timed(
    engine: str, candidates: Mapping[str, Parts], progress: Progress, rounds: int, notes: tuple[str, ...]
) -> Timing:
    variant = engines()[engine].variant
    files = {name: [parts[f"{variant}/{part}"] for part in _PARTS] for name, parts in candidates.items()}
    same_as: dict[str, str] = {}
    first: dict[bytes, str] = {}
    for name, paths in files.items():
        same_as[name] = first.setdefault(b"".join(sha256(path.read_bytes()).digest() for path in paths), name)
    distinct = list(first.values())
    face, eye, gaze = seeded_windows(1)
    with ExitStack() as stack:
        opened: dict[str, list[tuple[Engine, Inputs]]] = {}
        for done, name in enumerate(distinct):
            progress("loading parts to time", done, len(distinct))
            encoder, fusion = (open_engine(engine, path) for path in files[name])
            stack.callback(encoder.close)
            stack.callback(fusion.close)
            crops: Inputs = {"face": np.ascontiguousarray(face[0])}
            embeddings = np.concatenate(
                [encoder.run({"face": crops["face"][at : at + 1]})["embedding"] for at in range(len(face[0]))]
            )
            given: Inputs = {"embeddings": embeddings[None], "eye": eye, "gaze": gaze}
            opened[name] = [(encoder, {"face": crops["face"][:1]}), (fusion, given)]
        taken_ns: dict[str, list[list[int]]] = {name: [[], []] for name in distinct}
        rng = np.random.default_rng(0)
        for turn in range(_WARM_UPS + rounds):
            for at in rng.permutation(len(distinct)):
                name = distinct[int(at)]
                for part, (loaded, inputs) in enumerate(opened[name]):
                    began_ns = time.perf_counter_ns()
                    loaded.run(inputs)
                    if turn >= _WARM_UPS:
                        taken_ns[name][part].append(time.perf_counter_ns() - began_ns)
            progress("timing side by side", turn + 1, _WARM_UPS + rounds)
        device = opened[distinct[0]][0][0].device
    summaries = {}
    for name, (encoding, fusing) in taken_ns.items():
        step = [one + other for one, other in zip(encoding, fusing, strict=True)]
        summaries[name] = dict(
            zip((*_PARTS, "step"), (summarise(each) for each in (encoding, fusing, step)), strict=True)
        )
    return Timing(engine, device, notes, {name: summaries[same_as[name]] for name in candidates})
