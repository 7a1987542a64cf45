"""The executor on the real pycuda and a libcuda that counts: `counted_gpu.py SCENARIO FOLDER KIND` prints the counts.

A process of its own, whose libcuda is `counting_libcuda.c` (LD_LIBRARY_PATH) and whose pycuda was compiled against
NVIDIA's public headers (PYTHONPATH). TensorRT is still the stand-in's: its work is queued on pycuda's streams by
cuLaunchHostFunc.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gpu_stand_in import StandIn
from tensorrt_inputs import write_network

__all__ = ["NAMES", "SCENARIOS"]

NAMES = (
    *("contexts_retained", "contexts_released", "allocated", "freed", "streams", "streams_destroyed", "captures"),
    *("captures_ended", "graphs", "graphs_destroyed", "executables", "executables_destroyed", "launches", "copies"),
    *("pushes", "pops", "faults", "current"),
)
_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class CountedGpu(StandIn):
    """TensorRT's stand-in on the counting library's streams and contexts."""

    def __init__(self, integrated: bool, captures_fail: bool = False) -> None:
        super().__init__(integrated)
        self.cuda = ctypes.CDLL("libcuda.so.1")
        self.cuda.counting.restype = ctypes.c_long
        self.cuda.first_fault.restype = ctypes.c_char_p
        self.cuda.set_machine(int(integrated), int(captures_fail))
        self.streams = _Streams(self.cuda)  # type: ignore[assignment]

    def need_context(self) -> None:
        context = ctypes.c_void_p()
        self.cuda.cuCtxGetCurrent(ctypes.byref(context))
        assert context, "no context is current"

    def counts(self) -> dict[str, Any]:
        figures: dict[str, Any] = {name: self.cuda.counting(name.encode()) for name in NAMES}
        return figures | {"fault": self.cuda.first_fault().decode()}


class _Streams:
    def __init__(self, library: Any) -> None:
        self._library, self._held = library, list[Any]()

    def __getitem__(self, handle: int) -> Any:
        library, held = self._library, self._held
        capturing = ctypes.c_int()
        library.cuStreamIsCapturing(ctypes.c_void_p(handle), ctypes.byref(capturing))

        class Stream:
            captured = [] if capturing.value else None

            def put(self, work: Callable[[], None]) -> None:
                held.append(_CALLBACK(lambda given: work()))
                assert library.cuLaunchHostFunc(ctypes.c_void_p(handle), held[-1], None) == 0

        return Stream()


def batch(size: int, seed: int = 0) -> dict[str, Any]:
    return {"x": np.random.default_rng(seed).normal(size=(size, 3, 8, 8)).astype(np.float32)}


def agrees(engine: Any, part: Path, sizes: tuple[int, ...]) -> None:
    from emer_edge.runtime.engines import open_engine

    reference = open_engine("onnxruntime", part)
    for seed, size in enumerate(sizes):
        given = batch(size, seed)
        np.testing.assert_allclose(engine.run(given)["y"], reference.run(given)["y"], atol=1e-6)


def runs(part: Path, engine: Callable[[], Any]) -> None:
    opened = engine()
    agrees(opened, part, (1, 1, 1, 1, 5, 40, 1, 16, 16, 16, 3, 1))
    assert opened.captured, opened.graph_note
    opened.close()
    opened.close()


def several(part: Path, engine: Callable[[], Any]) -> None:
    engines = [engine() for _ in range(3)]
    for opened in engines:
        agrees(opened, part, (1, 2, 1, 1, 1))
    for opened in engines:
        opened.close()


def no_capture(part: Path, engine: Callable[[], Any]) -> None:
    opened = engine()
    agrees(opened, part, (1, 1, 1, 1, 1))
    assert not opened.captured
    assert "CAPTURE_INVALIDATED" in opened.graph_note, opened.graph_note
    opened.close()


def closed_elsewhere(part: Path, engine: Callable[[], Any]) -> None:
    """Another thread may run it and end its use; the owner frees it."""
    opened = engine()

    def elsewhere() -> None:
        agrees(opened, part, (2, 2))
        opened.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    opened.close()


def refused(part: Path, engine: Callable[[], Any]) -> None:
    """A failure while it opens leaves nothing behind."""
    from emer_edge.core.errors import EngineError
    from emer_edge.runtime.engines.tensorrt.engine import TensorRtEngine

    load = TensorRtEngine._profile

    def fail(*given: Any) -> Any:
        raise EngineError("no profile")

    TensorRtEngine._profile = fail  # type: ignore[method-assign]
    try:
        engine()
    except EngineError:
        TensorRtEngine._profile = load  # type: ignore[method-assign]
        return
    raise AssertionError("it opened")


def leaks(part: Path, engine: Callable[[], Any]) -> None:
    """What must be found: memory that nobody frees."""
    from emer_edge.runtime.engines.tensorrt import cuda

    cuda.CudaOwner.free = lambda self, memories: held.extend(memories)  # type: ignore[assignment,method-assign]
    held: list[Any] = []
    opened = engine()
    opened.run(batch(1))
    opened.close()


def frees_elsewhere(part: Path, engine: Callable[[], Any]) -> None:
    """What must be found: memory that another thread frees, its owner's context current there."""
    from emer_edge.runtime.engines.tensorrt.engine import TensorRtEngine

    opened = engine()
    TensorRtEngine._save_kernels = lambda self: None  # type: ignore[method-assign]

    def elsewhere() -> None:
        with opened._cuda.current():
            opened._drop_lanes()
            opened._cuda.free(opened._memories)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()


SCENARIOS = {
    work.__name__: work for work in (runs, several, no_capture, closed_elsewhere, refused, leaks, frees_elsewhere)
}


def main(scenario: str, folder: Path, integrated: bool) -> None:
    from emer_edge.runtime.engines.tensorrt.engine import TensorRtEngine

    gpu = CountedGpu(integrated, captures_fail=scenario == "no_capture")
    sys.modules["tensorrt"] = gpu.tensorrt()
    part = write_network(folder)
    SCENARIOS[scenario](part, lambda: TensorRtEngine(part))
    print(json.dumps(gpu.counts()), flush=True)
    os._exit(0)  # what leaks on purpose would be found again at the end


if __name__ == "__main__":
    sys.setdlopenflags(os.RTLD_LAZY)  # pycuda names many functions that nothing here calls
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "integrated")
