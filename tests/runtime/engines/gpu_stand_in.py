"""A GPU played by the CPU: libcuda, pycuda and tensorrt with the calls that the executor makes.

Device memory is host memory, streams are queues that run when they are waited for, and a plan is its ONNX part run by
ONNX Runtime. It shows what the executor itself does: what it allocates, frees, pushes, pops, captures and says. It
shows nothing of CUDA or TensorRT; that is what benchmarks/gpu_check.py is for.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorrt_stand_in import tensorrt_module

from emer_edge.runtime.engines.tensorrt import cuda, toolkit
from emer_edge.runtime.engines.tensorrt.cuda import PROTOTYPES

__all__ = ["Library", "StandIn", "played"]


class Library:
    """Functions with libcuda's names and signatures, in C's calling convention; keeps what was called.

    Args:
        streams: handle -> stream, for capture.
        integrated: what the device says of itself.
        codes: function -> the CUresult that it gives instead of success.
    """

    def __init__(self, streams: dict[int, Stream] | None = None, integrated: bool = True, **codes: int) -> None:
        self.called: list[str] = []
        self.attributes = {75: 8, 76: 7, 18: int(integrated), 16: 16}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self._streams = streams if streams is not None else {}
        for name, arguments in PROTOTYPES.items():
            kind = ctypes.CFUNCTYPE(ctypes.c_int, *arguments)
            setattr(self, name, kind(self._function(name, codes.get(name, 0))))

    def _function(self, name: str, code: int) -> Callable[..., int]:
        def call(*given: Any) -> int:
            self.called.append(name)
            if not code:
                self._do(name, given)
            elif name == "cuStreamEndCapture" and given[0] in self._streams:
                self._streams[given[0]].captured = None
            return code

        return call

    def _do(self, name: str, given: tuple[Any, ...]) -> None:
        stream = self._streams.get(given[0]) if name.startswith("cuStream") else None
        if name == "cuDriverGetVersion":
            given[0][0] = 12060
        elif name == "cuDeviceGetCount":
            given[0][0] = 1
        elif name == "cuDeviceGetName":
            ctypes.memmove(given[0], b"Orin\0", 5)
        elif name == "cuDeviceGetAttribute":
            given[0][0] = self.attributes[given[1]]
        elif name == "cuGetErrorName":
            given[1][0] = b"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
        elif name == "cuStreamBeginCapture_v2" and stream is not None:
            stream.captured = []
        elif name == "cuStreamEndCapture":
            number = len(self.graphs) + 1
            self.graphs[number] = (stream.captured or []) if stream is not None else []
            given[1][0] = number
            if stream is not None:
                stream.captured = None
        elif name == "cuGraphInstantiateWithFlags":
            given[0][0] = given[1]
        elif name == "cuGraphLaunch" and given[1] in self._streams:
            self._streams[given[1]].queued += self.graphs[given[0]]


class Stream:
    """A queue."""

    def __init__(self, gpu: StandIn, flags: int = 0) -> None:
        gpu.need_context()
        self._gpu, self.flags, self.handle = gpu, flags, id(self)
        self.queued: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        gpu.streams[self.handle] = self

    def put(self, work: Callable[[], None]) -> None:
        (self.queued if self.captured is None else self.captured).append(work)

    def synchronize(self) -> None:
        self._gpu.need_context()
        assert self.captured is None, "waited for a stream in capture"
        for each in self.queued:
            each()
        self.queued.clear()


class Allocation:
    """Host or device memory."""

    def __init__(self, gpu: StandIn, size: int, flags: int = 0) -> None:
        gpu.need_context()
        self._gpu, self.flags, self.memory = gpu, flags, ctypes.create_string_buffer(int(size))
        gpu.live.append(self)

    def free(self) -> None:
        self._gpu.need_context()
        self._gpu.live.remove(self)

    def __int__(self) -> int:
        return ctypes.addressof(self.memory)

    get_device_pointer = __int__


@contextmanager
def played(gpu: StandIn, patch: pytest.MonkeyPatch, cache: Path, release: str = "10.3.0") -> Iterator[StandIn]:
    """This machine has that GPU, a release of TensorRT, and a cache of its own for a while."""
    load = ctypes.CDLL
    package, module = ModuleType("pycuda"), gpu.pycuda()
    package.driver = module  # type: ignore[attr-defined]
    package.__spec__ = toolkit.find_spec("json")
    patch.setitem(sys.modules, "pycuda", package)
    patch.setitem(sys.modules, "pycuda.driver", module)
    patch.setitem(sys.modules, "tensorrt", gpu.tensorrt(release))
    patch.setattr(cuda.ctypes, "CDLL", lambda name, *more: gpu.library if name == "libcuda.so.1" else load(name, *more))
    patch.setenv("XDG_CACHE_HOME", str(cache))
    cuda.load_driver.cache_clear()
    toolkit._toolkit.cache_clear()
    yield gpu
    cuda.load_driver.cache_clear()
    toolkit._toolkit.cache_clear()


class StandIn:
    """The machine.

    Attributes:
        live: allocations that were not freed.
        retained: contexts that were not released.
        capture_fails, run_fails: what TensorRT refuses.
        warns: what TensorRT warns of when it loads a plan.
    """

    def __init__(self, integrated: bool) -> None:
        self.streams: dict[int, Stream] = {}
        self.live: list[Allocation] = []
        self.retained = 0
        self.capture_fails = self.run_fails = False
        self.warns: list[str] = []
        self._stacks = threading.local()
        self.library = Library(self.streams, integrated)

    @property
    def stack(self) -> list[Any]:
        """Contexts pushed in this thread."""
        if not hasattr(self._stacks, "contexts"):
            self._stacks.contexts = []
        contexts: list[Any] = self._stacks.contexts
        return contexts

    def need_context(self) -> None:
        """What every call of pycuda asks for."""
        assert self.stack, "no context is current"

    def pycuda(self) -> ModuleType:
        """`pycuda.driver`."""
        gpu = self

        class Error(Exception):
            pass

        class Context:
            def __init__(self) -> None:
                self._thread = threading.get_ident()
                gpu.retained += 1

            def push(self) -> None:
                gpu.stack.append(self)

            @staticmethod
            def pop() -> None:
                gpu.stack.pop()

            def detach(self) -> None:
                assert threading.get_ident() == self._thread
                gpu.retained -= 1

        def device(number: int) -> Any:
            attribute = gpu.library.attributes.__getitem__
            return SimpleNamespace(get_attribute=attribute, retain_primary_context=Context)

        def page_locked(elements: int, dtype: Any, mem_flags: int = 0) -> Any:
            allocation = Allocation(gpu, elements * np.dtype(dtype).itemsize, mem_flags)

            class Array(np.ndarray):  # type: ignore[type-arg]
                base = allocation  # type: ignore[assignment]

            return np.frombuffer(allocation.memory, dtype).view(Array)

        def copy(target: int, source: int, size: int, stream: Stream) -> None:
            gpu.need_context()
            stream.put(lambda: ctypes.memmove(target, source, size) and None)

        module = ModuleType("pycuda.driver")
        module.__dict__.update(
            Error=Error,
            Context=Context,
            Device=device,
            Stream=lambda flags=0: Stream(gpu, flags),
            init=lambda: None,
            mem_alloc=lambda size: Allocation(gpu, size),
            pagelocked_empty=page_locked,
            memcpy_htod_async=lambda to, array, stream: copy(int(to), array.ctypes.data, array.nbytes, stream),
            memcpy_dtoh_async=lambda array, of, stream: copy(array.ctypes.data, int(of), array.nbytes, stream),
            device_attribute=SimpleNamespace(INTEGRATED=18),
            host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
        )
        return module

    def tensorrt(self, release: str = "10.3.0") -> ModuleType:
        """`tensorrt` of a release, on this GPU."""
        return tensorrt_module(self, release)
