"""CUDA: which GPU is here, its context and buffers, and graphs of captured work.

pycuda makes contexts and buffers: retained, current only around calls, freed by the thread that owns them.
`pycuda.autoinit` is never used: it makes a second context that stays current for ever, while TensorRT works in the
primary one. Buffers are freed while the context is current, or pycuda leaks them. The few calls that pycuda lacks go to
NVIDIA's driver library by ctypes, by the prototypes of cuda.h; each is in every driver since CUDA 11.4, JetPack 5's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import EngineError, MissingExtraError
from emer_edge.runtime.engines.tensorrt.plan_tensors import Buffer

_INT_OUT = ctypes.POINTER(ctypes.c_int)
_HANDLE_OUT = ctypes.POINTER(ctypes.c_void_p)

PROTOTYPES: Final[dict[str, tuple[Any, ...]]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDriverGetVersion": (_INT_OUT,),
    "cuDeviceGetCount": (_INT_OUT,),
    "cuDeviceGet": (_INT_OUT, ctypes.c_int),
    "cuDeviceGetName": (ctypes.c_void_p, ctypes.c_int, ctypes.c_int),
    "cuDeviceGetAttribute": (_INT_OUT, ctypes.c_int, ctypes.c_int),
    "cuGetErrorName": (ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)),
    "cuCtxPopCurrent_v2": (_HANDLE_OUT,),
    "cuStreamBeginCapture_v2": (ctypes.c_void_p, ctypes.c_int),
    "cuStreamEndCapture": (ctypes.c_void_p, _HANDLE_OUT),
    "cuGraphInstantiateWithFlags": (_HANDLE_OUT, ctypes.c_void_p, ctypes.c_ulonglong),
    "cuGraphLaunch": (ctypes.c_void_p, ctypes.c_void_p),
    "cuGraphExecDestroy": (ctypes.c_void_p,),
    "cuGraphDestroy": (ctypes.c_void_p,),
}
"""Function -> argument types; all return a CUresult, 0 for success."""

_MULTIPROCESSORS, _INTEGRATED, _COMPUTE_MAJOR, _COMPUTE_MINOR = 16, 18, 75, 76  # CU_DEVICE_ATTRIBUTE_*
_NO_DEVICE, _NOT_SUPPORTED = 100, 801  # CUresult
_THREAD_LOCAL: Final = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on using CUDA meanwhile


class DriverError(Exception):
    """A call to the driver failed; the message names the call and CUDA's error, `code` is its number or 0."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Gpu:
    """The GPU that is used.

    Attributes:
        name: as the driver says it, for example `Orin`.
        compute_capability: for example `8.7`.
        integrated: it shares the CPU's memory.
        multiprocessors: how many work in this power mode, which may switch some off.
        cuda: the newest CUDA version that the driver knows, for example `12.6`.
    """

    name: str
    compute_capability: str
    integrated: bool
    multiprocessors: int
    cuda: str


class Driver:
    """libcuda.

    Args:
        library: the loaded library, or anything with the functions of `PROTOTYPES`.

    Raises:
        DriverError: it lacks one of them.
    """

    def __init__(self, library: Any) -> None:
        self._calls: dict[str, Any] = {}
        for name, arguments in PROTOTYPES.items():
            try:
                call = getattr(library, name)
            except AttributeError:
                raise DriverError(f"the NVIDIA driver is older than CUDA 11.4: it lacks {name}") from None
            call.argtypes, call.restype = list(arguments), ctypes.c_int
            self._calls[name] = call

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; raise DriverError unless it succeeds."""
        code = self._calls[name](*arguments)
        if code:
            error = ctypes.c_char_p()
            self._calls["cuGetErrorName"](code, ctypes.byref(error))
            words = f"{error.value.decode()}, " if error.value else ""
            raise DriverError(f"{name}: {words}CUDA error {code}", code)

    def gpu(self) -> Gpu:
        """Describe the first GPU, the one that pycuda and TensorRT use; raise DriverError where there is none."""
        self.call("cuInit", 0)
        if not self._integer("cuDeviceGetCount"):
            raise DriverError("cuDeviceGetCount: no GPU", _NO_DEVICE)
        device = ctypes.c_int(self._integer("cuDeviceGet", 0))
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), device)
        version = self._integer("cuDriverGetVersion")
        keys = (_COMPUTE_MAJOR, _COMPUTE_MINOR, _INTEGRATED, _MULTIPROCESSORS)
        major, minor, integrated, multiprocessors = (self._integer("cuDeviceGetAttribute", key, device) for key in keys)
        return Gpu(
            name=name.value.decode(errors="replace"),
            compute_capability=f"{major}.{minor}",
            integrated=bool(integrated),
            multiprocessors=multiprocessors,
            cuda=f"{version // 1000}.{version % 1000 // 10}",
        )

    def pop_context(self) -> None:
        """Take the current context off this thread's stack."""
        self.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def capture(self, stream: int, enqueue: Callable[[], None]) -> CudaGraph:
        """Record what `enqueue` puts on a stream, without running it.

        The stream is out of capture again whatever happens.

        Args:
            stream: handle of a stream other than the default one.
            enqueue: puts work on it; what it raises is passed on.

        Raises:
            DriverError: the work can't be captured, for example because it waits for the GPU (loops do).
        """
        self.call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        graph = ctypes.c_void_p()
        try:
            enqueue()
        except BaseException:
            if not self._calls["cuStreamEndCapture"](stream, ctypes.byref(graph)) and graph:
                self.call("cuGraphDestroy", graph)
            raise
        self.call("cuStreamEndCapture", stream, ctypes.byref(graph))
        executable = ctypes.c_void_p()
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        finally:
            self.call("cuGraphDestroy", graph)
        return CudaGraph(self, executable)

    def _integer(self, name: str, *arguments: Any) -> int:
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value


class CudaGraph:
    """Captured work, ready to be launched at the price of one call."""

    def __init__(self, driver: Driver, executable: ctypes.c_void_p) -> None:
        self._driver, self._executable = driver, executable

    def launch(self, stream: int) -> None:
        """Put the work on a stream; raise DriverError when that fails."""
        self._driver.call("cuGraphLaunch", self._executable, stream)

    def close(self) -> None:
        """Free it; may be called twice."""
        if self._executable:
            executable, self._executable = self._executable, ctypes.c_void_p()
            self._driver.call("cuGraphExecDestroy", executable)


@lru_cache(maxsize=1)
def load_driver() -> Driver:
    """Load libcuda; raise DriverError where there is no NVIDIA driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise DriverError(f"no NVIDIA driver ({error})") from None
    return Driver(library)


def find_gpu() -> Gpu | None:
    """The GPU that is used, or None where there is none, or no driver."""
    try:
        return load_driver().gpu()
    except DriverError:
        return None


def how_to_mend(error: DriverError, root: Path = Path("/")) -> str:
    """What to do where the driver can't be used, with the command.

    A user without its groups gets 100, 801 or 999 of CUDA, so the devices themselves are asked.

    Args:
        error: of `load_driver` or `Driver.gpu`.
        root: where `dev` and `etc` are.
    """
    nodes = [root / "dev/nvmap", *(root / "dev").glob("nvidia[0-9]*"), *(root / "dev/dri").glob("renderD*")]
    closed = [node for node in nodes if node.exists() and not os.access(node, os.R_OK)]
    if closed or error.code == _NOT_SUPPORTED:
        which = f" (/{closed[0].relative_to(root)} is closed to it)" if closed else ""
        return (
            f"this user lacks the groups video and render{which}: sudo usermod -aG video,render $USER, and log in "
            "again; in a container: --group-add with the numbers that getent group video render gives"
        )
    if (root / ".dockerenv").exists():
        return "start the container with: docker run --runtime nvidia"
    if (root / "etc/nv_tegra_release").exists():
        return "install the driver with: sudo apt install --reinstall nvidia-l4t-cuda && sudo reboot"
    if error.code in (0, _NO_DEVICE):
        return "where there is an NVIDIA GPU, install its driver with: sudo ubuntu-drivers install && sudo reboot"
    return "look for the driver's words with: sudo dmesg | grep -iE 'nvrm|nvgpu'"


_NON_BLOCKING: Final = 1  # CU_STREAM_NON_BLOCKING: the default stream's work does not wait for ours, nor ours for it


@dataclass(frozen=True, eq=False)
class TensorMemory:
    """The memory of one tensor.

    Attributes:
        buffer: what was planned.
        host: (elements,) page-locked.
        device: device allocation; None where the host buffer is mapped.
        address: where the GPU finds the tensor.
    """

    buffer: Buffer
    host: NDArray[Any]
    device: Any
    address: int

    def view(self, batch: int) -> NDArray[Any]:
        """The host buffer as the tensor of a batch, contiguous."""
        shape = self.buffer.spec.at(batch)
        return self.host[: int(np.prod(shape))].reshape(shape)


class CudaOwner:
    """The primary context of the first GPU, and one stream in it.

    Raises:
        MissingExtraError: pycuda is not installed.
        EngineError: CUDA refuses; the message holds its words.
    """

    def __init__(self) -> None:
        try:
            from pycuda import driver
        except ImportError as error:
            if getattr(error, "name", None) not in ("pycuda", None):
                raise EngineError(f"pycuda can't be imported ({error}); install it again on this machine") from None
            raise MissingExtraError("the engine tensorrt", "pycuda", "jetson") from None
        self._cuda: Any = driver
        self._thread = threading.get_ident()
        self._context: Any = None
        try:
            driver.init()
            device = driver.Device(0)
            self.integrated = bool(device.get_attribute(driver.device_attribute.INTEGRATED))
            self._context = device.retain_primary_context()
            with self.current():
                self.stream: Any = driver.Stream(_NON_BLOCKING)
        except driver.Error as error:
            raise EngineError(f"CUDA can't be used on this machine: {error}") from None

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread, and give the thread back as it was.

        Raises:
            EngineError: CUDA failed meanwhile, or it was closed.
        """
        if self._context is None:
            raise EngineError("the engine is closed; open the bundle again")
        try:
            self._context.push()
            try:
                yield
            finally:
                self._cuda.Context.pop()
        except (self._cuda.Error, DriverError) as error:
            raise EngineError(f"CUDA failed: {error}") from None

    def allocate(self, buffer: Buffer) -> TensorMemory:
        """Get the memory of one tensor; the context must be current."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP if buffer.mapped else 0
        host = self._cuda.pagelocked_empty(buffer.elements, buffer.spec.dtype, mem_flags=flags)
        if buffer.mapped:
            return TensorMemory(buffer, host, None, int(host.base.get_device_pointer()))
        device = self._cuda.mem_alloc(buffer.bytes)
        return TensorMemory(buffer, host, device, int(device))

    def free(self, memories: Sequence[TensorMemory]) -> None:
        """Give memory back; the context must be current, in the thread that opened it."""
        for memory in memories:
            if memory.device is not None:
                memory.device.free()
            allocation: Any = memory.host.base
            allocation.free()

    def upload(self, memory: TensorMemory, batch: int) -> None:
        """Queue the copy of an input to the GPU; nothing where it is mapped."""
        if memory.device is not None:
            self._cuda.memcpy_htod_async(memory.device, memory.view(batch), self.stream)

    def download(self, memory: TensorMemory, batch: int) -> None:
        """Queue the copy of an output from the GPU; nothing where it is mapped."""
        if memory.device is not None:
            self._cuda.memcpy_dtoh_async(memory.view(batch), memory.device, self.stream)

    @property
    def is_owner(self) -> bool:
        """Whether this is the thread that opened it."""
        return threading.get_ident() == self._thread

    def close(self) -> None:
        """Release the context, in the thread that opened it (`is_owner`); may be called twice."""
        if self._context is None:
            return
        with self.current():
            self.stream = None
        context, self._context = self._context, None
        context.detach()
        # pycuda pushes the context to release it and takes the release for a pop, which holds for the contexts that
        # it makes and not for the primary one: that would stay current in this thread.
        load_driver().pop_context()
